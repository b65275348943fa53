"""Transposed convolutions: the gradient of a convolution, used to enlarge."""

from __future__ import annotations

from typing import Any, ClassVar

from minigrad.nn import functional as F
from minigrad.nn import init
from minigrad.nn.layers._sizes import Size
from minigrad.nn.layers.conv import check_groups, conv_repr
from minigrad.nn.module import Module, Parameter
from minigrad.ops.neural.spatial import per_axis
from minigrad.tensor import Tensor

__all__ = ["ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"]


class _ConvTranspose(Module):
    dims: ClassVar[int]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        name = type(self).__name__
        check_groups(name, in_channels, out_channels, groups)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = per_axis(name, "kernel_size", kernel_size, self.dims)
        self.stride = per_axis(name, "stride", stride, self.dims)
        self.padding = per_axis(name, "padding", padding, self.dims, least=0)
        self.output_padding = per_axis(name, "output_padding", output_padding, self.dims, least=0)
        self.dilation = per_axis(name, "dilation", dilation, self.dims)
        shape = (in_channels, out_channels // groups, *self.kernel_size)
        self.weight = init.empty(*shape, device=device, dtype=dtype)
        self.bias: Parameter | None
        self.register_parameter("bias", None)
        if bias:
            self.bias = init.empty(out_channels, device=device, dtype=dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values, PyTorch's."""
        init.default_(self.weight, self.bias)

    def forward(self, x: Tensor) -> Tensor:
        conv = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[self.dims - 1]
        return conv(
            x, self.weight, self.bias, self.stride, self.padding, self.output_padding,
            self.groups, self.dilation,
        )  # fmt: skip

    def extra_repr(self) -> str:
        return conv_repr(self, zero=(0,) * self.dims)


class ConvTranspose1d(_ConvTranspose):
    """Transposed convolution of signals; parameters as `ConvTranspose2d`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.ConvTranspose1d(3, 8, kernel_size=2, stride=2)(mg.ones(1, 3, 8)).shape
    (1, 8, 16)
    """

    dims = 1


class ConvTranspose2d(_ConvTranspose):
    """Transposed convolution of images, the gradient of `Conv2d` with respect to its input.

    H_out = (H − 1)·stride − 2·padding + dilation·(kernel_size − 1) + output_padding + 1.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels before and after; both must divide by `groups`.
    kernel_size, stride, padding, dilation : int or tuple of int
        Those of the convolution whose gradient this is.
    output_padding : int or tuple of int, default 0
        Extra length at the end of each axis, to choose among the sizes that a stride merges.
    groups : int, default 1
        Groups of channels that do not mix.
    bias : bool, default True
        Whether a value is added per output channel.
    device, dtype : optional
        Where and in which element type the parameters are made.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.ConvTranspose2d(8, 4, kernel_size=2, stride=2)(mg.zeros(1, 8, 5, 5)).shape
    (1, 4, 10, 10)
    """

    dims = 2


class ConvTranspose3d(_ConvTranspose):
    """Transposed convolution of volumes; parameters as `ConvTranspose2d`.

    Examples
    --------
    >>> import minigrad as mg
    >>> layer = mg.nn.ConvTranspose3d(3, 8, kernel_size=2, stride=2)
    >>> layer(mg.ones(1, 3, 4, 4, 4)).shape
    (1, 8, 8, 8, 8)
    """

    dims = 3
