"""Convolution as matrix products, and its two gradients: the stem and the downsampling.

Small weights meet a channels-last image line by line, as `conv_lines` explains. Elsewhere windows
are gathered to rows, and a tile of rows is multiplied while it is in the cache. A photo of three
channels, in planes, is read as it is, rows (channel, tap).
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
from minigrad.kernels.constants import laid_out
from minigrad.kernels.cpu.arrays import (
    Array,
    channels_first,
    contiguous,
    empty,
    spatial,
    takes,
    three,
    volume,
)
from minigrad.kernels.cpu.compile import compiled, parallel, threads
from minigrad.kernels.cpu.conv_lines import convolve_lines, correlate_lines
from minigrad.kernels.cpu.conv_transposed import transpose_lines
from minigrad.kernels.cpu.gemm import (
    PACKED,
    Matrix,
    Strided,
    multiply,
    pack_row,
    transpose,
    transpose_block,
)
from minigrad.kernels.cpu.matmul import matmul
from minigrad.kernels.cpu.simd import copy_short
from minigrad.kernels.cpu.windows import Axis, axes, position, source

__all__ = ["conv", "conv_input_grad", "conv_weight_grad"]

Ints = Sequence[int]

TILE_BYTES = 1 << 18  # of a tile of rows
SLAB_BYTES = 1 << 23  # of the rows gathered at a time for a large weight's gradient
NEAR_BYTES = 1 << 19  # of a weight that stays in the cache while lines of the image pass
SMALL_BYTES = 1 << 18  # of a small weight: each of MOST_PARTS parts of the rows sums up its own
MOST_PARTS = 8
FEW_RESULTS = 64  # for which turning a large weight would take longer than the product
PLANE_CHANNELS = 16  # below which an image in planes is read as it is
THIN_CHANNELS = 64  # below which channels are not worth a product of their own
LINE = 8  # results side by side that are worth one
PACKED_ROWS = 64  # of the weight in one task


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
    planes = _in_planes(x)
    windows = axes(x.shape[2:], out, kernel, stride, padding, dilation)
    whole = planes or x.shape[1] < THIN_CHANNELS or w.nbytes <= NEAR_BYTES
    if whole and _is_matrix(planes, windows[2]):
        if not convolve_lines(y.reshape(-1), _image(x, planes), w, start, windows):
            return NotImplemented
        return channels_first(y)
    if not whole and y.size <= FEW_RESULTS * channels:
        products = _few_results(x, w, len(x) * math.prod(out), windows)
        np.add(products.T.reshape(y.shape), start, out=y)
    else:
        packed = laid_out(_packed, (w,), 1 if planes else math.prod(kernel))
        memory = empty((threads(), _tile(row, x.dtype, y.size // channels), row), x.dtype)
        _conv(y.reshape(-1), _image(x, planes), packed, start, *windows, planes, memory)
    if met_zeros(first_pixel(y), w):
        return NotImplemented
    return channels_first(y)


def _packed(w: Array, taps: int) -> Array:
    """Return the weight (O, C, *kernel) as rows (tap, channel), in panels."""
    channels, row = len(w), math.prod(w.shape[1:])
    w = contiguous(w).reshape(channels, row)
    packed = empty(w.size, w.dtype)
    _pack(packed, w, taps, empty((threads(), min(PACKED_ROWS, row) * channels), w.dtype))
    return packed


def _few_results(x: Array, w: Array, count: int, windows: tuple[Axis, Axis, Axis]) -> Array:
    """Return the results (O, count): the weight, as it lies, read once, times few windows."""
    channels, inner, *kernel = w.shape
    taps, row = math.prod(kernel), math.prod(w.shape[1:])
    rows, turned = empty((count, row), x.dtype), empty(count * row, x.dtype)
    _gather_all(rows, volume(x), 0, count, *windows, False)
    transpose(turned, rows)
    columns = contiguous(turned.reshape(taps, inner, count).swapaxes(0, 1))
    return matmul(contiguous(w).reshape(channels, row), columns.reshape(row, count))


def _fits_input_grad(
    g: Array, w: Array, size: Ints, stride: Ints, padding: Padding, dilation: Ints, groups: int
) -> bool:
    plain = all(s == 1 for s in stride)
    return (
        groups == 1
        and g.ndim == w.ndim
        and g.shape[1] == len(w)
        and (
            plain
            or _are_apart(w.shape[2:], stride, padding, dilation)
            or _are_lines(w.shape[2:], stride, dilation, g.shape[-1])
        )
    )


def _are_lines(kernel: Ints, stride: Ints, dilation: Ints, out: int) -> bool:
    """Return whether every pixel is in a window, and a line of windows is worth a product."""
    within = all(s <= k and d == 1 for s, k, d in zip(stride, kernel, dilation, strict=True))
    return within and out >= LINE


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
    windows = axes(size, g.shape[2:], kernel, stride, padding, dilation)
    if not _are_apart(kernel, stride, padding, dilation):
        if not transpose_lines(spatial(gx), volume(g), w, windows):
            return NotImplemented
        return channels_first(gx)
    gx[...] = 0
    memory = empty((threads(), _tile(row, g.dtype, g.size // channels), row), g.dtype)
    flat_g, flat_w = volume(g).reshape(-1), contiguous(w).reshape(-1)
    _scatter(spatial(gx), flat_g, flat_w, *windows, memory)
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
    planes = _in_planes(x)
    windows = axes(x.shape[2:], g.shape[2:], kernel, stride, padding, dilation)
    rows = len(g) * math.prod(g.shape[2:])
    g, image = volume(g).reshape(-1), _image(x, planes)
    small = rows and channels * row * g.itemsize <= SMALL_BYTES
    if small and _is_matrix(planes, windows[2]):
        sums = empty((min(MOST_PARTS, rows // windows[2].out), channels * row), g.dtype)
        correlate_lines(sums, g, image, windows)
        gw = sums.sum(axis=0)
    elif small:
        sums = empty((min(MOST_PARTS, rows), channels * row), g.dtype)
        memory = empty((threads(), _rows_within(TILE_BYTES, row, g.dtype, rows), row), g.dtype)
        _weight_grad_in_parts(sums, g, image, *windows, planes, memory)
        gw = sums.sum(axis=0)
    else:
        gw = empty((channels, row), g.dtype)
        gw[...] = 0
        slab = _rows_within(SLAB_BYTES, row, g.dtype, rows)
        columns = empty((slab, row), g.dtype)
        for first in range(0, rows, slab):
            count = min(slab, rows - first)
            _gather_all(columns, image, first, count, *windows, planes)
            _weight_grad(gw, g, columns, first, count)
    if met_zeros(gw.reshape(channels, row)[:, :1], g):
        return NotImplemented
    if planes:
        return gw.reshape(channels, inner, *kernel)
    return channels_first(gw.reshape(channels, *kernel, inner))


def _in_planes(x: Array) -> bool:
    """Return whether an image of a few planes is read as it is."""
    return bool(x.shape[1] < PLANE_CHANNELS and x.flags.c_contiguous)


def _is_matrix(planes: bool, width: Axis) -> bool:
    """Return whether the windows of a line are rows as they lie, and enough to multiply."""
    return not planes and width.dilation == 1 and width.out >= LINE


def _image(x: Array, planes: bool) -> Array:
    """Return (N, C, *spatial) as (N, D, H, W, C), or in planes as (N, C, D, H, W)."""
    return x.reshape(*x.shape[:2], *three(x.shape[2:], 1)) if planes else volume(x)


def _rows_within(size: int, row: int, dtype: np.dtype, rows: int) -> int:
    """Return how many rows fit in `size` bytes, of all there are."""
    return max(1, min(max(64, size // max(1, row * dtype.itemsize)), rows))


def _tile(row: int, dtype: np.dtype, rows: int) -> int:
    """Return how many rows a task takes; tasks are even in number, for equal shares of cores."""
    pairs = -(-rows // (2 * _rows_within(TILE_BYTES, row, dtype, rows)))
    return -(-rows // max(1, 2 * pairs))


# ---- rows from windows and back ----------------------------------------------------------------


@compiled
def _line(image, d, h, i, j, axes):  # type: ignore[no-untyped-def]
    """Return which line of all images meets line (i, j) of the filter, or -1 outside of them."""
    depth, height, _ = axes
    from_d, from_h = source(depth, d, i), source(height, h, j)
    if 0 <= from_d < depth.size and 0 <= from_h < height.size:
        return (image * depth.size + from_d) * height.size + from_h
    return -1


@compiled
def _gather(rows, at, x, place, axes, planes):  # type: ignore[no-untyped-def]
    """Copy the window of one result to a row; zeros where it leaves the image."""
    n, d, h, w = place
    depth, height, width = axes
    channels = x.shape[1] if planes else x.shape[4]
    pixels = x.reshape(-1)
    images, pixel = (channels, 1) if planes else (1, channels)  # numbers at a place of an image
    from_w0 = w * width.stride - width.low
    together = width.dilation == 1 and 0 <= from_w0 and from_w0 + width.kernel <= width.size
    for image in range(n * images, (n + 1) * images):
        for i in range(depth.kernel):
            for j in range(height.kernel):
                line = _line(image, d, h, i, j, axes)
                if line < 0:
                    rows[at : at + width.kernel * pixel] = 0
                    at += width.kernel * pixel
                    continue
                start = line * width.size
                if together:
                    copy_short(rows, at, pixels, (start + from_w0) * pixel, width.kernel * pixel)
                    at += width.kernel * pixel
                    continue
                for k in range(width.kernel):
                    from_w = source(width, w, k)
                    if 0 <= from_w < width.size:
                        copy_short(rows, at, pixels, (start + from_w) * pixel, pixel)
                    else:
                        rows[at : at + pixel] = 0
                    at += pixel


@compiled
def _gather_some(rows, x, first, count, axes, planes):  # type: ignore[no-untyped-def]
    """Copy the windows of `count` results, counting on from the first instead of dividing."""
    depth, height, width = axes
    n, d, h, w = position(first, axes)
    for i in range(count):
        _gather(rows.data, rows.start + i * rows.row, x, (n, d, h, w), axes, planes)
        w += 1
        if w == width.out:
            w, h = 0, h + 1
        if h == height.out:
            h, d = 0, d + 1
        if d == depth.out:
            d, n = 0, n + 1


@parallel
def _gather_all(rows, x, first, count, depth, height, width, planes):  # type: ignore[no-untyped-def]
    some, row = 64, rows.shape[1]
    for task in prange(-(-count // some)):
        i = task * some
        target = Matrix(rows.reshape(-1), i * row, row)
        axes = depth, height, width
        _gather_some(target, x, first + i, min(some, count - i), axes, planes)


@parallel
def _pack(b, w, taps, memory):  # type: ignore[no-untyped-def]
    channels, row = w.shape
    inner, panels = row // taps, Matrix(b, 0, PACKED)
    for task in prange(-(-row // PACKED_ROWS)):
        first = task * PACKED_ROWS
        count = min(PACKED_ROWS, row - first)
        own = memory[get_thread_id()]
        source = Matrix(w.reshape(-1), first, row)
        transpose_block(Matrix(own, 0, channels), source, channels, count)
        for i in range(count):
            c, tap = (first + i) // taps, (first + i) % taps
            pack_row(panels, tap * inner + c, row, own[i * channels : (i + 1) * channels])


@parallel
def _conv(y, x, w, bias, depth, height, width, planes, memory):  # type: ignore[no-untyped-def]
    """Gather and multiply tiles of rows; w is packed."""
    _, tile, row = memory.shape
    channels = w.size // row
    results = y.size // channels
    for task in prange(-(-results // tile)):
        rows = Matrix(memory[get_thread_id()].reshape(-1), 0, row)
        first = task * tile
        count = min(tile, results - first)
        _gather_some(rows, x, first, count, (depth, height, width), planes)
        for i in range(first, first + count):
            copy_short(y, i * channels, bias, 0, channels)
        to = Matrix(y, first * channels, channels)
        multiply(to, rows, Matrix(w, 0, PACKED), (count, row, channels), True)


@parallel
def _scatter(gx, g, w, depth, height, width, memory):  # type: ignore[no-untyped-def]
    """Give back to every pixel what the one window it is in has for it."""
    inner = gx.shape[4]
    _, tile, row = memory.shape
    taps, channels = row // inner, w.size // row
    results = g.size // channels
    for task in prange(-(-results // tile)):
        own = memory[get_thread_id()].reshape(-1)
        first = task * tile
        count = min(tile, results - first)
        multiply(
            Matrix(own, 0, row), Matrix(g, first * channels, channels), Matrix(w, 0, row),
            (count, channels, row), False,
        )  # fmt: skip
        for i in range(count):
            n, d, h, v = position(first + i, (depth, height, width))
            for tap in range(taps):
                to_d = source(depth, d, tap // (height.kernel * width.kernel))
                to_h = source(height, h, tap // width.kernel % height.kernel)
                to_w = source(width, v, tap % width.kernel)
                if 0 <= to_d < depth.size and 0 <= to_h < height.size and 0 <= to_w < width.size:
                    target = gx[n, to_d, to_h, to_w]
                    at = i * row + tap
                    for c in range(inner):
                        target[c] = own[at + c * taps]


@parallel
def _weight_grad(gw, g, columns, first, count):  # type: ignore[no-untyped-def]
    """Add ``g.T @ columns`` for `count` rows, in blocks of the result."""
    high, wide = 48, 192
    channels, row = gw.shape
    across = -(-row // wide)
    for task in prange(-(-channels // high) * across):
        o, j = task // across * high, task % across * wide
        multiply(
            Matrix(gw.reshape(-1), o * row + j, row),
            Strided(g, first * channels + o, 1, channels), Matrix(columns.reshape(-1), j, row),
            (min(high, channels - o), count, min(wide, row - j)), True,
        )  # fmt: skip


@parallel
def _weight_grad_in_parts(sums, g, x, depth, height, width, planes, memory):  # type: ignore[no-untyped-def]
    """Give every part of the rows its own ``g.T @ columns``."""
    _, tile, row = memory.shape
    channels = sums.shape[1] // row
    results = g.size // channels
    for part in prange(len(sums)):
        rows = Matrix(memory[get_thread_id()].reshape(-1), 0, row)
        total = Matrix(sums[part], 0, row)
        begin, end = part * results // len(sums), (part + 1) * results // len(sums)
        for first in range(begin, end, tile):
            count = min(tile, end - first)
            _gather_some(rows, x, first, count, (depth, height, width), planes)
            slopes = Strided(g, first * channels, 1, channels)
            multiply(total, slopes, rows, (channels, count, row), first > begin)
