"""Convolution as matrix products, and its two gradients: the stem and the downsampling.

With a small weight, reordered from (channel, tap) to (tap, channel), a channels-last image is a
matrix as it lies, line by line: the windows of neighbouring results overlap in memory. Elsewhere
windows are gathered to rows, and a tile of rows is multiplied while it is in the cache, with large
weights tap by tap. A photo of three channels, in planes, is read as it is, rows (channel, tap).
Arguments are those of `minigrad.kernels.arrays.conv`, which does the work where there are groups.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import get_thread_id, prange

from minigrad.kernels.arrays.conv import (
    Padding,
    first_pixel,
    flip,
    flipped_padding,
    met_zeros,
    out_size,
)
from minigrad.kernels.cpu.arrays import (
    Array,
    channels_first,
    channels_last,
    contiguous,
    empty,
    spatial,
    takes,
    three,
    volume,
)
from minigrad.kernels.cpu.compile import compiled, parallel, threads
from minigrad.kernels.cpu.gemm import multiply, transpose
from minigrad.kernels.cpu.simd import copy_short

__all__ = ["conv", "conv_input_grad", "conv_weight_grad"]

Ints = Sequence[int]

TILE = 1 << 18  # bytes of a tile of rows
SLAB = 1 << 23  # bytes of the rows gathered at a time for a large weight's gradient
SMALL = 1 << 18  # bytes of a small weight: each of PARTS shares of the rows sums up its own
PARTS = 8
FEW = 16  # channels of an image in planes that is read as it is
THIN = 64  # channels that are not worth a product of their own
LINE = 8  # results side by side that are worth one


def _fits(x: Array, w: Array, bias: Array | None, *steps: Any) -> bool:
    return (
        steps[-1] == 1
        and x.ndim == w.ndim
        and x.shape[1] == w.shape[1]
        and (bias is None or bias.shape == w.shape[:1])
    )


@takes(_fits)
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
    channels, row = len(w), math.prod(w.shape[1:])
    y = empty((len(x), *out, channels), x.dtype)
    start = np.zeros(channels, x.dtype) if bias is None else contiguous(bias)
    few = _few(x)
    whole = few or x.shape[1] < THIN or w.nbytes <= SMALL
    turned = empty(w.size, x.dtype)
    transpose(turned, contiguous(channels_last(w) if whole and not few else w).reshape(-1, row))
    image, steps = _image(x, few), _steps(kernel, stride, padding, dilation)
    if whole and _is_matrix(few, dilation, out):
        _conv_by_lines(y.reshape(-1), image, turned, start, three(out, 1), *steps)
    else:
        tile = _tile(row, x.dtype, y.size // channels)
        _conv(
            y.reshape(-1), image, turned, start, three(out, 1), *steps, few, whole, tile,
            empty((threads(), tile * row), x.dtype),
        )  # fmt: skip
        if met_zeros(first_pixel(y), w):
            return NotImplemented
    return channels_first(y)


def _fits_input_grad(
    g: Array, w: Array, size: Ints, stride: Ints, padding: Padding, dilation: Ints, groups: int
) -> bool:
    plain = all(s == 1 for s in stride)
    return (
        groups == 1
        and g.ndim == w.ndim
        and g.shape[1] == len(w)
        and (plain or _are_apart(w.shape[2:], stride, padding, dilation))
    )


def _are_apart(kernel: Ints, stride: Ints, padding: Padding, dilation: Ints) -> bool:
    """Return whether no pixel is in two windows."""
    return all(
        s >= k and d == 1 and lo >= 0
        for s, k, d, (lo, _) in zip(stride, kernel, dilation, padding, strict=True)
    )


@takes(_fits_input_grad)
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
    kernel = w.shape[2:]
    if all(s == 1 for s in stride):
        around = flipped_padding(size, g.shape[2:], kernel, padding, dilation)
        return conv(g, flip(w).swapaxes(0, 1), None, stride, around, dilation, 1)
    channels, row = len(w), math.prod(w.shape[1:])
    gx = empty((len(g), *size, w.shape[1]), g.dtype)
    gx[...] = 0
    tile = _tile(row, g.dtype, g.size // channels)
    _scatter(
        spatial(gx), volume(g).reshape(-1), contiguous(w).reshape(-1), three(g.shape[2:], 1),
        *_steps(kernel, stride, padding, dilation), tile, empty((threads(), tile * row), g.dtype),
    )  # fmt: skip
    return channels_first(gx)


@takes(lambda g, x, *steps: steps[-1] == 1 and g.ndim == x.ndim and len(g) == len(x))
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
    channels, inner = g.shape[1], x.shape[1]
    row = math.prod(kernel) * inner
    few = _few(x)
    out = three(g.shape[2:], 1)
    rows = len(g) * math.prod(out)
    steps = _steps(kernel, stride, padding, dilation)
    g, image = volume(g).reshape(-1), _image(x, few)
    small = rows and channels * row * g.itemsize <= SMALL
    if small and _is_matrix(few, dilation, out):
        sums = empty((min(PARTS, rows // out[2]), channels * row), g.dtype)
        _weight_grad_by_lines(sums, g, image, rows, out, *steps)
        gw = sums.sum(axis=0)
    elif small:
        tile = _rows(TILE, row, g.dtype, rows)
        sums = empty((min(PARTS, rows), channels * row), g.dtype)
        memory = empty((threads(), tile * row), g.dtype)
        _weight_grad_in_parts(sums, g, image, rows, row, out, *steps, few, tile, memory)
        gw = sums.sum(axis=0)
    else:
        gw = empty(channels * row, g.dtype)
        gw[...] = 0
        slab = _rows(SLAB, row, g.dtype, rows)
        columns = empty(slab * row, g.dtype)
        for first in range(0, rows, slab):
            count = min(slab, rows - first)
            _gather_all(columns, image, first, count, row, out, *steps, few)
            _weight_grad(gw, g, columns, first, count, channels, row)
    if met_zeros(gw.reshape(channels, row)[:, :1], g):
        return NotImplemented
    if few:
        return gw.reshape(channels, inner, *kernel)
    return channels_first(gw.reshape(channels, *kernel, inner))


def _few(x: Array) -> bool:
    return bool(x.shape[1] < FEW and x.flags.c_contiguous)


def _is_matrix(few: bool, dilation: Ints, out: Ints) -> bool:
    """Return whether the windows of a line are rows as they lie, and enough to multiply."""
    return not few and dilation[-1] == 1 and out[-1] >= LINE


def _image(x: Array, few: bool) -> Array:
    """Return (N, C, *spatial) as (N, D, H, W, C), or with few channels as (N, C, D, H, W)."""
    return x.reshape(*x.shape[:2], *three(x.shape[2:], 1)) if few else volume(x)


def _steps(kernel: Ints, stride: Ints, padding: Padding, dilation: Ints) -> tuple[Ints, ...]:
    low = [lo for lo, _ in padding]
    return three(kernel, 1), three(stride, 1), three(low, 0), three(dilation, 1)


def _rows(size: int, row: int, dtype: np.dtype, rows: int) -> int:
    """Return how many rows fit in `size` bytes, of all there are."""
    return max(1, min(max(64, size // max(1, row * dtype.itemsize)), rows))


def _tile(row: int, dtype: np.dtype, rows: int) -> int:
    """Return how many rows a task takes; tasks are even in number, for equal shares of cores."""
    pairs = -(-rows // (2 * _rows(TILE, row, dtype, rows)))
    return -(-rows // max(1, 2 * pairs))


# ---- rows from windows and back ----------------------------------------------------------------


@compiled
def _position(index, out):  # type: ignore[no-untyped-def]
    """Return sample and coordinates of a result."""
    rest, w = index // out[2], index % out[2]
    rest, h = rest // out[1], rest % out[1]
    return rest // out[0], rest % out[0], h, w


@compiled
def _line(n, d, h, i, j, depth, height, stride, low, dilation):  # type: ignore[no-untyped-def]
    """Return which line of all images meets line (i, j) of the filter, or -1 outside of them."""
    from_d = d * stride[0] - low[0] + i * dilation[0]
    from_h = h * stride[1] - low[1] + j * dilation[1]
    if 0 <= from_d < depth and 0 <= from_h < height:
        return (n * depth + from_d) * height + from_h
    return -1


@compiled
def _gather(rows, at, x, n, d, h, w, kernel, stride, low, dilation, few):  # type: ignore[no-untyped-def]
    """Copy the window of one result to a row; zeros where it leaves the image."""
    if few:
        channels, depth, height, width = x.shape[1:]
    else:
        depth, height, width, channels = x.shape[1:]
    pixels = x.reshape(-1)
    planes, pixel = (channels, 1) if few else (1, channels)  # to go through, numbers at a place
    from_w0 = w * stride[2] - low[2]
    together = dilation[2] == 1 and 0 <= from_w0 and from_w0 + kernel[2] <= width
    for plane in range(planes):
        image = n * planes + plane
        for i in range(kernel[0]):
            for j in range(kernel[1]):
                line = _line(image, d, h, i, j, depth, height, stride, low, dilation)
                if line < 0:
                    rows[at : at + kernel[2] * pixel] = 0
                    at += kernel[2] * pixel
                    continue
                start = line * width
                if together:
                    copy_short(rows, at, pixels, (start + from_w0) * pixel, kernel[2] * pixel)
                    at += kernel[2] * pixel
                    continue
                for k in range(kernel[2]):
                    from_w = from_w0 + k * dilation[2]
                    if 0 <= from_w < width:
                        copy_short(rows, at, pixels, (start + from_w) * pixel, pixel)
                    else:
                        rows[at : at + pixel] = 0
                    at += pixel


@compiled
def _gather_some(rows, at, row, x, first, count, out, kernel, stride, low, dilation, few):  # type: ignore[no-untyped-def]
    """Copy the windows of `count` results, counting on from the first instead of dividing."""
    n, d, h, w = _position(first, out)
    for i in range(count):
        _gather(rows, at + i * row, x, n, d, h, w, kernel, stride, low, dilation, few)
        w += 1
        if w == out[2]:
            w, h = 0, h + 1
        if h == out[1]:
            h, d = 0, d + 1
        if d == out[0]:
            d, n = 0, n + 1


@parallel
def _gather_all(rows, x, first, count, row, out, kernel, stride, low, dilation, few):  # type: ignore[no-untyped-def]
    some = 64
    for task in prange(-(-count // some)):
        i = task * some
        _gather_some(
            rows, i * row, row, x, first + i, min(some, count - i), out, kernel, stride, low,
            dilation, few,
        )  # fmt: skip


@parallel
def _conv(y, x, w, bias, out, kernel, stride, low, dilation, few, whole, tile, memory):  # type: ignore[no-untyped-def]
    """Gather and multiply tiles of rows, in one product or tap by tap."""
    channels, row = bias.size, w.size // bias.size
    taps = 1 if whole else kernel[0] * kernel[1] * kernel[2]
    inner = row // taps
    results = y.size // channels
    for task in prange(-(-results // tile)):
        own = memory[get_thread_id()]
        first = task * tile
        count = min(tile, results - first)
        _gather_some(own, 0, row, x, first, count, out, kernel, stride, low, dilation, few)
        for i in range(first, first + count):
            copy_short(y, i * channels, bias, 0, channels)
        for tap in range(taps):  # the rows of w that belong to one lie `taps` rows apart
            multiply(
                y, first * channels, channels, count, channels, own, tap * inner, row, 1,
                w, tap * channels, taps * channels, inner, True,
            )  # fmt: skip


@compiled
def _inside(width, out, kernel, stride, low):  # type: ignore[no-untyped-def]
    """Return the first and the end of the results of a line whose windows are all inside."""
    begin = min(out, max(0, -(-low // stride)))
    return begin, max(begin, min(out, (width + low - kernel) // stride + 1))


@compiled
def _run(number, begin, end, width, kernel, stride, low):  # type: ignore[no-untyped-def]
    """Return the first result of a run, how many there are, and which taps are inside the line.

    Run 0 are the results whose windows are all inside; each of the others is one at an edge.
    """
    if number == 0:
        return begin, end - begin, 0, kernel
    v = number - 1 if number <= begin else number - 1 + end - begin
    return v, 1, max(0, low - v * stride), min(kernel, width + low - v * stride)


@parallel
def _conv_by_lines(y, x, w, bias, out, kernel, stride, low, dilation):  # type: ignore[no-untyped-def]
    """Multiply line by line, without copies: neighbouring windows overlap where they lie.

    The part of a window that is in one line of the image is in one piece, and the next result's
    begins `stride` pixels on: the rows of a matrix, one for each line of the filter.
    """
    channels = bias.size
    _, depth, height, width, inner = x.shape
    pixels, step = x.reshape(-1), stride[2] * inner
    begin, end = _inside(width, out[2], kernel[2], stride[2], low[2])
    runs = 1 + out[2] - (end - begin)
    for task in prange(y.size // (out[2] * channels)):
        n, d, h, _ = _position(task * out[2], out)
        at = task * out[2] * channels
        for v in range(out[2]):
            copy_short(y, at + v * channels, bias, 0, channels)
        for i in range(kernel[0]):
            for j in range(kernel[1]):
                line = _line(n, d, h, i, j, depth, height, stride, low, dilation)
                if line < 0:
                    continue
                start, taps = (line * width - low[2]) * inner, (i * kernel[1] + j) * kernel[2]
                for number in range(runs):
                    v, count, lo, hi = _run(number, begin, end, width, kernel[2], stride[2], low[2])
                    if lo < hi:
                        multiply(
                            y, at + v * channels, channels, count, channels,
                            pixels, start + v * step + lo * inner, step, 1,
                            w, (taps + lo) * inner * channels, channels, (hi - lo) * inner, True,
                        )  # fmt: skip


@parallel
def _scatter(gx, g, w, out, kernel, stride, low, dilation, tile, memory):  # type: ignore[no-untyped-def]
    """Give back to every pixel what the one window it is in has for it."""
    _, depth, height, width, inner = gx.shape
    taps = kernel[0] * kernel[1] * kernel[2]
    row = inner * taps
    channels = w.size // row
    results = g.size // channels
    for task in prange(-(-results // tile)):
        own = memory[get_thread_id()]
        first = task * tile
        count = min(tile, results - first)
        multiply(
            own, 0, row, count, row, g, first * channels, channels, 1, w, 0, row, channels, False
        )
        for i in range(count):
            n, d, h, v = _position(first + i, out)
            for tap in range(taps):
                to_d = d * stride[0] - low[0] + tap // (kernel[1] * kernel[2])
                to_h = h * stride[1] - low[1] + tap // kernel[2] % kernel[1]
                to_w = v * stride[2] - low[2] + tap % kernel[2]
                if 0 <= to_d < depth and 0 <= to_h < height and 0 <= to_w < width:
                    target = gx[n, to_d, to_h, to_w]
                    at = i * row + tap
                    for c in range(inner):
                        target[c] = own[at + c * taps]


@parallel
def _weight_grad(gw, g, columns, first, count, channels, row):  # type: ignore[no-untyped-def]
    """Add ``g.T @ columns`` for `count` rows, in blocks of the result."""
    high, wide = 48, 192
    across = -(-row // wide)
    for task in prange(-(-channels // high) * across):
        o, j = task // across * high, task % across * wide
        multiply(
            gw, o * row + j, row, min(high, channels - o), min(wide, row - j),
            g, first * channels + o, 1, channels, columns, j, row, count, True,
        )  # fmt: skip


@parallel
def _weight_grad_in_parts(  # type: ignore[no-untyped-def]
    sums, g, x, rows, row, out, kernel, stride, low, dilation, few, tile, memory
):
    """Give every part of the rows its own ``g.T @ columns``."""
    channels = g.size // rows
    for part in prange(len(sums)):
        own = memory[get_thread_id()]
        begin, end = part * rows // len(sums), (part + 1) * rows // len(sums)
        for first in range(begin, end, tile):
            count = min(tile, end - first)
            _gather_some(own, 0, row, x, first, count, out, kernel, stride, low, dilation, few)
            multiply(
                sums[part], 0, row, channels, row, g, first * channels, 1, channels,
                own, 0, row, count, first > begin,
            )  # fmt: skip


@parallel
def _weight_grad_by_lines(sums, g, x, rows, out, kernel, stride, low, dilation):  # type: ignore[no-untyped-def]
    """Give every part of the lines its own ``g.T @ windows``, as `_conv_by_lines` has them."""
    channels = g.size // rows
    _, depth, height, width, inner = x.shape
    row = kernel[0] * kernel[1] * kernel[2] * inner
    pixels, step = x.reshape(-1), stride[2] * inner
    begin, end = _inside(width, out[2], kernel[2], stride[2], low[2])
    runs = 1 + out[2] - (end - begin)
    lines = rows // out[2]
    for part in prange(len(sums)):
        total = sums[part]
        total[:] = 0
        for own in range(part * lines // len(sums), (part + 1) * lines // len(sums)):
            n, d, h, _ = _position(own * out[2], out)
            at = own * out[2] * channels
            for i in range(kernel[0]):
                for j in range(kernel[1]):
                    line = _line(n, d, h, i, j, depth, height, stride, low, dilation)
                    if line < 0:
                        continue
                    start, taps = (line * width - low[2]) * inner, (i * kernel[1] + j) * kernel[2]
                    for number in range(runs):
                        v, count, lo, hi = _run(
                            number, begin, end, width, kernel[2], stride[2], low[2]
                        )
                        if lo < hi:
                            multiply(
                                total, (taps + lo) * inner, row, channels, (hi - lo) * inner,
                                g, at + v * channels, 1, channels,
                                pixels, start + v * step + lo * inner, step, count, True,
                            )  # fmt: skip
