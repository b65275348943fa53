"""Batch normalisation with the statistics of the batch."""

from __future__ import annotations

import math

import numpy as np
from numba import prange

from minigrad.backend import finite, quietly
from minigrad.kernels.cpu.arrays import Array, are_rows, as_rows, empty, takes
from minigrad.kernels.cpu.compile import compiled, parallel

__all__ = ["batch_norm", "batch_norm_vjp"]

PARTS = 64  # partial sums over rows, added up in order
WIDE = 256  # numbers in a row of the loops


@compiled
def _add(sums, g, x, mean):  # type: ignore[no-untyped-def]
    for c in range(mean.size):
        d = x[c] - mean[c]
        sums[0, c] += g[c]
        sums[1, c] += g[c] * d
        sums[2, c] += d * d


@parallel
def _sums(parts, g, x, mean):  # type: ignore[no-untyped-def]
    """Sum g, ``g * (x - mean)`` and ``(x - mean)^2`` over the rows of every part."""
    for part in prange(len(parts)):
        parts[part] = 0
        for m in range(part * len(x) // len(parts), (part + 1) * len(x) // len(parts)):
            _add(parts[part], g[m], x[m], mean)


@compiled
def _affine_of(y, g, x, mean, a, b, c):  # type: ignore[no-untyped-def]
    for i in range(y.size):
        y[i] = g[i] * a[i] + (x[i] - mean[i]) * b[i] + c[i]


@parallel
def _affine(y, g, x, mean, a, b, c):  # type: ignore[no-untyped-def]
    for m in prange(len(x)):
        _affine_of(y[m], g[m], x[m], mean, a, b, c)


def _joined(x: Array) -> int:
    """Return how many rows of few channels the loops take for one, which starts them less often."""
    rows, channels = x.shape
    return math.gcd(rows, 1 << max(1, WIDE // max(1, channels)).bit_length() - 1)


@quietly  # the callers look at what is not finite
def _sum(g: Array, x: Array, mean: Array) -> Array:
    joined, channels = _joined(x), x.shape[1]
    g, x = (a.reshape(len(x) // joined, joined * channels) for a in (g, x))
    parts = empty((min(PARTS, len(x)), 3, joined * channels), x.dtype)
    _sums(parts, g, x, np.tile(mean, joined))
    return parts.sum(axis=0).reshape(3, joined, channels).sum(axis=1)


def _apply(y: Array, g: Array, x: Array, *channelwise: Array) -> None:
    """``y = g * a + (x - mean) * b + c``, with mean, a, b and c for every channel."""
    joined = _joined(x)
    y, g, x = (a.reshape(len(x) // joined, joined * x.shape[1]) for a in (y, g, x))
    _affine(y, g, x, *(np.tile(v, joined) for v in channelwise))


def _mean(x: Array) -> Array:
    return _sum(x, x, np.zeros(x.shape[1], x.dtype))[0] / x.dtype.type(len(x))


@takes(fits=lambda x, w, b, eps: are_rows(x, w, b))
def batch_norm(
    x: Array, weight: Array | None, bias: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """Normalise every channel of x (..., C); return the result, the mean and the variance."""
    y = empty(x.shape, x.dtype)
    rows = as_rows(x)
    mean = _mean(rows)
    var = _sum(rows, rows, mean)[2] / x.dtype.type(len(rows))
    if not finite(var):  # the formula knows what to do
        return NotImplemented  # type: ignore[no-any-return]
    scale = 1.0 / np.sqrt(var + x.dtype.type(eps))
    zero = np.zeros_like(mean)
    gain = scale if weight is None else scale * weight
    _apply(as_rows(y), rows, rows, mean, zero, gain, zero if bias is None else bias)
    return y, mean, var


@takes(fits=lambda g, x, w, eps: g.shape == x.shape and are_rows(x, w))
def batch_norm_vjp(
    g: Array, x: Array, weight: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """Gradients of `batch_norm` with respect to x, weight and bias."""
    gx = empty(x.shape, x.dtype)
    g, x, out = as_rows(g), as_rows(x), as_rows(gx)
    inverse = 1.0 / x.dtype.type(len(x))
    mean = _mean(x)
    total, product, squares = _sum(g, x, mean)
    scale = 1.0 / np.sqrt(squares * inverse + x.dtype.type(eps))
    a = scale if weight is None else scale * weight
    if not (finite(squares) and finite(a)):
        return NotImplemented  # type: ignore[no-any-return]
    slope = scale * product * inverse * scale  # in this order nothing leaves the range
    _apply(out, g, x, mean, a, -a * slope, -a * total * inverse)
    return gx, product * scale, total
