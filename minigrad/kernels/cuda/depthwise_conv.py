"""Depthwise convolution; depthwise_conv.cu shows how a thread walks down the image.

That walk is for stride 1 and the usual odd kernels. Everything else takes the plain kernels.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from minigrad.kernels.arrays.conv import Padding, flipped_padding, out_size
from minigrad.kernels.arrays.layout import channels_first, channels_last
from minigrad.kernels.cuda.arrays import (
    THREADS,
    Array,
    accumulator,
    blocks,
    contiguous,
    empty,
    takes,
)
from minigrad.kernels.cuda.launcher import launch
from minigrad.kernels.cuda.reduce import sum_parts

__all__ = ["depthwise_conv", "depthwise_conv_input_grad", "depthwise_conv_weight_grad"]

Ints = Sequence[int]

TILE = 7  # outputs side by side, made by one thread: as in depthwise_conv.cu
ROW_THREADS = 128
WALKS = 1 << 16  # threads that keep a GPU busy; an image is cut into shorter walks to have them
PARTS = 512  # blocks, for the gradient of the weight
KERNELS = {(1, 3), (1, 5), (1, 7), (3, 3), (5, 5), (7, 7)}
CUBES = {3, 5, 7}


def _three(values: Ints, missing: int) -> tuple[int, ...]:
    """Put one to three spatial numbers on three axes."""
    return (missing,) * (3 - len(values)) + tuple(values)


def _walks(dtype: Any, kernel: Ints, stride: Ints, dilation: Ints) -> bool:
    """Return True if a thread can walk down the image."""
    if dtype.itemsize == 8 or any(n != 1 for n in (*stride, *dilation)):
        return False
    if len(kernel) == 3:
        return len(set(kernel)) == 1 and kernel[0] in CUBES
    return _three(kernel, 1)[1:] in KERNELS


def _strips(n: int, channels: int, out: Ints) -> tuple[int, int]:
    """Return how many strips there are, and how many output rows one has."""
    depth, height, width = _three(out, 1)
    across = n * depth * -(-width // TILE)
    down = min(-(-height // TILE), -(-WALKS // max(1, across * channels)))
    share = -(-height // max(1, down))
    return across * -(-height // share), share


def _volume(x: Array) -> Array:
    """Return (N, C, *spatial) as contiguous (N, *spatial, C)."""
    return contiguous(channels_last(x))


def _walk(x: Array, w: Array, bias: Array | None, out: Ints, padding: Padding, flip: bool) -> Array:
    n, *size, channels = x.shape
    kernel = w.shape[2:]
    before = _three([lo for lo, _ in padding], 0)
    y = empty(x, (n, *out, channels))
    strips, share = _strips(n, channels, out)
    arrays = (x, contiguous(w), None if bias is None else contiguous(bias), y)
    if len(kernel) == 3:
        launch(
            "depthwise_volume", (blocks(strips, ROW_THREADS // 32), blocks(channels, 32)),
            (ROW_THREADS,),
            (*arrays, *size, *out, channels, strips, share, *before, flip), kernel[:1],
        )  # fmt: skip
    else:
        launch(
            "depthwise_rows", (blocks(strips * channels, ROW_THREADS),), (ROW_THREADS,),
            (
                *arrays, *_three(size, 1)[1:], *_three(out, 1)[1:], channels, strips, share,
                *before[1:], flip,
            ),
            _three(kernel, 1)[1:],
        )  # fmt: skip
    return channels_first(y)


def _geometry(
    size: Ints, out: Ints, kernel: Ints, stride: Ints, padding: Padding, dilation: Ints
) -> tuple[int, ...]:
    """Return the arguments with which every plain kernel ends."""
    before = _three([lo for lo, _ in padding], 0)
    threes = (_three(values, 1) for values in (size, out, kernel, stride))
    return (*(n for three in threes for n in three), *before, *_three(dilation, 1))


@takes(arrays=3, when=lambda x, w, bias, *steps: w.shape[1:2] == (1,) and len(w) == steps[-1])
def depthwise_conv(
    x: Array,
    w: Array,
    bias: Array | None,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
) -> Array:
    """``y[n, c, p] = bias[c] + sum over k of x[n, c, p * stride + k * dilation] * w[c, 0, k]``."""
    x = _volume(x)
    n, *size, channels = x.shape
    kernel = w.shape[2:]
    out = out_size(size, kernel, stride, padding, dilation)
    if _walks(x.dtype, kernel, stride, dilation):
        return _walk(x, w, bias, out, padding, False)
    y = empty(x, (n, *out, channels))
    launch(
        "depthwise_plain", (blocks(y.size),), (THREADS,),
        (
            x, contiguous(w), None if bias is None else contiguous(bias), y, y.size, channels,
            *_geometry(size, out, kernel, stride, padding, dilation),
        ),
    )  # fmt: skip
    return channels_first(y)


@takes(arrays=2, when=lambda g, w, *steps: w.shape[1:2] == (1,) and len(w) == steps[-1])
def depthwise_conv_input_grad(
    g: Array,
    w: Array,
    size: Ints,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
) -> Array:
    """Gradient with respect to x of spatial `size`."""
    g = _volume(g)
    n, *out, channels = g.shape
    kernel = w.shape[2:]
    if _walks(g.dtype, kernel, stride, dilation):
        around = flipped_padding(size, out, kernel, padding, dilation)
        return _walk(g, w, None, size, around, True)
    gx = empty(g, (n, *size, channels))
    launch(
        "depthwise_plain_input", (blocks(gx.size),), (THREADS,),
        (
            g, contiguous(w), gx, gx.size, channels,
            *_geometry(size, out, kernel, stride, padding, dilation),
        ),
    )  # fmt: skip
    return channels_first(gx)


@takes(arrays=2, when=lambda g, x, *steps: g.shape[1] == x.shape[1] == steps[-1])
def depthwise_conv_weight_grad(
    g: Array,
    x: Array,
    kernel: Ints,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
) -> Array:
    """Gradient with respect to w of spatial size `kernel`."""
    g, x = _volume(g), _volume(x)
    n, *size, channels = x.shape
    out = g.shape[1:-1]
    taps = math.prod(kernel)
    across = blocks(channels, 32)
    if _walks(x.dtype, kernel, stride, dilation):
        strips, share = _strips(n, channels, out)
        count = max(1, min(blocks(strips, ROW_THREADS // 32), PARTS // across))
        parts = empty(x, (1, count, channels * taps), accumulator(x.dtype))
        launch(
            "depthwise_rows_weight", (across, count, _three(kernel, 1)[0]), (ROW_THREADS,),
            (
                g, x, parts, *_three(size, 1), *_three(out, 1), channels, strips, share,
                *_three([lo for lo, _ in padding], 0),
            ),
            _three(kernel, 1)[1:],
        )  # fmt: skip
    else:
        positions = n * math.prod(out)
        count = max(1, min(blocks(positions, THREADS // 2), PARTS // (across * taps)))
        parts = empty(x, (1, count, channels * taps), accumulator(x.dtype))
        launch(
            "depthwise_plain_weight", (across, taps, count), (THREADS,),
            (
                g, x, parts, positions, channels,
                *_geometry(size, out, kernel, stride, padding, dilation),
            ),
        )  # fmt: skip
    return sum_parts(parts, x.dtype).reshape(channels, 1, *kernel)
