"""Softmax and its logarithm over the last axis; other axes are moved there."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import prange

from minigrad.kernels.cpu.arrays import Array, contiguous, empty, takes
from minigrad.kernels.cpu.compile import compiled, in_order, parallel
from minigrad.kernels.cpu.exp import exp

__all__ = [
    "exp_of_row",
    "log_softmax",
    "log_softmax_vjp",
    "softmax",
    "softmax_vjp",
]

TILE = 16  # rows in one task


@compiled
def exp_of_row(y, x):  # type: ignore[no-untyped-def]
    """Write ``exp(x - max)``; return the maximum and the sum."""
    most = x[0]
    for c in range(1, x.size):
        most = x[c] if x[c] > most or x[c] != x[c] else most
    total = x.dtype.type(0)
    for c in range(x.size):
        y[c] = exp(x[c] - most)
        total += y[c]
    return most, total


@parallel
def _softmax(y, x):  # type: ignore[no-untyped-def]
    for tile in prange(-(-len(x) // TILE)):
        for m in range(tile * TILE, min(len(x), (tile + 1) * TILE)):
            row = y[m]
            _, total = exp_of_row(row, x[m])
            for c in range(row.size):
                row[c] /= total


@in_order  # most + log_total is most, where that is huge
def _subtract(row, source, most, log_total):  # type: ignore[no-untyped-def]
    for c in range(row.size):
        row[c] = (source[c] - most) - log_total


@parallel
def _log_softmax(y, x):  # type: ignore[no-untyped-def]
    for tile in prange(-(-len(x) // TILE)):
        for m in range(tile * TILE, min(len(x), (tile + 1) * TILE)):
            row, source = y[m], x[m]
            most, total = exp_of_row(row, source)
            _subtract(row, source, most, np.log(total))


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
