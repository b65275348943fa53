"""The ConvNeXt block with the switches of dl_techniques: activation, dropouts, forms of GRN."""

from __future__ import annotations

from typing import Any

from minigrad.errors import unknown
from minigrad.models.activations import activation_by_name
from minigrad.models.block import Block as PlainBlock
from minigrad.nn import functional as F
from minigrad.nn import init
from minigrad.nn.layers import GRN as PlainGRN
from minigrad.nn.layers import Dropout
from minigrad.nn.layers.spatial import DROPOUTS
from minigrad.tensor import Tensor

__all__ = ["GRN", "Block"]

GRN_NORMS = ("mean", "sum")
GRN_POSITIONS = ("hidden", "projection")


class GRN(PlainGRN):
    """Global response normalisation whose divisor and first γ can be chosen.

    Parameters
    ----------
    dim, eps, spatial_dims, device, dtype
        As `minigrad.nn.GRN` takes them.
    norm : {"mean", "sum"}
        What divides each channel's norm: their mean over the channels (official), or their sum.
    first : float, default 0
        First value of γ; 0 makes a new layer the identity.

    Examples
    --------
    >>> import minigrad as mg
    >>> GRN(2, norm="sum", first=1.0)(mg.ones(1, 1, 1, 2)).detach()
    tensor([[[[1.5, 1.5]]]])
    """

    def __init__(
        self,
        dim: int,
        eps: float = 1e-6,
        spatial_dims: int = 2,
        *,
        norm: str = "mean",
        first: float = 0.0,
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        if norm not in GRN_NORMS:
            raise unknown("GRN norm", norm, GRN_NORMS)
        super().__init__(dim, eps, spatial_dims, device=device, dtype=dtype)
        self.norm = norm
        init.constant_(self.gamma, first)

    def forward(self, x: Tensor) -> Tensor:
        if self.norm == "mean":
            return super().forward(x)
        # G / (ΣG + eps) = (1/C) · G / (mean G + eps/C)
        return F.global_response_norm(x, self.gamma / self.dim, self.beta, self.eps / self.dim)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, norm={self.norm!r}"


class Block(PlainBlock):
    """A `minigrad.models.Block` with more choices.

    Parameters
    ----------
    dim, drop_path, layer_scale_init_value, grn, kernel_size, eps, spatial_dims, **options
        As `minigrad.models.Block` takes them.
    dropout : float, default 0
        Probability to drop individual hidden values in training, after the GRN.
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

    Examples
    --------
    >>> import minigrad as mg
    >>> block = Block(8, grn=True, activation="relu", grn_position="projection")
    >>> block(mg.randn(2, 8, 8, 8)).shape
    (2, 8, 8, 8)
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
        *,
        dropout: float = 0.0,
        spatial_dropout: float = 0.0,
        activation: str | None = "gelu",
        approximate: str = "none",
        grn_norm: str = "mean",
        grn_position: str = "hidden",
        grn_eps: float = 1e-6,
        grn_init: float = 0.0,
        **options: Any,
    ) -> None:
        if grn_position not in GRN_POSITIONS:
            raise unknown("Block grn_position", grn_position, GRN_POSITIONS)
        act = activation_by_name(activation, approximate)
        super().__init__(
            dim, drop_path, layer_scale_init_value, grn, kernel_size, eps, spatial_dims, **options
        )
        self.grn_last = grn and grn_position == "projection"
        if grn:
            at: dict[str, Any] = {
                "device": str(self.pwconv1.weight.device),
                "dtype": self.pwconv1.weight.dtype,
            }
            width = dim if self.grn_last else 4 * dim
            self.grn = GRN(width, grn_eps, spatial_dims, norm=grn_norm, first=grn_init, **at)
        self.act = act
        self.dropout = Dropout(dropout) if dropout else None
        self.spatial_dropout = DROPOUTS[spatial_dims](spatial_dropout) if spatial_dropout else None

    def _is_one_operation(self, x: Tensor) -> bool:
        plain = self.act is F.gelu and not self.grn_last
        return plain and super()._is_one_operation(x)

    def pointwise(self, x: Tensor, mixed: Tensor) -> Tensor:
        """Return x + all that follows the convolution, whose output `mixed` is."""
        if self._is_one_operation(x):
            return super().pointwise(x, mixed)
        y = self.act(self.pwconv1(self.norm(mixed.movedim(1, -1))))
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
