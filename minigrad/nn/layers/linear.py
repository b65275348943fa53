"""Linear: the affine map of the last axis."""

from __future__ import annotations

from typing import Any

from minigrad.nn import functional as F
from minigrad.nn import init
from minigrad.nn.layers._sizes import check_lengths
from minigrad.nn.module import Module, Parameter
from minigrad.tensor import Tensor

__all__ = ["Linear"]


class Linear(Module):
    """y = x Wᵀ + b over the last axis.

    Parameters
    ----------
    in_features, out_features : int
        Lengths of the last axis before and after.
    bias : bool, default True
        Whether b is there.
    device, dtype : optional
        Where and in which element type the parameters are made.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.Linear(3, 5)(mg.ones(2, 7, 3)).shape
    (2, 7, 5)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        check_lengths("Linear", in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        self.weight = init.empty(out_features, in_features, device=device, dtype=dtype)
        self.bias: Parameter | None
        self.register_parameter("bias", None)
        if bias:
            self.bias = init.empty(out_features, device=device, dtype=dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values, PyTorch's: U(−1/√in_features, 1/√in_features)."""
        init.default_(self.weight, self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, "
            f"bias={self.bias is not None}"
        )
