"""Convolution and transposed convolution in one to three dimensions.

Convolution, its gradient in the input (the transposed convolution) and its gradient in the weight
are three Functions whose backwards are each other, so every order of derivative exists.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minigrad.autograd.node import Function
from minigrad.errors import OptionError, ShapeError
from minigrad.kernels import pick
from minigrad.modes import state
from minigrad.ops.arguments import check_same_dtype, check_tensor
from minigrad.ops.declare import operation
from minigrad.ops.neural.spatial import axes_names, check_images, one_image, per_axis
from minigrad.ops.precision import HALF, obey
from minigrad.ops.reduce import Sum
from minigrad.ops.shape import pad
from minigrad.tensor import Tensor

Ints = tuple[int, ...]
IntOrInts = int | Ints


class Geometry(NamedTuple):
    """How windows lie in the image; one entry per spatial axis, padding as (before, after)."""

    stride: Ints
    padding: tuple[tuple[int, int], ...]
    dilation: Ints
    groups: int


class Conv(Function):
    """Cross-correlation of x (N, C, *size) with w (O, C / groups, *kernel), plus a bias (O,)."""

    bfloat16 = True
    saves = (0, 1)
    saves_for = (1, 0)

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry

    def forward(self, x: Any, w: Any, bias: Any) -> Any:
        self.size, self.shape = x.shape[2:], w.shape
        return pick("conv", x)(x, w, bias, *self.geometry)

    def backward(self, g: Any, x: Any, w: Any) -> Any:
        need_x, need_w, need_bias = self.needs
        return (
            ConvInputGrad(self.geometry, self.size)(g, w) if need_x else None,
            ConvWeightGrad(self.geometry, self.shape)(g, x) if need_w else None,
            Sum((0, *range(2, g.ndim)), False)(g) if need_bias else None,
        )


class ConvInputGrad(Function):
    """Transpose of `Conv` in x: from y (N, O, *out) to (N, C, *size)."""

    bfloat16 = True
    name = "conv_transpose"
    saves = (0, 1)
    saves_for = (1, 0)

    def __init__(self, geometry: Geometry, size: Ints) -> None:
        self.geometry = geometry
        self.size = size

    def forward(self, y: Any, w: Any) -> Any:
        self.shape = w.shape
        return pick("conv_input_grad", y)(y, w, self.size, *self.geometry)

    def backward(self, g: Any, y: Any, w: Any) -> Any:
        return (
            Conv(self.geometry)(g, w, None) if self.needs[0] else None,
            ConvWeightGrad(self.geometry, self.shape)(y, g) if self.needs[1] else None,
        )


class ConvWeightGrad(Function):
    """Transpose of `Conv` in w: from y (N, O, *out) and x to the `shape` of w."""

    bfloat16 = True
    saves = (0, 1)
    saves_for = (1, 0)

    def __init__(self, geometry: Geometry, shape: Ints) -> None:
        self.geometry = geometry
        self.shape = shape

    def forward(self, y: Any, x: Any) -> Any:
        self.size = x.shape[2:]
        return pick("conv_weight_grad", y)(y, x, self.shape[2:], *self.geometry)

    def backward(self, g: Any, y: Any, x: Any) -> Any:
        return (
            Conv(self.geometry)(x, g, None) if self.needs[0] else None,
            ConvInputGrad(self.geometry, self.size)(y, g) if self.needs[1] else None,
        )


# ---- the functions users call ---------------------------------------------------------------


@operation("functional", autocast=HALF)
def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrInts = 1,
    padding: IntOrInts | str = 0,
    dilation: IntOrInts = 1,
    groups: int = 1,
) -> Tensor:
    """Convolution of (N, C, L) with (O, C / groups, K); see `conv2d`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.conv1d(mg.ones(1, 1, 4), mg.ones(1, 1, 2))
    tensor([[[2., 2., 2.]]])
    """
    return _conv("conv1d", 1, input, weight, bias, stride, padding, dilation, groups)


@operation("functional", autocast=HALF)
def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrInts = 1,
    padding: IntOrInts | str = 0,
    dilation: IntOrInts = 1,
    groups: int = 1,
) -> Tensor:
    """Two-dimensional convolution (cross-correlation, as everywhere in deep learning).

    ``y[n, o, p] = bias[o] + sum over c, k of x[n, c, p * stride + k * dilation] * w[o, c, k]``

    Parameters
    ----------
    input : Tensor, (N, C, H, W) or (C, H, W)
        Floating.
    weight : Tensor, (O, C / groups, KH, KW)
        The filters.
    bias : Tensor, (O,), optional
        Added to every output channel.
    stride : int or (int, int), default 1
        Step between windows.
    padding : int, (int, int), 'same' or 'valid', default 0
        Zeros around the image. 'same' keeps its size (stride 1 only), 'valid' means 0.
    dilation : int or (int, int), default 1
        Step between the pixels of a window.
    groups : int, default 1
        Cut the channels into groups that do not mix; ``groups == C`` is a depthwise convolution.

    Returns
    -------
    Tensor, (N, O, OH, OW)
        ``OH = (H + 2 * padding - dilation * (KH - 1) - 1) // stride + 1``; channels-last in memory.

    Raises
    ------
    ShapeError
        If the shapes do not fit, or the window is larger than the padded image.
    OptionError
        If an option is not one of those above.

    Examples
    --------
    >>> import minigrad as mg
    >>> x, w = mg.ones(1, 3, 8, 8), mg.ones(4, 3, 2, 2)
    >>> mg.nn.functional.conv2d(x, w, stride=2).shape
    (1, 4, 4, 4)
    """
    return _conv("conv2d", 2, input, weight, bias, stride, padding, dilation, groups)


@operation("functional", autocast=HALF)
def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrInts = 1,
    padding: IntOrInts | str = 0,
    dilation: IntOrInts = 1,
    groups: int = 1,
) -> Tensor:
    """Convolution of (N, C, D, H, W) with (O, C / groups, KD, KH, KW); see `conv2d`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.conv3d(mg.ones(1, 3, 5, 5, 5), mg.ones(8, 3, 3, 3, 3)).shape
    (1, 8, 3, 3, 3)
    """
    return _conv("conv3d", 3, input, weight, bias, stride, padding, dilation, groups)


@operation("functional", autocast=HALF)
def conv_transpose1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrInts = 1,
    padding: IntOrInts = 0,
    output_padding: IntOrInts = 0,
    groups: int = 1,
    dilation: IntOrInts = 1,
) -> Tensor:
    """Transposed convolution of (N, C, L) with (C, O / groups, K); see `conv_transpose2d`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.conv_transpose1d(mg.ones(1, 1, 2), mg.ones(1, 1, 2), stride=2)
    tensor([[[1., 1., 1., 1.]]])
    """
    return _conv_transpose(
        "conv_transpose1d",
        1,
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
    )


@operation("functional", autocast=HALF)
def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrInts = 1,
    padding: IntOrInts = 0,
    output_padding: IntOrInts = 0,
    groups: int = 1,
    dilation: IntOrInts = 1,
) -> Tensor:
    """Two-dimensional transposed convolution: the gradient of `conv2d` in its input.

    Parameters
    ----------
    input : Tensor, (N, C, H, W) or (C, H, W)
        Floating.
    weight : Tensor, (C, O / groups, KH, KW)
        The filters.
    bias : Tensor, (O,), optional
        Added to every output channel.
    stride, padding, dilation, groups
        Those of the convolution that it transposes.
    output_padding : int or (int, int), default 0
        Pixels added at the end of each axis: a strided convolution leads from several sizes to
        one, this says which. Smaller than stride or dilation.

    Returns
    -------
    Tensor, (N, O, OH, OW)
        ``OH = (H - 1) * stride - 2 * padding + dilation * (KH - 1) + output_padding + 1``.

    Raises
    ------
    ShapeError
        If the shapes do not fit, or nothing would be left.
    OptionError
        If an option is not one of those above.

    Examples
    --------
    >>> import minigrad as mg
    >>> x, w = mg.ones(1, 4, 4, 4), mg.ones(4, 3, 2, 2)
    >>> mg.nn.functional.conv_transpose2d(x, w, stride=2).shape
    (1, 3, 8, 8)
    """
    return _conv_transpose(
        "conv_transpose2d",
        2,
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
    )


@operation("functional", autocast=HALF)
def conv_transpose3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: IntOrInts = 1,
    padding: IntOrInts = 0,
    output_padding: IntOrInts = 0,
    groups: int = 1,
    dilation: IntOrInts = 1,
) -> Tensor:
    """Transposed convolution of (N, C, D, H, W) with (C, O / groups, KD, KH, KW).

    See `conv_transpose2d`.

    Examples
    --------
    >>> import minigrad as mg
    >>> weight = mg.ones(3, 8, 2, 2, 2)
    >>> mg.nn.functional.conv_transpose3d(mg.ones(1, 3, 4, 4, 4), weight, stride=2).shape
    (1, 8, 8, 8, 8)
    """
    return _conv_transpose(
        "conv_transpose3d",
        3,
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
    )


def _conv(
    name: str,
    dims: int,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
) -> Tensor:
    x = check_images(name, input, dims)
    if state.autocast is not None:
        x, weight, bias = obey(name, x, weight, bias)
    w, bias = _parameters(name, dims, x, weight, bias)
    stride = per_axis(name, "stride", stride, dims)
    dilation = per_axis(name, "dilation", dilation, dims)
    kernel = w.shape[2:]
    around = _padding(name, padding, kernel, stride, dilation)
    geometry = Geometry(stride, around, dilation, _groups(name, groups, w.shape[0], "output"))
    channels = x.shape[1]
    if channels != w.shape[1] * groups:
        raise ShapeError(
            f"{name}: input has {channels} channels but weight {w.shape} expects "
            f"{w.shape[1] * groups} (groups={groups}){_channel_mend(channels, w.shape[1] * groups)}"
        )
    _check_bias(name, bias, w.shape[0])
    for n, k, (lo, hi), d in zip(x.shape[2:], kernel, around, dilation, strict=True):
        if n + lo + hi < d * (k - 1) + 1:
            raise ShapeError(
                f"{name}: the window (kernel {kernel}, dilation {dilation}) is larger than the "
                f"padded image ({x.shape[2:]} with padding {padding}); enlarge the image or pad it"
            )
    return one_image(Conv(geometry)(x, w, bias), input, dims)


def _conv_transpose(
    name: str,
    dims: int,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    output_padding: Any,
    groups: int,
    dilation: Any,
) -> Tensor:
    x = check_images(name, input, dims)
    if state.autocast is not None:
        x, weight, bias = obey(name, x, weight, bias)
    w, bias = _parameters(name, dims, x, weight, bias)
    stride = per_axis(name, "stride", stride, dims)
    dilation = per_axis(name, "dilation", dilation, dims)
    pads = per_axis(name, "padding", padding, dims, least=0)
    extra = per_axis(name, "output_padding", output_padding, dims, least=0)
    if any(e >= max(s, d) for e, s, d in zip(extra, stride, dilation, strict=True)):
        raise OptionError(
            f"{name}: output_padding {extra} must be smaller than stride {stride} or dilation "
            f"{dilation}"
        )
    if x.shape[1] != w.shape[0]:
        raise ShapeError(
            f"{name}: input has {x.shape[1]} channels but weight {w.shape} expects {w.shape[0]}; "
            "the weight of a transposed convolution is (in_channels, out_channels / groups, …)"
        )
    # A pixel of output_padding takes back one that padding cut off; beyond that there is nothing.
    around = tuple((p, p - min(e, p)) for p, e in zip(pads, extra, strict=True))
    geometry = Geometry(stride, around, dilation, _groups(name, groups, w.shape[0], "input"))
    size = tuple(
        (n - 1) * s - lo - hi + d * (k - 1) + 1
        for n, s, (lo, hi), d, k in zip(
            x.shape[2:], stride, around, dilation, w.shape[2:], strict=True
        )
    )
    if min(size) < 1:
        raise ShapeError(
            f"{name}: nothing is left, the output would be {size}; reduce padding {pads}"
        )
    channels = w.shape[1] * groups
    _check_bias(name, bias, channels)
    y = ConvInputGrad(geometry, size)(x, w)
    beyond = [max(0, e - p) for p, e in zip(pads, extra, strict=True)]
    if any(beyond):
        y = pad(y, [n for e in reversed(beyond) for n in (0, e)])
    if bias is not None:
        y = y + bias.reshape(channels, *(1 for _ in size))
    return one_image(y, input, dims)


def _parameters(
    name: str, dims: int, x: Tensor, weight: Any, bias: Any
) -> tuple[Tensor, Tensor | None]:
    w = check_tensor(name, weight)
    if w.ndim != dims + 2:
        kernel = axes_names(dims).replace("N, C", "out, in / groups").replace(" H, W", " KH, KW")
        raise ShapeError(f"{name}: weight must have {dims + 2} axes {kernel}, got shape {w.shape}")
    if 0 in w.shape:
        raise ShapeError(f"{name}: weight of shape {w.shape} is empty")
    bias = None if bias is None else check_tensor(name, bias)
    check_same_dtype(name, *(t for t in (x, w, bias) if t is not None))
    return w, bias


def _groups(name: str, groups: Any, channels: int, which: str) -> int:
    if isinstance(groups, bool) or not isinstance(groups, (int, np.integer)) or groups < 1:
        raise OptionError(f"{name}: groups must be an integer >= 1, got {groups!r}")
    if channels % groups:
        raise OptionError(f"{name}: {channels} {which} channels do not split into {groups} groups")
    return int(groups)


def _check_bias(name: str, bias: Tensor | None, channels: int) -> None:
    if bias is not None and bias.shape != (channels,):
        raise ShapeError(f"{name}: bias must have shape ({channels},), got {bias.shape}")


def _channel_mend(found: int, expected: int) -> str:
    if (found, expected) == (1, 3):
        return "; repeat the grey channel: x.repeat(1, 3, 1, 1), or pass in_channels=1 to the model"
    if expected == 3 and found == 4:
        return "; pass in_channels=4 to the model or convert the image to RGB"
    return f"; pass in_channels={found} to the layer or model"


def _padding(
    name: str, padding: Any, kernel: Ints, stride: Ints, dilation: Ints
) -> tuple[tuple[int, int], ...]:
    """Return padding as (before, after) per axis; the odd zero of 'same' goes after."""
    if padding == "valid":
        padding = 0
    if padding == "same":
        if any(s != 1 for s in stride):
            raise OptionError(f"{name}: padding='same' needs stride 1, got {stride}")
        reach = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        return tuple((r // 2, r - r // 2) for r in reach)
    if isinstance(padding, str):
        raise OptionError(f"{name}: padding must be an int, 'same' or 'valid', got {padding!r}")
    return tuple((p, p) for p in per_axis(name, "padding", padding, len(kernel), least=0))
