"""Max pooling, and the two ways between an image and the places of its maxima."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numba import prange

from minigrad.kernels.arrays.pool import outside
from minigrad.kernels.cpu.arrays import (
    Array,
    channels_first,
    channels_last,
    contiguous,
    empty,
    takes,
    three,
    volume,
)
from minigrad.kernels.cpu.compile import parallel

__all__ = ["max_pool", "pool_gather", "pool_scatter"]

CHANNELS = 64  # of one task of `pool_scatter`


@parallel
def _max_pool(y, where, x, depths, heights, widths):  # type: ignore[no-untyped-def]
    n, out_d, out_h, out_w, channels = y.shape
    height, width = x.shape[2:4]
    for task in prange(n * out_d * out_h):
        b, d, h = task // (out_d * out_h), task // out_h % out_d, task % out_h
        for w in range(out_w):
            best, at = y[b, d, h, w], where[b, d, h, w]
            for c in range(channels):
                best[c] = -np.inf
                at[c] = (depths[d, 0] * height + heights[h, 0]) * width + widths[w, 0]
            for i in depths[d]:
                for j in heights[h]:
                    for k in widths[w]:
                        source, place = x[b, i, j, k], (i * height + j) * width + k
                        for c in range(channels):
                            value = source[c]  # NaN wins over every number, the last over others
                            if value > best[c] or value != value:
                                best[c] = value
                                at[c] = place


@parallel
def _gather(y, x, where):  # type: ignore[no-untyped-def]
    """Return how many of the places are outside of the image, and were left out."""
    n, rows, channels = y.shape
    outside = 0
    for task in prange(n * rows):
        b, row = task // rows, task % rows
        for c in range(channels):
            place = where[b, row, c]
            if 0 <= place < x.shape[1]:
                y[b, row, c] = x[b, place, c]
            else:
                outside += 1
    return outside


@parallel
def _scatter(y, g, where, chunk):  # type: ignore[no-untyped-def]
    """Return how many of the places are outside of the image, and were left out."""
    n, rows, channels = g.shape
    chunks = -(-channels // chunk)
    outside = 0
    for task in prange(n * chunks):
        b, first = task // chunks, task % chunks * chunk
        last = min(channels, first + chunk)
        for pixel in range(y.shape[1]):
            for c in range(first, last):
                y[b, pixel, c] = 0
        for row in range(rows):
            for c in range(first, last):
                place = where[b, row, c]
                if 0 <= place < y.shape[1]:
                    y[b, place, c] += g[b, row, c]
                else:
                    outside += 1
    return outside


@takes(fits=lambda x, tables: len(tables) == x.ndim - 2)
def max_pool(x: Array, tables: Sequence[Any]) -> tuple[Array, Array]:
    """Return the maximum of every window and where it stands, counted within (*spatial)."""
    out = [len(table) for table in tables]
    y = empty((len(x), *out, x.shape[1]), x.dtype)
    where = empty(y.shape, np.int64)
    axes = [np.zeros((1, 1), np.int64)] * (3 - len(out)) + list(map(contiguous, tables))
    shape = (len(x), *three(out, 1), x.shape[1])
    _max_pool(y.reshape(shape), where.reshape(shape), volume(x), *axes)
    return channels_first(y), channels_first(where)


def _positions(x: Array) -> Array:
    """Return (N, C, *spatial) as contiguous (N, L, C)."""
    return contiguous(channels_last(x)).reshape(len(x), math.prod(x.shape[2:]), x.shape[1])


@takes(
    fits=lambda x, where: where.ndim == x.ndim and where.shape[:2] == x.shape[:2],
)
def pool_gather(x: Array, where: Array) -> Array:
    """Pick from every channel the elements at `where` (N, C, *out)."""
    y = empty((len(x), *where.shape[2:], x.shape[1]), x.dtype)
    places = _positions(where)
    if _gather(y.reshape(places.shape), _positions(x), places):
        raise outside(where, x.shape[2:])
    return channels_first(y)


@takes(
    fits=lambda g, where, size: g.shape == where.shape and len(size) == g.ndim - 2,
)
def pool_scatter(g: Array, where: Array, size: Sequence[int]) -> Array:
    """Add every element at its place in an image of `size` zeros."""
    n, channels = g.shape[:2]
    y = empty((n, *size, channels), g.dtype)
    target = y.reshape(n, math.prod(size), channels)
    if _scatter(target, _positions(g), _positions(where), CHANNELS):
        raise outside(where, size)
    return channels_first(y)
