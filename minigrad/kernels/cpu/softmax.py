"""Softmax and its logarithm over the last axis; other axes are moved there."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import prange

from minigrad.kernels.cpu.arrays import Array, contiguous, empty, takes
from minigrad.kernels.cpu.compile import compiled, in_order, parallel
from minigrad.kernels.cpu.exp import exp

__all__ = [
    "TILE",
    "exp_of_rows",
    "log_softmax",
    "log_softmax_vjp",
    "rows_of",
    "softmax",
    "softmax_vjp",
]

TILE = 16  # rows in one task


@compiled
def exp_of_rows(y, x):  # type: ignore[no-untyped-def]
    """Write ``exp(x - max)`` of every row; return the maxima and the sums.

    The exponentials are one loop over all rows: those of a few classes would not fill a vector.
    """
    maxima, sums = np.empty(len(x), x.dtype), np.empty(len(x), x.dtype)
    for m in range(len(x)):
        source, target = x[m], y[m]
        most = source[0]
        for c in range(1, source.size):
            most = source[c] if source[c] > most or source[c] != source[c] else most
        for c in range(source.size):
            target[c] = source[c] - most
        maxima[m] = most
    flat = y.reshape(-1)
    for i in range(flat.size):
        flat[i] = exp(flat[i])
    for m in range(len(x)):
        total, target = x.dtype.type(0), y[m]
        for c in range(target.size):
            total += target[c]
        sums[m] = total
    return maxima, sums


@compiled
def rows_of(tile, x):  # type: ignore[no-untyped-def]
    """Return the first row of a tile, and where it ends."""
    return tile * TILE, min(len(x), (tile + 1) * TILE)


@parallel
def _softmax(y, x):  # type: ignore[no-untyped-def]
    for tile in prange(-(-len(x) // TILE)):
        first, end = rows_of(tile, x)
        _, sums = exp_of_rows(y[first:end], x[first:end])
        for m in range(first, end):
            row, total = y[m], sums[m - first]
            for c in range(row.size):
                row[c] /= total


@in_order  # most + log_total is most, where that is huge
def _subtract(row, source, most, log_total):  # type: ignore[no-untyped-def]
    for c in range(row.size):
        row[c] = (source[c] - most) - log_total


@parallel
def _log_softmax(y, x):  # type: ignore[no-untyped-def]
    for tile in prange(-(-len(x) // TILE)):
        first, end = rows_of(tile, x)
        maxima, sums = exp_of_rows(y[first:end], x[first:end])
        for m in range(first, end):
            _subtract(y[m], x[m], maxima[m - first], np.log(sums[m - first]))


@parallel
def _softmax_vjp(gx, g, y):  # type: ignore[no-untyped-def]
    for tile in prange(-(-len(y) // TILE)):
        for m in range(tile * TILE, min(len(y), (tile + 1) * TILE)):
            target, slope, p = gx[m], g[m], y[m]
            total = y.dtype.type(0)
            for c in range(p.size):
                total += slope[c] * p[c]
            for c in range(p.size):
                target[c] = p[c] * (slope[c] - total)


@parallel
def _log_softmax_vjp(gx, g, y):  # type: ignore[no-untyped-def]
    for tile in prange(-(-len(y) // TILE)):
        for m in range(tile * TILE, min(len(y), (tile + 1) * TILE)):
            target, slope, log_p = gx[m], g[m], y[m]
            total = y.dtype.type(0)
            for c in range(log_p.size):
                total += slope[c]
            for c in range(log_p.size):
                target[c] = slope[c] - exp(log_p[c]) * total


def _over_rows(loop: Callable[..., None], axis: int, *arrays: Array) -> Array:
    """Run a loop over the rows that lie along `axis`."""
    if not arrays[0].ndim:
        return _over_rows(loop, 0, *(a.reshape(1) for a in arrays)).reshape(())
    moved = [contiguous(np.moveaxis(a, axis, -1)) for a in arrays]
    out = empty(moved[0].shape, moved[0].dtype)
    if out.size:
        loop(*(a.reshape(-1, a.shape[-1]) for a in (out, *moved)))
    return np.moveaxis(out, -1, axis)


@takes()
def softmax(x: Array, axis: int) -> Array:
    """``y = exp(x) / sum(exp(x))`` along `axis`."""
    return _over_rows(_softmax, axis, x)


@takes(fits=lambda g, y, axis: g.shape == y.shape)
def softmax_vjp(g: Array, y: Array, axis: int) -> Array:
    """Gradient of softmax from its result y: ``dx = y * (g - sum(g * y))``."""
    return _over_rows(_softmax_vjp, axis, g, y)


@takes()
def log_softmax(x: Array, axis: int) -> Array:
    """``y = x - log(sum(exp(x)))`` along `axis`."""
    return _over_rows(_log_softmax, axis, x)


@takes(fits=lambda g, y, axis: g.shape == y.shape)
def log_softmax_vjp(g: Array, y: Array, axis: int) -> Array:
    """Gradient of log_softmax from its result y: ``dx = g - exp(y) * sum(g)``."""
    return _over_rows(_log_softmax_vjp, axis, g, y)
