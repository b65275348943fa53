"""Convolution by one matrix product: a window of the image is a row, the filters are a matrix.

ConvNeXt's own convolutions "patchify", kernel equals stride: then every pixel is in one window, the
windows are the image with its axes in another order, and so is the gradient of the image. Where
windows overlap, a few images are treated at a time, for their windows take more memory than they
do.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from minigrad.backend import get_xp
from minigrad.kernels.arrays.conv import (
    Padding,
    _windows,
    flip,
    flipped_padding,
    out_size,
    pad,
)
from minigrad.kernels.arrays.layout import channels_first, channels_last
from minigrad.kernels.cuda.arrays import Array, accumulator, as_rows, takes, zeros

__all__ = ["conv", "conv_input_grad", "conv_weight_grad"]

Ints = Sequence[int]

WINDOWS = 1 << 27  # elements of the windows made at a time


def _matrix(w: Array) -> Array:
    """Turn the weight (O, C, *kernel) into (O, kernel * C)."""
    return as_rows(channels_last(w)).reshape(len(w), -1)


def _columns(
    x: Array, out: Ints, kernel: Ints, stride: Ints, padding: Padding, dilation: Ints
) -> Iterator[tuple[slice, Array]]:
    """Yield the windows (N * out, kernel * C) of some images at a time."""
    xp = get_xp(x)
    size = math.prod(out) * math.prod(kernel) * x.shape[1]
    step = max(1, WINDOWS // max(1, size))
    for n in range(0, len(x), step):
        images = slice(n, n + step)
        padded = pad(xp, channels_last(x[images]), padding)
        windows = _windows(xp, padded, out, kernel, stride, dilation, 1)
        yield images, windows.reshape(math.prod(windows.shape[: 2 + len(out)]), -1)


def _patches(kernel: Ints, stride: Ints, padding: Padding, dilation: Ints) -> bool:
    """Return True if every pixel is in one window at most."""
    apart = all(k <= s for k, s in zip(kernel, stride, strict=True))
    return apart and all(d == 1 for d in dilation) and not any(lo or hi for lo, hi in padding)


def _dense(*args: Any) -> bool:
    return bool(args[-1] == 1)


@takes(arrays=3, when=_dense)
def conv(
    x: Array,
    w: Array,
    bias: Array | None,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
) -> Array:
    """``y[o, p] = bias[o] + sum over c, k of x[c, p * stride + k * dilation] * w[o, c, k]``."""
    kernel = w.shape[2:]
    out = out_size(x.shape[2:], kernel, stride, padding, dilation)
    matrix = _matrix(w).T
    parts = [c @ matrix for _, c in _columns(x, out, kernel, stride, padding, dilation)]
    y = parts[0] if len(parts) == 1 else get_xp(x).concatenate([zeros(x, (0, len(w))), *parts])
    if bias is not None:
        y += bias
    return channels_first(y.reshape(len(x), *out, len(w)))


def _has_a_way_back(
    g: Array, w: Array, size: Ints, stride: Ints, padding: Padding, dilation: Ints, groups: int
) -> bool:
    kernel = w.shape[2:]
    around = flipped_padding(size, g.shape[2:], kernel, padding, dilation)
    plain = all(s == 1 for s in stride) and all(lo >= 0 and hi >= 0 for lo, hi in around)
    return groups == 1 and (plain or _patches(kernel, stride, padding, dilation))


@takes(arrays=2, when=_has_a_way_back)
def conv_input_grad(
    g: Array,
    w: Array,
    size: Ints,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
) -> Array:
    """Gradient of `conv` with respect to x of spatial `size`."""
    kernel, out = w.shape[2:], g.shape[2:]
    if _patches(kernel, stride, padding, dilation):
        return _input_grad_of_patches(channels_last(g), w, size, stride)
    around = flipped_padding(size, out, kernel, padding, dilation)  # the filter is turned
    return conv(g, flip(w).swapaxes(0, 1), None, stride, around, dilation, 1)


def _input_grad_of_patches(g: Array, w: Array, size: Ints, stride: Ints) -> Array:
    """Hand every pixel what its window gets; g is channels-last."""
    n, *out, _ = g.shape
    kernel, channels = w.shape[2:], w.shape[1]
    d = len(out)
    columns = (as_rows(g) @ _matrix(w)).reshape(n, *out, *kernel, channels)
    # (N, *out, *kernel, C) -> (N, out, kernel, out, kernel, ..., C), which is the image
    pairs = [axis for i in range(d) for axis in (1 + i, 1 + d + i)]
    gx = zeros(g, (n, *(m for o, s in zip(out, stride, strict=True) for m in (o, s)), channels))
    inside = tuple(slice(None) if i % 2 == 0 else slice(kernel[i // 2]) for i in range(2 * d))
    gx[(slice(None), *inside)] = columns.transpose(0, *pairs, 2 * d + 1)
    gx = gx.reshape(n, *(o * s for o, s in zip(out, stride, strict=True)), channels)
    if gx.shape[1:-1] != tuple(size):  # pixels at the far end that no window reaches
        whole = zeros(g, (n, *size, channels))
        cut = tuple(slice(min(a, b)) for a, b in zip(gx.shape[1:-1], size, strict=True))
        whole[(slice(None), *cut)] = gx[(slice(None), *cut)]
        gx = whole
    return channels_first(gx)


@takes(arrays=2, when=_dense)
def conv_weight_grad(
    g: Array,
    x: Array,
    kernel: Ints,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
) -> Array:
    """Gradient of `conv` with respect to w of spatial size `kernel`."""
    out, channels = g.shape[2:], g.shape[1]
    rows = channels_last(g)
    total = zeros(g, (channels, math.prod(kernel) * x.shape[1]), accumulator(g.dtype))
    for images, columns in _columns(x, out, kernel, stride, padding, dilation):
        total += as_rows(rows[images]).T @ columns
    gw = total.astype(g.dtype, copy=False).reshape(channels, *kernel, x.shape[1])
    return channels_first(gw)
