"""The ConvNeXt block, of both generations."""

from __future__ import annotations

from typing import Any

from minigrad.autograd.recompute import checkpoint
from minigrad.errors import OptionError
from minigrad.nn import functional as F
from minigrad.nn import init
from minigrad.nn.layers import GRN, DropPath, Identity, LayerNorm, Linear
from minigrad.nn.layers.spatial import CONVS
from minigrad.nn.module import Module, Parameter
from minigrad.ops.neural.dropout import drop_path_factor
from minigrad.ops.neural.mlp import is_one_operation, pointwise_mlp
from minigrad.tensor import Tensor

__all__ = ["Block"]

_PLAIN = {*CONVS.values(), LayerNorm, Linear, GRN, Identity, DropPath}


class Block(Module):
    """The ConvNeXt block: a wide depthwise convolution, then a two-layer MLP at every position.

    x + drop_path(γ · pwconv2(grn(gelu(pwconv1(norm(dwconv(x)))))))

    V1 has the layer scale γ and no GRN, V2 has GRN and no γ.

    Parameters
    ----------
    dim : int
        Channels.
    drop_path : float, default 0
        Probability to drop the branch of a sample in training.
    layer_scale_init_value : float or None, default 1e-6
        First value of γ; 0 or None leaves it out.
    grn : bool, default False
        Whether global response normalisation follows the GELU.
    kernel_size : int, default 7
        Size of the depthwise kernel, odd.
    eps : float, default 1e-6
        Of the layer norm.
    spatial_dims : {1, 2, 3}, default 2
        Signals, images or volumes.
    recompute : bool, default False
        Whether backward computes what lies inside again instead of keeping it.
    device, dtype : optional
        Where and in which element type the parameters are made.

    Examples
    --------
    >>> import minigrad as mg
    >>> Block(16, grn=True)(mg.randn(2, 16, 8, 8)).shape
    (2, 16, 8, 8)
    """

    def __init__(
        self,
        dim: int,
        drop_path: float = 0.0,
        layer_scale_init_value: float | None = 1e-6,
        grn: bool = False,
        kernel_size: int = 7,
        eps: float = 1e-6,
        spatial_dims: int = 2,
        recompute: bool = False,
        *,
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        if kernel_size % 2 == 0:
            raise OptionError(f"Block: kernel_size must be odd to keep the size, got {kernel_size}")
        at: dict[str, Any] = {"device": device, "dtype": dtype}
        conv = CONVS[spatial_dims]
        self.dwconv = conv(dim, dim, kernel_size, padding=kernel_size // 2, groups=dim, **at)
        self.norm = LayerNorm(dim, eps=eps, **at)
        self.pwconv1 = Linear(dim, 4 * dim, **at)
        self.grn: Module = GRN(4 * dim, spatial_dims=spatial_dims, **at) if grn else Identity()
        self.pwconv2 = Linear(4 * dim, dim, **at)
        self.gamma: Parameter | None = None
        if layer_scale_init_value:
            self.gamma = init.empty(dim, **at)
            init.constant_(self.gamma, layer_scale_init_value)
        self.drop_path = DropPath(drop_path)
        self.recompute = recompute

    def forward(self, x: Tensor) -> Tensor:
        if self.recompute and not self._is_one_operation(x):
            return checkpoint(self._steps, x)
        return self._steps(x)

    def _steps(self, x: Tensor) -> Tensor:
        return self.pointwise(x, self.dwconv(x))

    def pointwise(self, x: Tensor, mixed: Tensor) -> Tensor:
        """Return x + all that follows the convolution, whose output `mixed` is.

        It works position by position; only the norms of GRN look at all of a sample.
        """
        if self._is_one_operation(x):
            return self._one_operation(x, mixed)
        y = mixed.movedim(1, -1)  # (N, C, *spatial) -> (N, *spatial, C): as in memory, so a view
        y = self.norm(y)
        y = self.pwconv1(y)
        y = F.gelu(y)
        y = self.grn(y)
        y = self.pwconv2(y)
        if self.gamma is not None:
            y = y * self.gamma
        branch: Tensor = self.drop_path(y.movedim(-1, 1))
        return x + branch

    def _is_one_operation(self, x: Tensor) -> bool:
        """Return True where the layers' work is done in one operation, which passes them by.

        So only while they are the plain ones, and nobody listens to them.
        """
        return is_one_operation(x, self.pwconv1.weight, self.pwconv2.weight) and all(
            type(layer) in _PLAIN and not (layer._forward_hooks or layer._forward_pre_hooks)
            for layer in self.children()
        )

    def _one_operation(self, x: Tensor, mixed: Tensor) -> Tensor:
        norm: Any = self.norm  # none of the weights and biases is missing in a block
        w1: Any = self.pwconv1
        w2: Any = self.pwconv2
        drop = self.drop_path.drop_prob if self.training else 0.0
        y = pointwise_mlp(
            mixed.movedim(1, -1), x.movedim(1, -1), norm.weight, norm.bias,
            w1.weight, w1.bias, w2.weight, w2.bias, self.gamma,
            *(p.reshape(-1) for p in self.grn.parameters()),
            factor=drop_path_factor(x, drop) if drop else None,
            eps=norm.eps, grn_eps=getattr(self.grn, "eps", 0.0), recompute=self.recompute,
        )  # fmt: skip
        return y.movedim(-1, 1)
