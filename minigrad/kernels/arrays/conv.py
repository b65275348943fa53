"""Convolution in one to three dimensions, and its two transposes, by matrix products.

A window of the image is a row, the weight is a matrix (im2col); images are channels-last, so a
patch convolution (kernel == stride) or a 1x1 convolution is a plain matrix product.

Arguments that every function takes: `stride`, `dilation` and `padding` have one entry per spatial
axis, padding a pair (before, after). Shapes: x (N, C, *size), w (O, C / groups, *kernel),
y (N, O, *out).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np

from minigrad.backend import finite, quietly
from minigrad.errors import ShapeError
from minigrad.kernels.arrays.layout import channels_first, channels_last

__all__ = ["conv", "conv_input_grad", "conv_weight_grad", "out_size", "pad"]

Array = Any

Padding = Sequence[tuple[int, int]]

COLUMNS = 1 << 18  # elements of the window matrix made at a time: 1 MB in float32
AT_ONCE = 16  # gradients of a weight that are kept until they are added up, at most


def out_size(
    size: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Padding,
    dilation: Sequence[int],
) -> tuple[int, ...]:
    """Return how many windows fit along every spatial axis."""
    return tuple(
        (n + lo + hi - d * (k - 1) - 1) // s + 1
        for n, k, s, (lo, hi), d in zip(size, kernel, stride, padding, dilation, strict=True)
    )


def pad(xp: Any, x: Array, padding: Padding) -> Array:
    """Put zeros around a channels-last image; without padding return it as it is."""
    if not any(lo or hi for lo, hi in padding):
        return x
    n, *size, channels = x.shape
    shape = [s + lo + hi for s, (lo, hi) in zip(size, padding, strict=True)]
    out = xp.zeros((n, *shape, channels), dtype=x.dtype)
    inside = tuple(slice(lo, lo + s) for s, (lo, _) in zip(size, padding, strict=True))
    out[(slice(None), *inside)] = x
    return out


def flip(w: Array) -> Array:
    """View the filters of a weight (O, C / groups, *kernel) back to front."""
    return w[(slice(None), slice(None), *(slice(None, None, -1) for _ in w.shape[2:]))]


def flipped_padding(
    size: Sequence[int],
    out: Sequence[int],
    kernel: Sequence[int],
    padding: Padding,
    dilation: Sequence[int],
) -> Padding:
    """Return the padding with which the flipped filter leads from `out` back to `size`."""
    around = []
    for n, m, k, (lo, _), d in zip(size, out, kernel, padding, dilation, strict=True):
        reach = d * (k - 1)
        around.append((reach - lo, n - m + lo))
    return tuple(around)


def taps_of(
    size: Sequence[int],
    out: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Padding,
    dilation: Sequence[int],
) -> Iterator[tuple[Any, ...]]:
    """Yield every tap with the pixels of the image that it meets, and the outputs it meets for."""
    per_axis = []
    for n, m, k, s, (lo, _), d in zip(size, out, kernel, stride, padding, dilation, strict=True):
        axis = []
        for tap in range(k):
            start = tap * d - lo  # under the first output
            first = max(0, -(start // s))
            last = min(m, (n - 1 - start) // s + 1)
            at = start + first * s
            if last > first:
                pixels = slice(at, at + (last - first - 1) * s + 1, s)
                axis.append((tap, pixels, slice(first, last)))
        per_axis.append(axis)
    for taps in product(*per_axis):
        yield tuple(zip(*taps, strict=True))


def first_pixel(y: Array) -> Array:
    """View the first pixel of a channels-last image, or nothing where it has none."""
    return y[(slice(1),) * (y.ndim - 1)]


def met_zeros(results: Array, factors: Array) -> bool:
    """Return whether some of `factors` are not finite, and were multiplied by zeros too.

    The zeros around an image are none of the user's, yet NaN times zero is NaN. Such a factor shows
    in all of its results, so a few that every factor went into tell.
    """
    return not finite(results) and not finite(factors)


def _windows(
    xp: Any,
    x: Array,
    out: Sequence[int],
    kernel: Sequence[int],
    stride: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> Array:
    """View a padded channels-last image as its windows: (groups, N, *out, *kernel, C / groups)."""
    n, *size, channels = x.shape
    axes = zip(size, out, kernel, stride, dilation, strict=True)
    if any((o - 1) * s + (k - 1) * d >= m for m, o, k, s, d in axes):
        raise ShapeError(
            f"conv: {tuple(out)} windows of {tuple(kernel)} pixels, stride {tuple(stride)}, reach "
            f"beyond a padded image of {tuple(size)}"
        )
    sn, *ss, sc = x.strides
    return xp.lib.stride_tricks.as_strided(
        x,
        (groups, n, *out, *kernel, channels // groups),
        (
            sc * (channels // groups),
            sn,
            *(a * b for a, b in zip(ss, stride, strict=True)),
            *(a * b for a, b in zip(ss, dilation, strict=True)),
            sc,
        ),
    )


Tile = tuple[slice, slice, slice]


def _tiles(n: int, rows: int, row_size: int) -> list[Tile]:
    """Cut the windows (groups, N, rows, …) into pieces of at most COLUMNS elements."""
    step = max(1, COLUMNS // max(1, row_size))
    images = max(1, step // max(1, rows))
    step = max(1, min(step, rows))
    return [
        (slice(None), slice(i, i + images), slice(r, r + step))
        for i in range(0, n, images)
        for r in range(0, rows, step)
    ]


def _weight_matrix(w: Array, groups: int) -> Array:
    """Turn the weight (O, C / groups, *kernel) into (groups, kernel * C / groups, O / groups)."""
    last = channels_last(w).reshape(groups, w.shape[0] // groups, math.prod(w.shape[1:]))
    return last.swapaxes(1, 2)


def _grouped_rows(y: Array, groups: int) -> Array:
    """View channels-last rows (…, O) as matrices (groups, rows, O / groups)."""
    channels = y.shape[-1]
    shape = (math.prod(y.shape[:-1]), groups, channels // groups)
    return y.reshape(shape).swapaxes(0, 1)


def conv(
    xp: Any,
    x: Array,
    w: Array,
    bias: Array | None,
    stride: Sequence[int],
    padding: Padding,
    dilation: Sequence[int],
    groups: int,
) -> Array:
    """``y[o, p] = bias[o] + sum over c, k of x[c, p * stride + k * dilation] * w[o, c, k]``."""
    kernel = w.shape[2:]
    out = out_size(x.shape[2:], kernel, stride, padding, dilation)
    image = channels_last(x)
    x = pad(xp, image, padding)
    windows = _windows(xp, x, out, kernel, stride, dilation, groups)
    matrix = _weight_matrix(w, groups)
    y = xp.empty((x.shape[0], *out, w.shape[0]), dtype=x.dtype)
    tiles = _tiles(x.shape[0], out[0], math.prod(out[1:]) * math.prod(w.shape[1:]) * groups)

    def convolve(tile: Tile) -> None:
        part = y[tile[1:]]
        columns = windows[tile].reshape(groups, math.prod(part.shape[:-1]), -1)
        xp.matmul(columns, matrix, out=_grouped_rows(part, groups))
        if bias is not None:
            part += bias

    xp.run_tasks(convolve, tiles)
    if met_zeros(first_pixel(y), w):
        _by_taps(y, image, w, bias, stride, padding, dilation, groups)
    return channels_first(y)


@quietly
def _by_taps(
    y: Array,
    x: Array,
    w: Array,
    bias: Array | None,
    stride: Sequence[int],
    padding: Padding,
    dilation: Sequence[int],
    groups: int,
) -> None:
    """Write the convolution of channels-last x to y: every tap times the pixels that it meets."""
    y[...] = 0.0 if bias is None else bias
    filters = channels_last(w).reshape(groups, -1, *w.shape[2:], w.shape[1])
    steps = x.shape[1:-1], y.shape[1:-1], w.shape[2:], stride, padding, dilation
    for tap, pixels, outputs in taps_of(*steps):
        part = y[(slice(None), *outputs)]
        matrix = filters[(slice(None), slice(None), *tap)].swapaxes(1, 2)
        products = np.matmul(_grouped_rows(x[(slice(None), *pixels)], groups), matrix)
        part += products.swapaxes(0, 1).reshape(part.shape)


def conv_input_grad(
    xp: Any,
    g: Array,
    w: Array,
    size: Sequence[int],
    stride: Sequence[int],
    padding: Padding,
    dilation: Sequence[int],
    groups: int,
) -> Array:
    """Gradient of `conv` with respect to x of spatial `size`: the transposed convolution of g."""
    kernel = w.shape[2:]
    if all(s == 1 for s in stride):  # a convolution too: faster than adding windows
        turned = flip(w).reshape(groups, w.shape[0] // groups, *w.shape[1:]).swapaxes(1, 2)
        turned = turned.reshape(w.shape[1] * groups, w.shape[0] // groups, *kernel)
        around = flipped_padding(size, g.shape[2:], kernel, padding, dilation)
        if all(lo >= 0 and hi >= 0 for lo, hi in around):
            return conv(xp, g, turned, None, stride, around, dilation, groups)
    g = channels_last(g)
    n, *out, _ = g.shape
    matrix = _weight_matrix(w, groups).swapaxes(1, 2)
    padded = [s + lo + hi for s, (lo, hi) in zip(size, padding, strict=True)]
    gx = xp.zeros((n, *padded, w.shape[1] * groups), dtype=g.dtype)
    windows = _windows(xp, gx, out, kernel, stride, dilation, groups)
    tiles = _tiles(n, out[0], math.prod(out[1:]) * math.prod(w.shape[1:]) * groups)

    def scatter(tile: Tile) -> None:
        target = windows[tile]
        columns = xp.matmul(_grouped_rows(g[tile[1:]], groups), matrix).reshape(target.shape)
        for tap in product(*map(range, kernel)):  # the windows of one tap do not overlap
            at = (..., *tap, slice(None))
            target[at] += columns[at]

    together = len(tiles) if dilation[0] * (kernel[0] - 1) < stride[0] else 1  # else tiles overlap
    for i in range(0, len(tiles), max(1, together)):
        xp.run_tasks(scatter, tiles[i : i + together])
    inside = tuple(slice(lo, lo + s) for s, (lo, _) in zip(size, padding, strict=True))
    return channels_first(gx[(slice(None), *inside)])


def conv_weight_grad(
    xp: Any,
    g: Array,
    x: Array,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Padding,
    dilation: Sequence[int],
    groups: int,
) -> Array:
    """Gradient of `conv` with respect to w of spatial size `kernel`."""
    g = channels_last(g)
    n, *out, channels = g.shape
    image = channels_last(x)
    x = pad(xp, image, padding)
    inner = x.shape[-1] // groups
    windows = _windows(xp, x, out, kernel, stride, dilation, groups)
    row = math.prod(kernel) * inner
    gw = xp.zeros((groups, channels // groups, row), dtype=x.dtype)
    tiles = _tiles(n, out[0], math.prod(out[1:]) * row * groups)

    def correlate(tile: Tile) -> Array:
        part = _grouped_rows(g[tile[1:]], groups)
        columns = windows[tile].reshape(groups, part.shape[1], row)
        return xp.matmul(part.swapaxes(1, 2), columns)

    for i in range(0, len(tiles), AT_ONCE):
        for part in xp.run_tasks(correlate, tiles[i : i + AT_ONCE]):
            gw += part
    gw = gw.reshape(channels, *kernel, inner)
    if met_zeros(gw[..., :1], g):
        _weight_grad_by_taps(gw, g, image, stride, padding, dilation, groups)
    return channels_first(gw)


@quietly
def _weight_grad_by_taps(
    gw: Array,
    g: Array,
    x: Array,
    stride: Sequence[int],
    padding: Padding,
    dilation: Sequence[int],
    groups: int,
) -> None:
    """Write the gradient of channels-last w to gw, tap by tap, without zeros around x."""
    gw[...] = 0.0
    channels, *kernel, inner = gw.shape
    steps = x.shape[1:-1], g.shape[1:-1], kernel, stride, padding, dilation
    for tap, pixels, outputs in taps_of(*steps):
        slopes = _grouped_rows(g[(slice(None), *outputs)], groups).swapaxes(1, 2)
        products = np.matmul(slopes, _grouped_rows(x[(slice(None), *pixels)], groups))
        gw[(slice(None), *tap)] = products.reshape(channels, inner)
