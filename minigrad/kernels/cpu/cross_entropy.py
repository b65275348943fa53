"""Cross entropy between logits and target weights, both (rows, classes)."""

from __future__ import annotations

import numpy as np
from numba import get_thread_id, prange

from minigrad.kernels.cpu.arrays import Array, contiguous, empty, takes
from minigrad.kernels.cpu.compile import in_order, parallel, threads
from minigrad.kernels.cpu.softmax import TILE, exp_of_rows, rows_of

__all__ = ["cross_entropy", "cross_entropy_vjp"]


@in_order
def _surprise(x, most, log_total):  # type: ignore[no-untyped-def]
    """``-log(p)``, the difference first: beside logits of 1e30 the logarithm would be lost."""
    return (most - x) + log_total


@parallel
def _cross_entropy(y, x, q, memory):  # type: ignore[no-untyped-def]
    for tile in prange(-(-len(x) // TILE)):
        first, end = rows_of(tile, x)
        own = memory[get_thread_id(), : end - first]
        maxima, sums = exp_of_rows(own, x[first:end])
        for m in range(first, end):
            row, weight = x[m], q[m]
            most, log_total = maxima[m - first], np.log(sums[m - first])
            loss = x.dtype.type(0)
            for c in range(row.size):  # a class of weight 0 counts 0 even where its logit is -inf
                if weight[c] != 0:
                    loss += weight[c] * _surprise(row[c], most, log_total)
            y[m, 0] = loss


@parallel
def _cross_entropy_vjp(gx, g, x, q):  # type: ignore[no-untyped-def]
    for tile in prange(-(-len(x) // TILE)):
        first, end = rows_of(tile, x)
        _, sums = exp_of_rows(gx[first:end], x[first:end])
        for m in range(first, end):
            target, weight = gx[m], q[m]
            mass = x.dtype.type(0)
            for c in range(weight.size):
                mass += weight[c]
            share = mass / sums[m - first]
            for c in range(weight.size):  # a row of weight 0 gets 0 even where its logits are NaN
                p = target[c] * share if mass != 0 else x.dtype.type(0)
                target[c] = g[m, 0] * (p - weight[c])


@takes(fits=lambda x, q: x.ndim == 2 and x.shape == q.shape)
def cross_entropy(x: Array, q: Array) -> Array:
    """Loss of every row, (rows, 1): ``-sum(q * log_softmax(x))``."""
    y = np.empty((len(x), 1), x.dtype)
    if x.size:
        memory = empty((threads(), TILE, x.shape[1]), x.dtype)
        _cross_entropy(y, contiguous(x), contiguous(q), memory)
    return y


@takes(
    fits=lambda g, x, q: x.ndim == 2 and x.shape == q.shape and g.shape == (len(x), 1),
)
def cross_entropy_vjp(g: Array, x: Array, q: Array) -> Array:
    """Gradient with respect to the logits: ``dx = g * (softmax(x) * sum(q) - q)``."""
    gx = empty(x.shape, x.dtype)
    if x.size:
        _cross_entropy_vjp(gx, contiguous(g), contiguous(x), contiguous(q))
    return gx
