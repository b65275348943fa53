"""Convolutions in one, two and three dimensions."""

from __future__ import annotations

from typing import Any, ClassVar

from minigrad.errors import OptionError, unknown
from minigrad.nn import functional as F
from minigrad.nn import init
from minigrad.nn.layers._sizes import Size, check_lengths
from minigrad.nn.module import Module, Parameter
from minigrad.ops.neural.spatial import per_axis
from minigrad.tensor import Tensor

__all__ = ["Conv1d", "Conv2d", "Conv3d"]

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _Conv(Module):
    dims: ClassVar[int]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        name = type(self).__name__
        check_groups(name, in_channels, out_channels, groups)
        if padding_mode not in PADDING_MODES:
            raise unknown(f"{name} padding_mode", padding_mode, PADDING_MODES)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size = per_axis(name, "kernel_size", kernel_size, self.dims)
        self.stride = per_axis(name, "stride", stride, self.dims)
        self.dilation = per_axis(name, "dilation", dilation, self.dims)
        self.padding_mode = padding_mode
        self.padding: str | tuple[int, ...]
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise unknown(f"{name} padding", padding, ("same", "valid"))
            if padding == "same" and set(self.stride) != {1}:
                raise OptionError(
                    f"{name}: padding='same' needs stride 1, got stride={stride}; "
                    "give the padding as a number"
                )
            self.padding = padding
        else:
            self.padding = per_axis(name, "padding", padding, self.dims, least=0)
        shape = (out_channels, in_channels // groups, *self.kernel_size)
        self.weight = init.empty(*shape, device=device, dtype=dtype)
        self.bias: Parameter | None
        self.register_parameter("bias", None)
        if bias:
            self.bias = init.empty(out_channels, device=device, dtype=dtype)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw new initial values, PyTorch's: U(−1/√fan_in, 1/√fan_in)."""
        init.default_(self.weight, self.bias)

    def forward(self, x: Tensor) -> Tensor:
        padding: Any = self.padding
        if self.padding_mode != "zeros":
            x, padding = F.pad(x, self._border(), self.padding_mode), 0
        conv = (F.conv1d, F.conv2d, F.conv3d)[self.dims - 1]
        return conv(x, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

    def _border(self) -> list[int]:
        """Return the padding as `F.pad` takes it: (before, after) from the last axis on."""
        if self.padding == "valid":
            sizes = [(0, 0)] * self.dims
        elif self.padding == "same":
            total = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size, strict=True)]
            sizes = [(n // 2, n - n // 2) for n in total]
        else:
            sizes = [(int(n), int(n)) for n in self.padding]
        return [n for pair in reversed(sizes) for n in pair]

    def extra_repr(self) -> str:
        return conv_repr(self, zero=(0,) * self.dims)


class Conv1d(_Conv):
    """Convolution of signals: (N, C_in, L) to (N, C_out, L_out); parameters as `Conv2d`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.Conv1d(3, 8, kernel_size=3, padding=1)(mg.ones(1, 3, 8)).shape
    (1, 8, 8)
    """

    dims = 1


class Conv2d(_Conv):
    """Convolution of images (cross-correlation): (N, C_in, H, W) to (N, C_out, H_out, W_out).

    H_out = ⌊(H + 2·padding − dilation·(kernel_size − 1) − 1) / stride⌋ + 1.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels before and after; both must divide by `groups`.
    kernel_size : int or tuple of int
        Size of the window.
    stride : int or tuple of int, default 1
        Step of the window.
    padding : int, tuple of int, "same" or "valid", default 0
        Border on each side.
    dilation : int or tuple of int, default 1
        Distance between the window's elements.
    groups : int, default 1
        Groups of channels that do not mix; ``groups=in_channels`` is a depthwise convolution.
    bias : bool, default True
        Whether a value is added per output channel.
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
        What the border is filled with.
    device, dtype : optional
        Where and in which element type the parameters are made.

    Examples
    --------
    >>> import minigrad as mg
    >>> stem = mg.nn.Conv2d(3, 96, kernel_size=4, stride=4)
    >>> stem(mg.zeros(1, 3, 64, 64)).shape
    (1, 96, 16, 16)
    """

    dims = 2


class Conv3d(_Conv):
    """Convolution of volumes, (N, C, D, H, W); parameters as `Conv2d`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.Conv3d(3, 8, kernel_size=3, padding=1)(mg.ones(1, 3, 4, 4, 4)).shape
    (1, 8, 4, 4, 4)
    """

    dims = 3


def check_groups(name: str, in_channels: int, out_channels: int, groups: int) -> None:
    """Refuse channels that are not lengths, or that the groups do not divide."""
    check_lengths(name, in_channels=in_channels, out_channels=out_channels)
    if groups < 1 or in_channels % groups or out_channels % groups:
        raise OptionError(
            f"{name}: groups={groups} must divide in_channels={in_channels} and "
            f"out_channels={out_channels}"
        )


def conv_repr(layer: Any, zero: tuple[int, ...]) -> str:
    """Return PyTorch's text: the sizes always, the rest where it is not the default."""
    text = (
        f"{layer.in_channels}, {layer.out_channels}, "
        f"kernel_size={layer.kernel_size}, stride={layer.stride}"
    )
    if layer.padding != zero:
        text += f", padding={layer.padding}"
    if set(layer.dilation) != {1}:
        text += f", dilation={layer.dilation}"
    if set(getattr(layer, "output_padding", zero)) != {0}:
        text += f", output_padding={layer.output_padding}"
    if layer.groups != 1:
        text += f", groups={layer.groups}"
    if layer.bias is None:
        text += ", bias=False"
    if getattr(layer, "padding_mode", "zeros") != "zeros":
        text += f", padding_mode={layer.padding_mode}"
    return text
