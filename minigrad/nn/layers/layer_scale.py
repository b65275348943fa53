"""LayerScale: a learned factor per channel at the end of a residual branch."""

from __future__ import annotations

from typing import Any

from minigrad.nn import init
from minigrad.nn.layers._sizes import check_lengths
from minigrad.nn.module import Module
from minigrad.tensor import Tensor

__all__ = ["LayerScale"]


class LayerScale(Module):
    """y = γ · x over the last axis, γ starting small (Touvron et al., 2021).

    Parameters
    ----------
    dim : int
        Channels, the last axis of the input.
    init_value : float, default 1e-6
        First value of γ.
    device, dtype : optional
        Where and in which element type the parameter is made.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.LayerScale(2, 0.5)(mg.ones(1, 2))
    tensor([[0.5, 0.5]], grad_fn=<mul>)
    """

    def __init__(
        self, dim: int, init_value: float = 1e-6, device: str | None = None, dtype: Any = None
    ) -> None:
        check_lengths("LayerScale", dim=dim)
        self.dim, self.init_value = dim, init_value
        self.gamma = init.empty(dim, device=device, dtype=dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set γ to its first value."""
        init.constant_(self.gamma, self.init_value)

    def forward(self, x: Tensor) -> Tensor:
        return self.gamma * x

    def extra_repr(self) -> str:
        return f"{self.dim}, init_value={self.init_value}"
