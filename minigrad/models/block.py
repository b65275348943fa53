"""The ConvNeXt block, of both generations and with every option that the family knows."""

from __future__ import annotations

from typing import Any

from minigrad.autograd.checkpointing import checkpoint
from minigrad.dtypes import float32, float64
from minigrad.errors import OptionError, unknown
from minigrad.kernels import is_compiled
from minigrad.models.activations import activation_by_name
from minigrad.modes import is_grad_enabled
from minigrad.nn import functional as F
from minigrad.nn import init
from minigrad.nn.layers import (
    GRN,
    Conv1d,
    Conv2d,
    Conv3d,
    Dropout,
    Dropout1d,
    Dropout2d,
    Dropout3d,
    DropPath,
    Identity,
    LayerNorm,
    Linear,
)
from minigrad.nn.module import Module, Parameter
from minigrad.ops.dropout import drop_path_factor
from minigrad.ops.elementwise import cast
from minigrad.ops.mlp import mixes, pointwise_mlp
from minigrad.ops.precision import full_precision
from minigrad.tensor import Tensor

__all__ = ["CONVS", "Block"]

CONVS = {1: Conv1d, 2: Conv2d, 3: Conv3d}
CHANNEL_DROPOUTS = {1: Dropout1d, 2: Dropout2d, 3: Dropout3d}
GRN_POSITIONS = ("hidden", "projection")

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
    dropout : float, default 0
        Probability to drop single hidden values in training, after the GRN.
    spatial_dropout : float, default 0
        Probability to drop hidden channels as a whole.
    activation : str or None, default "gelu"
        Between the two linear layers: a name of `minigrad.models.activations`.
    approximate : {"none", "tanh"}
        How GELU is computed: exactly, or by its tanh approximation.
    grn_norm : {"mean", "sum"}
        What GRN divides each channel's norm by; "mean" is official.
    grn_position : {"hidden", "projection"}
        GRN on the 4 C hidden channels (official), or on the C channels after `pwconv2`.
    grn_eps : float, default 1e-6
        Of GRN.
    grn_init : float, default 0
        First value of GRN's γ.
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
        dropout: float = 0.0,
        spatial_dropout: float = 0.0,
        activation: str | None = "gelu",
        approximate: str = "none",
        grn_norm: str = "mean",
        grn_position: str = "hidden",
        grn_eps: float = 1e-6,
        grn_init: float = 0.0,
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        if kernel_size % 2 == 0:
            raise OptionError(f"Block: kernel_size must be odd to keep the size, got {kernel_size}")
        if grn_position not in GRN_POSITIONS:
            raise unknown("Block grn_position", grn_position, GRN_POSITIONS)
        at: dict[str, Any] = {"device": device, "dtype": dtype}
        conv = CONVS[spatial_dims]
        self.dwconv = conv(dim, dim, kernel_size, padding=kernel_size // 2, groups=dim, **at)
        self.norm = LayerNorm(dim, eps=eps, **at)
        self.pwconv1 = Linear(dim, 4 * dim, **at)
        self.grn_last = grn and grn_position == "projection"
        self.grn: Module = Identity()
        if grn:
            width = dim if self.grn_last else 4 * dim
            self.grn = GRN(width, grn_eps, spatial_dims, norm=grn_norm, init=grn_init, **at)
        self.pwconv2 = Linear(4 * dim, dim, **at)
        self.gamma: Parameter | None = None
        if layer_scale_init_value:
            self.gamma = init.empty(dim, **at)
            init.constant_(self.gamma, layer_scale_init_value)
        self.drop_path = DropPath(drop_path)
        # Extras exist only where they are asked for, so that a plain block looks as in the paper.
        self.act = activation_by_name(activation, approximate)
        self.dropout = Dropout(dropout) if dropout else None
        self.spatial_dropout = None
        if spatial_dropout:
            self.spatial_dropout = CHANNEL_DROPOUTS[spatial_dims](spatial_dropout)
        self.recompute = recompute

    def forward(self, x: Tensor) -> Tensor:
        if self.recompute and not self._can_fuse(x):
            return checkpoint(self._steps, x)
        return self._steps(x)

    def _steps(self, x: Tensor) -> Tensor:
        return self.pointwise(x, self.dwconv(x))

    def pointwise(self, x: Tensor, mixed: Tensor) -> Tensor:
        """Return x + all that follows the convolution, whose output `mixed` is.

        It works position by position; only the norms of GRN look at all of a sample.
        """
        if self._can_fuse(x):
            return self._fused(x, mixed)
        y = mixed.movedim(1, -1)  # (N, C, *spatial) -> (N, *spatial, C): as in memory, so a view
        y = self.norm(y)
        y = self.pwconv1(y)
        y = self.act(y)
        y = y if self.grn_last else self.grn(y)
        if self.dropout is not None:
            y = self.dropout(y)
        if self.spatial_dropout is not None:
            y = self.spatial_dropout(y.movedim(-1, 1)).movedim(1, -1)
        y = self.pwconv2(y)
        y = self.grn(y) if self.grn_last else y
        if self.gamma is not None:
            y = y * self.gamma
        branch: Tensor = self.drop_path(y.movedim(-1, 1))
        return x + branch

    def _can_fuse(self, x: Tensor) -> bool:
        """Return True where one kernel is to do all that follows the convolution.

        A compiled one, or NumPy's, which goes tile by tile and keeps nothing for backward. It
        passes the layers by: so only while they are the plain ones, nobody listens to them, and
        none of them has an error to report.
        """
        if self.grn_last or self.act is not F.gelu or vars(self.grn).get("norm") == "sum":
            return False
        dtype = self.pwconv1.weight.dtype
        if full_precision(x):
            known = x.dtype == dtype and (dtype in (float32, float64) or mixes(x))
        else:  # in autocast: for a kernel that takes two types at once
            known = dtype == float32 and x.dtype.itemsize <= 4 and mixes(x)
        if not known or (is_grad_enabled() and not is_compiled("mlp", x.array)):
            return False
        if not x.shape[1:2] == self.pwconv1.weight.shape[1:] == self.pwconv2.weight.shape[:1]:
            return False
        for layer in self.children():
            if type(layer) not in _PLAIN or layer._forward_hooks or layer._forward_pre_hooks:
                return False
        return True

    def _fused(self, x: Tensor, mixed: Tensor) -> Tensor:
        """Compute `pointwise` with `pointwise_mlp`, which says its formula in one."""
        norm: Any = self.norm  # none of the weights and biases is missing in a block
        w1: Any = self.pwconv1
        w2: Any = self.pwconv2
        if self.gamma is not None and x.dtype.itemsize < self.gamma.dtype.itemsize:
            x = cast(x, self.gamma.dtype)  # as x + gamma * y would have it
        options: dict[str, Any] = {"scale": self.gamma, "recompute": self.recompute}
        if isinstance(self.grn, GRN):
            options["grn_weight"] = self.grn.gamma.reshape(-1)
            options["grn_bias"] = self.grn.beta.reshape(-1)
            options["grn_eps"] = self.grn.eps
        if self.training and self.drop_path.drop_prob:
            options["factor"] = drop_path_factor(x, self.drop_path.drop_prob)
        y = pointwise_mlp(
            mixed.movedim(1, -1), x.movedim(1, -1), norm.weight, norm.bias,
            w1.weight, w1.bias, w2.weight, w2.bias, eps=norm.eps, **options,
        )  # fmt: skip
        return y.movedim(-1, 1)
