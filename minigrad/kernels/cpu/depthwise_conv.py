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
    spatial,
    takes,
    three,
    volume,
)
from minigrad.kernels.cpu.compile import compiled, parallel, threads
from minigrad.kernels.cpu.gemm import transpose_block
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

__all__ = ["depthwise_conv", "depthwise_conv_input_grad", "depthwise_conv_weight_grad"]

Ints = Sequence[int]

VECTORS = 2  # of channels, in one task
BUFFER = 1 << 17  # elements of a thread's buffer, about: half a megabyte in float32
PARTS = 32  # partial sums of the weight's gradient, whatever the number of threads

_TWICE = REGISTERS >= 32


def _fits(x: Array, w: Array, bias: Array | None, *steps: Any) -> bool:
    channels = x.shape[1:2]
    return (
        steps[-1:] == channels
        and x.ndim == w.ndim
        and w.shape[:2] == (*channels, 1)
        and (bias is None or bias.shape == channels)
    )


@takes(_fits)
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


@takes(fits=lambda g, w, *steps: _fits(g, w, None, *steps))
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
        gx = empty((len(g), *size, g.shape[1]), g.dtype)
        gx[...] = 0
        low = [lo for lo, _ in padding]
        kernel = three(w.shape[2:], 1)
        steps = three(stride, 1), three(low, 0), three(dilation, 1)
        _scatter(spatial(gx), volume(g), _taps(w), kernel, *steps)
        return channels_first(gx)
    around = flipped_padding(size, g.shape[2:], w.shape[2:], padding, dilation)
    return _convolve(g, w, True, None, size, stride, around, dilation)


