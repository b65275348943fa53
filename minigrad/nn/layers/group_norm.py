"""Group normalisation."""

from __future__ import annotations

from typing import Any

from minigrad.errors import OptionError
from minigrad.nn import functional as F
from minigrad.nn import init
from minigrad.nn.layers._sizes import check_lengths
from minigrad.nn.module import Module, Parameter
from minigrad.tensor import Tensor

__all__ = ["GroupNorm"]


class GroupNorm(Module):
    """Normalise each sample over groups of channels and all positions (Wu and He, 2018).

    Parameters
    ----------
    num_groups : int
        Number of groups; it divides `num_channels`. 1 is a layer norm over the whole sample.
    num_channels : int
        Channels of the input (N, C, *spatial).
    eps : float, default 1e-5
        Added to the variance.
    affine : bool, default True
        Whether each channel has a weight and a bias.
    device, dtype : optional
        Where and in which element type the parameters are made.
    bias : bool, default True
        False leaves the bias out.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.GroupNorm(2, 8)(mg.randn(2, 8, 4, 4)).shape
    (2, 8, 4, 4)
    """

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: str | None = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        check_lengths("GroupNorm", num_channels=num_channels)
        if num_groups < 1 or num_channels % num_groups:
            raise OptionError(
                f"GroupNorm: num_groups={num_groups} must divide num_channels={num_channels}"
            )
        self.num_groups, self.num_channels = num_groups, num_channels
        self.eps, self.affine = eps, affine
        self.weight: Parameter | None
        self.register_parameter("weight", None)
        self.bias: Parameter | None
        self.register_parameter("bias", None)
        if affine:
            self.weight = init.empty(num_channels, device=device, dtype=dtype)
            if bias:
                self.bias = init.empty(num_channels, device=device, dtype=dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the weight to one and the bias to zero."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )
