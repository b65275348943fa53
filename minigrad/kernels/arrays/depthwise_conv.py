"""Depthwise convolution (one filter per channel) by matrix products with band matrices.

A filter has too few numbers for a matrix product, and 49 shifted additions read the image 49
times. So the image is cut into small output tiles. All outputs of a tile are linear in the input
box under it: one matrix ``T[c]`` (box, tile) per channel, which holds the filter along diagonals,

    tile of 3, kernel of 3:   T = | w0  0   0  |     row:    pixel of the box
                                  | w1  w0  0  |     column: pixel of the tile
                                  | w2  w1  w0 |
                                  | 0   w2  w1 |
                                  | 0   0   w2 |

and ``y = box @ T`` for all tiles of all images at once. Most of T is zeros, yet a matrix product
runs an order of magnitude faster than additions over the memory. Measured (2 cores, float32,
kernel 7x7): (64, 48, 14, 14) 2.1 ms against 17 ms for shifted additions in cache-sized blocks,
(64, 96, 7, 7) 0.8 ms against 8.5 ms.

The gradient with respect to x is the convolution of g with the flipped filter; the gradient with
respect to w is ``box.T @ g``, summed along the diagonals. Arguments are those of `conv`.

The zeros of T times an infinite or NaN pixel are NaN, for the whole tile. So where a result is not
finite, shifted additions, which touch only the pixels under the filter, compute it again. (A GPU
is not asked whether there is one.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from typing import Any, NamedTuple

from minigrad.backend import finite, quietly
from minigrad.kernels.arrays.conv import Padding, flip, flipped_padding, out_size, taps_of
from minigrad.kernels.arrays.layout import channels_first, channels_last
from minigrad.kernels.declare import declare

__all__ = ["depthwise_conv", "depthwise_conv_input_grad", "depthwise_conv_weight_grad"]

Array = Any

Ints = Sequence[int]

BOXES = 1 << 18  # elements of the boxes made at a time (groups of channels): 1 MB in float32


class _Axis(NamedTuple):
    """How one spatial axis is cut: a `number` of tiles, each read from a box of pixels.

    Boxes start `step` pixels apart. The pixels `used` of the image stand at `place` in a row of
    `padded` pixels. A single tile needs no padding: then its box is the image, and the first
    `skip` rows of the band matrix, which would meet the padding, are left out.
    """

    tile: int
    number: int
    box: int
    step: int
    used: slice
    place: slice
    padded: int
    skip: int


def _cut(n: int, out: int, k: int, s: int, lo: int, d: int, tile: int) -> _Axis:
    number = -(-out // tile)
    box = (tile - 1) * s + (k - 1) * d + 1
    padded = (number - 1) * tile * s + box
    first = max(0, -lo)
    last = max(first, min(n, padded - lo))
    used, skip = slice(first, last), first + lo
    if number == 1:
        return _Axis(tile, 1, last - first, 1, used, slice(None), last - first, skip)
    return _Axis(tile, number, box, tile * s, used, slice(skip, last + lo), padded, 0)


@lru_cache(maxsize=256)
def _plan(
    n: int, size: Ints, out: Ints, kernel: Ints, stride: Ints, padding: Padding, dilation: Ints
) -> tuple[_Axis, ...]:
    """Choose the tile that makes one output cheapest.

    Per output there are `box` multiply-adds, box / tile copied numbers, and a share of the making
    of T. A copied number costs about as much as 16 multiply-adds, a row of a box ten of these, and
    a number of T two.
    """
    choices = []
    for m, o, k, s, (lo, _), d in zip(size, out, kernel, stride, padding, dilation, strict=True):
        tiles = sorted({-(-o // -(-o // t)) for t in range(1, min(o, 32) + 1)})
        choices.append([_cut(m, o, k, s, lo, d, tile) for tile in tiles])

    def cost(axes: tuple[_Axis, ...]) -> float:
        box = math.prod(a.box for a in axes)
        tile = math.prod(a.tile for a in axes)
        waste = math.prod(a.tile * a.number for a in axes)
        whole = [a.number == 1 for a in axes[1:]]  # rows of these run on into the next
        first = max((i for i, w in enumerate(whole, 1) if not w), default=0)
        run = math.prod(a.box for a in axes[first:])
        copies = (1.0 + 10.0 / max(1, run)) / tile
        return box * waste * (1.0 + 16.0 * copies + 32.0 * tile / (max(1, n) * math.prod(out)))

    return min(product(*choices), key=cost)


def _boxes(xp: Any, x: Array, axes: Sequence[_Axis]) -> Array:
    """Gather the boxes of a channels-last image: (C, N * tiles, box)."""
    n, channels = x.shape[0], x.shape[-1]
    x = x[(slice(None), *(a.used for a in axes))].transpose(x.ndim - 1, *range(x.ndim - 1))
    padded = xp.zeros((channels, n, *(a.padded for a in axes)), dtype=x.dtype)
    padded[(slice(None), slice(None), *(a.place for a in axes))] = x
    sc, sn, *ss = padded.strides
    boxes = xp.lib.stride_tricks.as_strided(
        padded,
        (channels, n, *(a.number for a in axes), *(a.box for a in axes)),
        (sc, sn, *(s * a.step for s, a in zip(ss, axes, strict=True)), *ss),
    )
    tiles = n * math.prod(a.number for a in axes)
    return boxes.reshape(channels, tiles, math.prod(a.box for a in axes))


def _diagonals(xp: Any, band: Array, kernel: Ints, stride: Ints, dilation: Ints) -> Array:
    """View band matrices (C, *box, *tile) as (C, *kernel, *tile): where each weight stands."""
    d = len(kernel)
    sc, *ss = band.strides
    box, tile = ss[:d], ss[d:]
    return xp.lib.stride_tricks.as_strided(
        band,
        (band.shape[0], *kernel, *band.shape[1 + d :]),
        (
            sc,
            *(s * k for s, k in zip(box, dilation, strict=True)),
            *(s * a + t for s, a, t in zip(box, stride, tile, strict=True)),
        ),
    )


def _band(
    xp: Any,
    channels: int,
    axes: Sequence[_Axis],
    kernel: Ints,
    stride: Ints,
    dilation: Ints,
    dtype: Any,
) -> tuple[Array, Array]:
    """Make zero band matrices (C, *box, *tile); return them whole, and without skipped rows."""
    tile = [a.tile for a in axes]
    full = [
        (t - 1) * s + (k - 1) * d + 1
        for t, s, k, d in zip(tile, stride, kernel, dilation, strict=True)
    ]
    band = xp.zeros((channels, *full, *tile), dtype=dtype)
    return band, band[(slice(None), *(slice(a.skip, a.skip + a.box) for a in axes))]


def _channel_groups(n: int, channels: int, axes: Sequence[_Axis]) -> list[slice]:
    """Cut the channels into groups whose boxes fit in the cache."""
    size = max(1, n) * math.prod(a.number * a.box for a in axes)
    step = max(1, BOXES // max(1, size))
    return [slice(c, c + step) for c in range(0, channels, step)]


def _per_channel(x: Array, w: Array, *steps: Any) -> bool:
    return bool(1 < len(w) == steps[-1] and w.shape[1] == 1)


@declare(takes=_per_channel)
@quietly
def depthwise_conv(
    xp: Any,
    x: Array,
    w: Array,
    bias: Array | None,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
) -> Array:
    """``y[n, c, p] = bias[c] + sum over k of x[n, c, p * stride + k * dilation] * w[c, 0, k]``."""
    n, channels, *size = x.shape
    kernel = w.shape[2:]
    out = out_size(size, kernel, stride, padding, dilation)
    axes = _plan(n, tuple(size), out, kernel, tuple(stride), tuple(padding), tuple(dilation))
    weights = w.reshape(channels, *kernel, *(1 for _ in kernel))
    x = channels_last(x)
    y = xp.empty((n, *(a.number * a.tile for a in axes), channels), dtype=x.dtype)
    tiles = _tiles_of(y, axes)

    def convolve(c: slice) -> None:
        filters = weights[c]
        whole, band = _band(xp, len(filters), axes, kernel, stride, dilation, x.dtype)
        _diagonals(xp, whole, kernel, stride, dilation)[...] = filters
        matrix = band.reshape(len(filters), -1, math.prod(a.tile for a in axes))
        part = xp.matmul(_boxes(xp, x[..., c], axes), matrix)
        if bias is not None:
            part += bias[c, None, None]
        target = tiles[c]
        target[...] = part.reshape(target.shape)

    xp.run_tasks(convolve, _channel_groups(n, channels, axes))
    y = y[(slice(None), *map(slice, out))]
    if not finite(y):
        _by_shifts(y, x, w, bias, stride, padding, dilation)
    return channels_first(y)


def _by_shifts(
    y: Array,
    x: Array,
    w: Array,
    bias: Array | None,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
) -> None:
    """Write the convolution of channels-last x to y, one tap of the filter after the other."""
    y[...] = 0.0 if bias is None else bias
    size, out = x.shape[1:-1], y.shape[1:-1]
    for tap, pixels, outputs in taps_of(size, out, w.shape[2:], stride, padding, dilation):
        y[(slice(None), *outputs)] += x[(slice(None), *pixels)] * w[(slice(None), 0, *tap)]


def _tiles_of(y: Array, axes: Sequence[_Axis]) -> Array:
    """View a channels-last image of whole tiles as (C, N, *count, *tile)."""
    split = y.reshape(y.shape[0], *(m for a in axes for m in (a.number, a.tile)), y.shape[-1])
    d = len(axes)
    return split.transpose(2 * d + 1, 0, *range(1, 2 * d, 2), *range(2, 2 * d + 1, 2))


@declare(takes=_per_channel)
@quietly
def depthwise_conv_input_grad(
    xp: Any,
    g: Array,
    w: Array,
    size: Ints,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
) -> Array:
    """Gradient with respect to x of spatial `size`: g convolved with the flipped filter."""
    wide, strided = g, any(s > 1 for s in stride)
    if strided:  # spread g out, with zeros between
        spread = [(n - 1) * s + 1 for n, s in zip(g.shape[2:], stride, strict=True)]
        wide = channels_first(xp.zeros((g.shape[0], *spread, g.shape[1]), dtype=g.dtype))
        wide[(..., *(slice(None, None, s) for s in stride))] = g
    around = flipped_padding(size, wide.shape[2:], w.shape[2:], padding, dilation)
    ones = tuple(1 for _ in stride)
    gx = depthwise_conv(xp, wide, flip(w), None, ones, around, dilation, groups)
    if strided and not finite(gx):
        _spread_by_shifts(channels_last(gx), channels_last(g), w, stride, padding, dilation)
    return gx


def _spread_by_shifts(
    gx: Array, g: Array, w: Array, stride: Ints, padding: Padding, dilation: Ints
) -> None:
    """Write the gradient of channels-last x to gx, without the zeros between those of g."""
    gx[...] = 0.0
    size, out = gx.shape[1:-1], g.shape[1:-1]
    for tap, pixels, outputs in taps_of(size, out, w.shape[2:], stride, padding, dilation):
        gx[(slice(None), *pixels)] += g[(slice(None), *outputs)] * w[(slice(None), 0, *tap)]


@declare(takes=lambda g, x, *steps: 1 < g.shape[1] == x.shape[1] == steps[-1])
@quietly
def depthwise_conv_weight_grad(
    xp: Any,
    g: Array,
    x: Array,
    kernel: Ints,
    stride: Ints,
    padding: Padding,
    dilation: Ints,
    groups: int,
) -> Array:
    """Gradient with respect to w of spatial size `kernel`: ``box.T @ g``, summed over diagonals."""
    n, channels, *size = x.shape
    out = g.shape[2:]
    kernel = tuple(kernel)
    axes = _plan(n, tuple(size), out, kernel, tuple(stride), tuple(padding), tuple(dilation))
    plain = [_cut(o, o, 1, 1, 0, 1, a.tile) for o, a in zip(out, axes, strict=True)]
    x = channels_last(x)
    g = channels_last(g)

    def correlate(c: slice) -> Array:
        boxes = _boxes(xp, x[..., c], axes)
        whole, band = _band(xp, len(boxes), axes, kernel, stride, dilation, x.dtype)
        products = xp.matmul(boxes.swapaxes(1, 2), _boxes(xp, g[..., c], plain))
        band[...] = products.reshape(band.shape)
        diagonals = _diagonals(xp, whole, kernel, stride, dilation)
        return diagonals.sum(axis=tuple(range(1 + len(kernel), diagonals.ndim)))

    gw = xp.concatenate(xp.run_tasks(correlate, _channel_groups(n, channels, axes)))
    gw = gw.reshape(channels, 1, *kernel)
    if not finite(gw):
        gw[...] = 0.0
        everywhere = tuple(range(len(size) + 1))
        for tap, pixels, outputs in taps_of(size, out, kernel, stride, padding, dilation):
            products = x[(slice(None), *pixels)] * g[(slice(None), *outputs)]
            gw[(slice(None), 0, *tap)] = products.sum(everywhere)
    return gw