@takes(
    lambda g, x, *steps: (
        steps[-1:] == x.shape[1:2] and g.ndim == x.ndim and g.shape[:2] == x.shape[:2]
    )
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
    channels = x.shape[1]
    x, g = volume(x), volume(g)
    taps, step, wide = three(kernel, 1), three(stride, 1), three(dilation, 1)
    low = three([lo for lo, _ in padding], 0)
    size = math.prod(taps), channels
    if _is_seven(channels, x.dtype, taps, step, wide):
        strip = _strip(g.shape[1:4], taps, x.dtype)
        memory = empty((threads(), _scratch(g.shape[1:4], taps, strip, x.dtype)), x.dtype)
        items = g.shape[0] * g.shape[1] * -(-g.shape[2] // strip)
        parts = empty((min(PARTS, items), *size), x.dtype)
        _correlate_seven(parts, g, x, taps, low, strip, memory)
    else:
        parts = empty((min(PARTS, math.prod(g.shape[:3])), *size), x.dtype)
        _correlate_plain(parts, g, x, taps, step, low, wide)
    gw = parts.sum(axis=0)
    if not np.isfinite(gw).all():  # zeros around image and gradient may have met what is not
        return NotImplemented
    return np.ascontiguousarray(gw.T).reshape(channels, 1, *kernel)


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
    channels = x.shape[1]
    bias = np.zeros(channels, x.dtype) if bias is None else contiguous(bias)
    low = tuple([lo for lo, _ in padding])
    plan = _plan(tuple(out), channels, w.shape[2:], tuple(stride), low, tuple(dilation), x.dtype)
    x = volume(x)
    target = empty((len(x), *plan.out, channels), x.dtype)
    if plan.strip:
        scratch = empty((threads(), plan.scratch), x.dtype)
        row = contiguous(w).reshape(-1)
        _convolve_seven(target, x, row, flipped, bias, plan.kernel, plan.low, plan.strip, scratch)
    if not plan.strip or met_zeros(first_pixel(target), w):
        taps = _taps(flip(w) if flipped else w)
        _convolve_plain(target, x, taps, bias, plan.kernel, plan.step, plan.low, plan.wide)
    return channels_first(target.reshape(len(x), *out, channels))


# ---- preparation ------------------------------------------------------------------------------


class _Plan(NamedTuple):
    """A convolution in three axes, and how its result is cut; `strip` 0: not seven wide."""

    out: Ints
    kernel: Ints
    step: Ints
    low: Ints
    wide: Ints
    strip: int
    scratch: int


@functools.lru_cache(maxsize=1024)
def _plan(
    out: Ints, channels: int, kernel: Ints, stride: Ints, low: Ints, dilation: Ints, dtype: np.dtype
) -> _Plan:
    """Work out once what every call of a layer needs: small nets would feel it."""
    out, kernel, step, wide = three(out, 1), three(kernel, 1), three(stride, 1), three(dilation, 1)
    strip = scratch = 0
    if _is_seven(channels, dtype, kernel, step, wide):
        strip = _strip(out, kernel, dtype)
        scratch = _scratch(out, kernel, strip, dtype)
    return _Plan(out, kernel, step, three(low, 0), wide, strip, scratch)


def _taps(w: Array) -> Array:
    """Return the weight (C, 1, *kernel) as contiguous (taps, C)."""
    return np.ascontiguousarray(w.reshape(len(w), math.prod(w.shape[1:])).T)


def _is_seven(channels: int, dtype: np.dtype, kernel: Ints, stride: Ints, dilation: Ints) -> bool:
    return kernel[2] == TAPS and max(stride) == max(dilation) == 1 and channels >= lanes(dtype)


def _strip(out: Ints, kernel: Ints, dtype: np.dtype) -> int:
    """Return how many rows of the result a task makes, so that its buffer stays in the cache."""
    row = VECTORS * lanes(dtype) * kernel[0] * (out[2] + TAPS - 1)
    most = max(TAPS, BUFFER // row - (kernel[1] - 1))
    return max(1, -(-out[1] // max(1, -(-out[1] // most))))


def _scratch(out: Ints, kernel: Ints, strip: int, dtype: np.dtype) -> int:
    """Return how much memory a thread needs, laid out as `_places` says."""
    return _places(kernel[0], strip + kernel[1] - 1, out[2], math.prod(kernel))[-1] * lanes(dtype)


def _places(planes: int, rows: int, width: int, taps: int) -> tuple[int, int, int, int]:
    """Return the columns of the buffer, and where filter, row, and end of the memory are."""
    columns = -(-width // COLUMNS) * COLUMNS + TAPS - 1
    filters = VECTORS * planes * rows * columns
    row = filters + VECTORS * taps
    return columns, filters, row, row + columns


_places_here = compiled(_places)


# ---- seven wide ---------------------------------------------------------------------------------


@compiled
def _fill(buffer, x, n, d, h, c, planes, rows, columns, left):  # type: ignore[no-untyped-def]
    """Copy `VECTORS` channel vectors of a box of the image to the buffer, zeros where it ends."""
    _, depth, height, width, channels = x.shape
    lane = VECTOR_BYTES // x.itemsize
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
                    copy_vectors(
                        buffer, middle, lane, x, pixel * channels + channel, channels, inside
                    )
                    buffer[middle + inside * lane : at + columns * lane] = 0
                else:
                    buffer[at : at + columns * lane] = 0


@compiled
def _convolve_row(  # type: ignore[no-untyped-def]
    y, y0, y_step, width, bias, bias0, memory, at, plane, row, filters, spare, kernel
):
    """Make one row of the result for one vector of channels."""
    lane = VECTOR_BYTES // y.itemsize
    planes, rows, _ = kernel
    column = 0
    while _TWICE and column + 2 * COLUMNS <= width:
        convolve_columns_twice(
            y, y0 + column * y_step, y_step, bias, bias0,
            memory, at + column * lane, plane, row, memory, filters, planes, rows,
        )  # fmt: skip
        column += 2 * COLUMNS
    while column + COLUMNS <= width:
        convolve_columns(
            y, y0 + column * y_step, y_step, bias, bias0,
            memory, at + column * lane, plane, row, memory, filters, planes, rows,
        )  # fmt: skip
        column += COLUMNS
    if column < width:  # a block that reaches over the edge is made aside
        rest = width - column
        convolve_columns(
            memory, spare, lane, bias, bias0,
            memory, at + column * lane, plane, row, memory, filters, planes, rows,
        )  # fmt: skip
        copy_vectors(y, y0 + column * y_step, y_step, memory, spare, lane, rest)


@parallel
def _convolve_seven(y, x, w, flipped, bias, kernel, low, strip, scratch):  # type: ignore[no-untyped-def]
    batch, depth, height, width, channels = y.shape
    planes, filter_rows, _ = kernel
    taps = planes * filter_rows * TAPS
    lane = VECTOR_BYTES // y.itemsize
    group = VECTORS * lane
    groups, strips = -(-channels // group), -(-height // strip)
    for task in prange(batch * depth * strips * groups):
        memory = scratch[get_thread_id()]
        rest, c = task // groups, task % groups * group
        rest, h = rest // strips, rest % strips * strip
        n, d = rest // depth, rest % depth
        count = min(strip, height - h)
        rows = count + filter_rows - 1
        columns, filters, spare, _ = _places_here(planes, rows, width, taps)
        _fill(memory, x, n, d - low[0], h - low[1], c, planes, rows, columns, low[2])
        for v in range(VECTORS):
            if c + v * lane < channels:
                channel = min(c + v * lane, channels - lane)
                at, step = (filters + taps - 1, -lane) if flipped else (filters, lane)
                transpose_block(memory, at * lane, step, w, channel * taps, taps, lane, taps)
                for i in range(count):
                    pixel = (((n * depth + d) * height + h + i) * width) * channels + channel
                    at = (v * planes * rows + i) * columns * lane
                    _convolve_row(
                        y, pixel, channels, width, bias, channel,
                        memory, at, rows * columns * lane, columns * lane,
                        filters * lane, spare * lane, kernel,
                    )  # fmt: skip


@parallel
def _correlate_seven(parts, g, x, kernel, low, strip, scratch):  # type: ignore[no-untyped-def]
    batch, depth, height, width, channels = g.shape
    planes, filter_rows, _ = kernel
    taps = planes * filter_rows * TAPS
    lane = VECTOR_BYTES // x.itemsize
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
            _fill(memory, x, n, d - low[0], h - low[1], c, planes, rows, columns, low[2])
            for v in range(VECTORS):
                channel = min(c + v * lane, channels - lane)
                for i in range(min(strip, height - h)):
                    pixel = ((n * depth + d) * height + h + i) * width
                    copy_vectors(
                        memory, slopes * lane, lane, g, pixel * channels + channel, channels, width
                    )
                    for k in range(planes * filter_rows):
                        plane, row = k // filter_rows, k % filter_rows
                        at = (((v * planes + plane) * rows + row + i) * columns) * lane
                        correlate_columns(
                            memory, (sums + (v * planes * filter_rows + k) * TAPS) * lane,
                            memory, at, memory, slopes * lane, columns // COLUMNS,
                        )  # fmt: skip
        for v in range(VECTORS):
            channel = min(c + v * lane, channels - lane)
            copy_vectors(
                parts, part * taps * channels + channel, channels,
                memory, (sums + v * taps) * lane, lane, taps,
            )  # fmt: skip


# ---- any filter -----------------------------------------------------------------------------


@parallel
def _convolve_plain(y, x, taps, bias, kernel, stride, low, dilation):  # type: ignore[no-untyped-def]
    batch, depth, height, width, channels = y.shape
    for task in prange(batch * depth * height):
        n, d, h = task // (depth * height), task // height % depth, task % height
        for w in range(width):
            y[n, d, h, w] = bias
        for tap in range(len(taps)):
            from_d = d * stride[0] - low[0] + tap // (kernel[1] * kernel[2]) * dilation[0]
            from_h = h * stride[1] - low[1] + tap // kernel[2] % kernel[1] * dilation[1]
            if 0 <= from_d < x.shape[1] and 0 <= from_h < x.shape[2]:
                factor = taps[tap]
                for w in range(width):
                    from_w = w * stride[2] - low[2] + tap % kernel[2] * dilation[2]
                    if 0 <= from_w < x.shape[3]:
                        source, target = x[n, from_d, from_h, from_w], y[n, d, h, w]
                        for c in range(channels):
                            target[c] += source[c] * factor[c]


@parallel
def _scatter(gx, g, taps, kernel, stride, low, dilation):  # type: ignore[no-untyped-def]
    """Add to every pixel of gx what the results it took part in hand back."""
    batch, depth, height, width, channels = gx.shape
    for task in prange(batch * depth * height):
        n, d, h = task // (depth * height), task // height % depth, task % height
        for tap in range(len(taps)):
            at_d = d + low[0] - tap // (kernel[1] * kernel[2]) * dilation[0]
            at_h = h + low[1] - tap // kernel[2] % kernel[1] * dilation[1]
            if at_d % stride[0] or at_h % stride[1]:
                continue
            at_d, at_h = at_d // stride[0], at_h // stride[1]
            if 0 <= at_d < g.shape[1] and 0 <= at_h < g.shape[2]:
                factor = taps[tap]
                for w in range(width):
                    at_w = w + low[2] - tap % kernel[2] * dilation[2]
                    if at_w % stride[2] == 0 and 0 <= at_w // stride[2] < g.shape[3]:
                        source, target = g[n, at_d, at_h, at_w // stride[2]], gx[n, d, h, w]
                        for c in range(channels):
                            target[c] += source[c] * factor[c]


@parallel
def _correlate_plain(parts, g, x, kernel, stride, low, dilation):  # type: ignore[no-untyped-def]
    batch, depth, height, width, channels = g.shape
    items = batch * depth * height
    for part in prange(len(parts)):
        parts[part] = 0
        for item in range(part * items // len(parts), (part + 1) * items // len(parts)):
            n, d, h = item // (depth * height), item // height % depth, item % height
            for tap in range(parts.shape[1]):
                from_d = d * stride[0] - low[0] + tap // (kernel[1] * kernel[2]) * dilation[0]
                from_h = h * stride[1] - low[1] + tap // kernel[2] % kernel[1] * dilation[1]
                if 0 <= from_d < x.shape[1] and 0 <= from_h < x.shape[2]:
                    total = parts[part, tap]
                    for w in range(width):
                        from_w = w * stride[2] - low[2] + tap % kernel[2] * dilation[2]
                        if 0 <= from_w < x.shape[3]:
                            source, slope = x[n, from_d, from_h, from_w], g[n, d, h, w]
                            for c in range(channels):
                                total[c] += source[c] * slope[c]
