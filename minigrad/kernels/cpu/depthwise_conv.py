"""Depthwise convolution in one to three dimensions, and its two gradients.

Filters seven wide (stride 1), those of ConvNeXt, run on the register blocks of `simd`. Per image,
strip of rows and pair of channel vectors the input is copied to a buffer of the thread

    buffer[vector][row][column][lane]        with zeros around: padding costs nothing more

which is small enough for the cache, and read seven times from there. Every other filter takes the
plain loops at the end. Arguments are those of `minigrad.kernels.arrays.conv`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numba import get_thread_id, prange

from minigrad.backend import finite
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
    contiguous,
    empty,
    lanes,
    narrowed,
    spatial,
    takes,
    volume,
    widened,
)
from minigrad.kernels.cpu.bfloat16 import bits, working_type
from minigrad.kernels.cpu.compile import compiled, parallel, threads
from minigrad.kernels.cpu.gemm import Matrix, transpose_block
from minigrad.kernels.cpu.simd import (
    COLUMNS,
    REGISTERS,
    TAPS,
    VECTOR_BYTES,
    convolve_columns,
    convolve_columns_twice,
    copy_vectors,
    correlate_columns,
)
from minigrad.kernels.cpu.windows import Axis, axes, source

__all__ = ["depthwise_conv", "depthwise_conv_input_grad", "depthwise_conv_weight_grad"]

Ints = Sequence[int]

VECTORS = 2  # of channels, in one task
BUFFER_SIZE = 1 << 17  # elements of a thread's buffer, about: half a megabyte in float32
WIDE = 128  # numbers that a plain loop goes through at a time, about
MOST_PARTS = 32  # partial sums of the weight's gradient, whatever the number of threads

_TWICE = REGISTERS >= 32


def _fits(x: Array, w: Array, bias: Array | None, *steps: Any) -> bool:
    channels = x.shape[1:2]
    return (
        steps[-1:] == channels
        and x.ndim == w.ndim
        and w.shape[:2] == (*channels, 1)
        and (bias is None or bias.shape == channels)
    )


@takes(_fits, bfloat16=True)
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
    out = out_size(x.shape[2:], w.shape[2:], stride, padding, dilation)
    return _convolve(x, w, False, bias, out, stride, padding, dilation)


@takes(lambda g, w, *steps: _fits(g, w, None, *steps), bfloat16=True)
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
    if any(s > 1 for s in stride):
        gx = empty((len(g), *size, g.shape[1]), working_type(g.dtype))
        gx[...] = 0
        windows = axes(size, g.shape[2:], w.shape[2:], stride, padding, dilation)
        _scatter(spatial(gx), volume(widened(g)), _taps(widened(w)), *windows)
        return channels_first(narrowed(gx, g.dtype))
    around = flipped_padding(size, g.shape[2:], w.shape[2:], padding, dilation)
    return _convolve(g, w, True, None, size, stride, around, dilation)


@takes(
    lambda g, x, *steps: (
        steps[-1:] == x.shape[1:2] and g.ndim == x.ndim and g.shape[:2] == x.shape[:2]
    ),
    bfloat16=True,
)
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
    windows = axes(x.shape[2:], g.shape[2:], kernel, stride, padding, dilation)
    dtype = working_type(x.dtype)
    x, g = volume(x), volume(g)
    taps, channels = math.prod(kernel), x.shape[-1]
    cut = _cut(channels, dtype, *windows)
    if cut is not None:
        items = g.shape[0] * g.shape[1] * -(-g.shape[2] // cut.strip)
        parts = empty((min(MOST_PARTS, items), taps, channels), dtype)
        _correlate_seven(parts, bits(g), bits(x), cut, empty((threads(), cut.scratch), dtype))
    else:
        wide = channels * _beside(channels, windows[2])
        parts = empty((min(MOST_PARTS, math.prod(g.shape[:3])), taps, wide), dtype)
        _correlate_plain(parts, widened(g), widened(x), *windows)
        parts = parts.reshape(-1, taps, wide // channels, channels).sum(axis=2)
    gw = parts.sum(axis=0)
    if not finite(gw):  # zeros around image and gradient may have met what is not
        return NotImplemented
    return narrowed(np.ascontiguousarray(gw.T), x.dtype).reshape(channels, 1, *kernel)


def _convolve(
    x: Array,
    w: Array,
    flipped: bool,
    bias: Array | None,
    out: Ints,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
) -> Array:
    """Convolve with w, or with w back to front."""
    dtype, channels = working_type(x.dtype), x.shape[1]
    bias = np.zeros(channels, dtype) if bias is None else contiguous(widened(bias))
    windows = axes(x.shape[2:], out, w.shape[2:], stride, padding, dilation)
    cut = _cut(channels, dtype, *windows)
    x, w = volume(x), widened(w)
    size = (len(x), *(axis.out for axis in windows), channels)
    if cut is not None:
        y = empty(size, x.dtype)
        row, scratch = contiguous(w).reshape(-1), empty((threads(), cut.scratch), dtype)
        _convolve_seven(bits(y), bits(x), row, flipped, bias, cut, scratch)
    if cut is None or met_zeros(widened(first_pixel(y)), w):
        y = empty(size, dtype)
        factors = np.tile(_taps(flip(w) if flipped else w), _beside(channels, windows[2]))
        _convolve_plain(y, widened(x), factors, bias, *windows)
        y = narrowed(y, x.dtype)
    return channels_first(y.reshape(len(x), *out, channels))


# ---- preparation ------------------------------------------------------------------------------


class _Cut(NamedTuple):
    """What the loops for filters seven wide are told."""

    planes: int  # of the filter
    rows: int
    front: int  # padding before the image
    top: int
    left: int
    strip: int  # rows of the result in one task
    scratch: int  # elements of a thread's memory, laid out as `_places` says


@functools.lru_cache(maxsize=1024)
def _cut(channels: int, dtype: np.dtype, depth: Axis, height: Axis, width: Axis) -> _Cut | None:
    """Choose strips so that their buffer stays in the cache; None where the plain loops serve."""
    steps = max(max(axis.stride, axis.dilation) for axis in (depth, height, width))
    if width.kernel != TAPS or steps > 1 or channels < lanes(dtype):
        return None
    row = VECTORS * lanes(dtype) * depth.kernel * (width.out + TAPS - 1)
    most = max(TAPS, BUFFER_SIZE // row - (height.kernel - 1))
    strip = max(1, -(-height.out // max(1, -(-height.out // most))))
    filter_size, low = (depth.kernel, height.kernel), (depth.low, height.low, width.low)
    taps = math.prod(filter_size) * TAPS
    end = _places(depth.kernel, strip + height.kernel - 1, width.out, taps)[-1]
    return _Cut(*filter_size, *low, strip, end * lanes(dtype))


def _beside(channels: int, width: Axis) -> int:
    """Return how many pixels side by side the plain loops take for one, of few channels each."""
    return max(1, min(WIDE // channels, width.out)) if width.stride == 1 and channels else 1


def _taps(w: Array) -> Array:
    """Return the weight (C, 1, *kernel) as contiguous (taps, C)."""
    return np.ascontiguousarray(w.reshape(len(w), math.prod(w.shape[1:])).T)


def _places(planes: int, rows: int, width: int, taps: int) -> tuple[int, int, int, int]:
    """Return the columns of the buffer, and where filter, row, and end of the memory are."""
    columns = -(-width // COLUMNS) * COLUMNS + TAPS - 1
    filters = VECTORS * planes * rows * columns
    row = filters + VECTORS * taps
    return columns, filters, row, row + columns


_places_here = compiled(_places)


# ---- seven wide ---------------------------------------------------------------------------------


@compiled
def _fill(buffer, x, corner, c, box):  # type: ignore[no-untyped-def]
    """Copy `VECTORS` channel vectors of a box of the image to the buffer, zeros where it ends.

    `corner`: sample, plane, row, and how far left of the image; `box`: planes, rows, columns.
    """
    _, depth, height, width, channels = x.shape
    n, d, h, left = corner
    planes, rows, columns = box
    lane = VECTOR_BYTES // buffer.itemsize
    before = min(columns, max(0, left))
    skipped = max(0, -left)
    inside = max(0, min(width - skipped, columns - before))
    for v in range(VECTORS):
        channel = min(c + v * lane, channels - lane)
        for plane in range(planes):
            for row in range(rows):
                at = ((v * planes + plane) * rows + row) * columns * lane
                from_d, from_h = d + plane, h + row
                if 0 <= from_d < depth and 0 <= from_h < height:
                    pixel = ((n * depth + from_d) * height + from_h) * width + skipped
                    buffer[at : at + before * lane] = 0
                    middle = at + before * lane
                    here = pixel * channels + channel
                    copy_vectors((buffer, middle, lane), (x, here, channels), inside)
                    buffer[middle + inside * lane : at + columns * lane] = 0
                else:
                    buffer[at : at + columns * lane] = 0


@compiled
def _convolve_row(y, width, bias, x, w, spare, filter_size):  # type: ignore[no-untyped-def]
    """Make one row of the result for one vector of channels.

    Arguments of `convolve_columns`; a block that reaches over the edge is made at `spare`.
    """
    to, y0, step = y
    memory, x0, plane, row = x
    lane = VECTOR_BYTES // memory.itemsize
    column = 0
    while _TWICE and column + 2 * COLUMNS <= width:
        here = memory, x0 + column * lane, plane, row
        convolve_columns_twice((to, y0 + column * step, step), bias, here, w, filter_size)
        column += 2 * COLUMNS
    while column + COLUMNS <= width:
        here = memory, x0 + column * lane, plane, row
        convolve_columns((to, y0 + column * step, step), bias, here, w, filter_size)
        column += COLUMNS
    if column < width:
        here = memory, x0 + column * lane, plane, row
        convolve_columns((memory, spare, lane), bias, here, w, filter_size)
        copy_vectors((to, y0 + column * step, step), (memory, spare, lane), width - column)


@parallel
def _convolve_seven(y, x, w, flipped, bias, cut, scratch):  # type: ignore[no-untyped-def]
    batch, depth, height, width, channels = y.shape
    planes, filter_rows = cut.planes, cut.rows
    taps = planes * filter_rows * TAPS
    lane = VECTOR_BYTES // scratch.itemsize
    group = VECTORS * lane
    groups, strips = -(-channels // group), -(-height // cut.strip)
    for task in prange(batch * depth * strips * groups):
        memory = scratch[get_thread_id()]
        rest, c = task // groups, task % groups * group
        rest, h = rest // strips, rest % strips * cut.strip
        n, d = rest // depth, rest % depth
        count = min(cut.strip, height - h)
        rows = count + filter_rows - 1
        columns, filters, spare, _ = _places_here(planes, rows, width, taps)
        corner = n, d - cut.front, h - cut.top, cut.left
        _fill(memory, x, corner, c, (planes, rows, columns))
        for v in range(VECTORS):
            if c + v * lane < channels:
                channel = min(c + v * lane, channels - lane)
                at, step = (filters + taps - 1, -lane) if flipped else (filters, lane)
                turned = Matrix(memory, at * lane, step)
                transpose_block(turned, Matrix(w, channel * taps, taps), lane, taps)
                for i in range(count):
                    pixel = (((n * depth + d) * height + h + i) * width) * channels + channel
                    at = (v * planes * rows + i) * columns * lane
                    _convolve_row(
                        (y, pixel, channels), width, (bias, channel),
                        (memory, at, rows * columns * lane, columns * lane),
                        (memory, filters * lane), spare * lane, (planes, filter_rows),
                    )  # fmt: skip


@parallel
def _correlate_seven(parts, g, x, cut, scratch):  # type: ignore[no-untyped-def]
    batch, depth, height, width, channels = g.shape
    planes, filter_rows, strip = cut.planes, cut.rows, cut.strip
    taps = planes * filter_rows * TAPS
    lane = VECTOR_BYTES // scratch.itemsize
    group = VECTORS * lane
    groups, strips = -(-channels // group), -(-height // strip)
    items = batch * depth * strips
    for task in prange(len(parts) * groups):
        memory = scratch[get_thread_id()]
        part, c = task // groups, task % groups * group
        rows = strip + filter_rows - 1
        columns, sums, slopes, end = _places_here(planes, rows, width, taps)
        memory[sums * lane : end * lane] = 0
        for item in range(part * items // len(parts), (part + 1) * items // len(parts)):
            rest, h = item // strips, item % strips * strip
            n, d = rest // depth, rest % depth
            corner = n, d - cut.front, h - cut.top, cut.left
            _fill(memory, x, corner, c, (planes, rows, columns))
            for v in range(VECTORS):
                channel = min(c + v * lane, channels - lane)
                for i in range(min(strip, height - h)):
                    pixel = ((n * depth + d) * height + h + i) * width
                    here = pixel * channels + channel
                    copy_vectors((memory, slopes * lane, lane), (g, here, channels), width)
                    for k in range(planes * filter_rows):
                        plane, row = k // filter_rows, k % filter_rows
                        at = (((v * planes + plane) * rows + row + i) * columns) * lane
                        total = (sums + (v * planes * filter_rows + k) * TAPS) * lane
                        correlate_columns(
                            (memory, total), (memory, at), (memory, slopes * lane),
                            columns // COLUMNS,
                        )  # fmt: skip
        for v in range(VECTORS):
            channel = min(c + v * lane, channels - lane)
            here = part * taps * channels + channel
            total = (sums + v * taps) * lane
            copy_vectors((parts, here, channels), (memory, total, lane), taps)


# ---- any filter -----------------------------------------------------------------------------


@compiled
def _tap(tap, height, width):  # type: ignore[no-untyped-def]
    """Return plane, row and column of a tap."""
    rest, k = tap // width.kernel, tap % width.kernel
    return rest // height.kernel, rest % height.kernel, k


@compiled
def _met(width, tap):  # type: ignore[no-untyped-def]
    """Return the first result that meets a tap inside of its line, and their end."""
    shift, stride = tap * width.dilation - width.low, width.stride
    begin = max(0, -(shift // stride))
    return begin, max(begin, min(width.out, (width.size - 1 - shift) // stride + 1))


@compiled
def _add_products(y, x, factor):  # type: ignore[no-untyped-def]
    for i in range(y.size):
        y[i] += x[i] * factor[i]


@parallel
def _convolve_plain(y, x, taps, bias, depth, height, width):  # type: ignore[no-untyped-def]
    """Multiply as many pixels at a time as the factors of a tap are repeated for."""
    channels, beside = bias.size, taps.shape[1] // bias.size
    results, pixels = y.reshape(-1), x.reshape(-1)
    for task in prange(len(y) * depth.out * height.out):
        rest, h = task // height.out, task % height.out
        n, d = rest // depth.out, rest % depth.out
        for w in range(width.out):
            y[n, d, h, w] = bias
        for tap in range(len(taps)):
            i, j, k = _tap(tap, height, width)
            from_d, from_h = source(depth, d, i), source(height, h, j)
            if 0 <= from_d < depth.size and 0 <= from_h < height.size:
                line = ((n * depth.size + from_d) * height.size + from_h) * width.size
                begin, end = _met(width, k)
                for w in range(begin, end, beside):
                    size = min(beside, end - w) * channels
                    to = (task * width.out + w) * channels
                    at = (line + source(width, w, k)) * channels
                    _add_products(results[to : to + size], pixels[at : at + size], taps[tap])


@parallel
def _scatter(gx, g, taps, depth, height, width):  # type: ignore[no-untyped-def]
    """Add to every pixel of gx what the results it took part in hand back."""
    channels = taps.shape[1]
    for task in prange(len(gx) * depth.size * height.size):
        rest, h = task // height.size, task % height.size
        n, d = rest // depth.size, rest % depth.size
        for tap in range(len(taps)):
            i, j, k = _tap(tap, height, width)
            at_d = d + depth.low - i * depth.dilation
            at_h = h + height.low - j * height.dilation
            if at_d % depth.stride or at_h % height.stride:
                continue
            at_d, at_h = at_d // depth.stride, at_h // height.stride
            if 0 <= at_d < depth.out and 0 <= at_h < height.out:
                factor = taps[tap]
                for w in range(width.size):
                    at_w = w + width.low - k * width.dilation
                    if at_w % width.stride == 0 and 0 <= at_w // width.stride < width.out:
                        slope, target = g[n, at_d, at_h, at_w // width.stride], gx[n, d, h, w]
                        for c in range(channels):
                            target[c] += slope[c] * factor[c]


@parallel
def _correlate_plain(parts, g, x, depth, height, width):  # type: ignore[no-untyped-def]
    """Sum up for as many pixels at a time as a part has room for."""
    channels = x.shape[4]
    beside = parts.shape[2] // channels
    slopes, pixels = g.reshape(-1), x.reshape(-1)
    items = len(g) * depth.out * height.out
    for part in prange(len(parts)):
        parts[part] = 0
        for item in range(part * items // len(parts), (part + 1) * items // len(parts)):
            rest, h = item // height.out, item % height.out
            n, d = rest // depth.out, rest % depth.out
            for tap in range(parts.shape[1]):
                i, j, k = _tap(tap, height, width)
                from_d, from_h = source(depth, d, i), source(height, h, j)
                if 0 <= from_d < depth.size and 0 <= from_h < height.size:
                    line = ((n * depth.size + from_d) * height.size + from_h) * width.size
                    begin, end = _met(width, k)
                    for w in range(begin, end, beside):
                        size = min(beside, end - w) * channels
                        to = (item * width.out + w) * channels
                        at = (line + source(width, w, k)) * channels
                        total = parts[part, tap, :size]
                        _add_products(total, pixels[at : at + size], slopes[to : to + size])
