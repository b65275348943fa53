"""Layer normalisation over the last axis, row by row."""

from __future__ import annotations

import numpy as np
from numba import prange

from minigrad.kernels.arrays.running import unit_of
from minigrad.kernels.cpu.arrays import Array, are_rows, as_rows, empty, narrowed, takes, widened
from minigrad.kernels.cpu.bfloat16 import bits, number, put, widen, working_type
from minigrad.kernels.cpu.compile import compiled, parallel

__all__ = ["gradient_of_row", "layer_norm", "layer_norm_vjp", "normalize_row", "statistics"]

TILE = 64  # rows in one task
PARTS = 64  # partial sums of the gradients of the parameters
FAR_32, FAR_64 = unit_of(np.dtype("f4")), unit_of(np.dtype("f8"))


@compiled
def _far_statistics(x, eps):  # type: ignore[no-untyped-def]
    """Do the same for numbers too large to be squared: in double precision, in a smaller unit."""
    unit = FAR_32 if x.itemsize <= 4 else FAR_64
    total, squares = 0.0, 0.0
    for c in range(x.size):
        total += widen(x[c]) * unit
    mean = total / x.size
    for c in range(x.size):
        squares += (widen(x[c]) * unit - mean) * (widen(x[c]) * unit - mean)
    scale = unit / np.sqrt(squares / x.size + eps * unit * unit)
    return number(x, mean / unit), number(x, scale)


@compiled
def statistics(x, eps):  # type: ignore[no-untyped-def]
    """Return mean and 1 / standard deviation of a row."""
    total, one = number(x, 0), number(x, 1)
    inverse = one / number(x, x.size)
    for c in range(x.size):
        total += widen(x[c])
    mean = total * inverse
    squares = number(x, 0)
    for c in range(x.size):
        squares += (widen(x[c]) - mean) * (widen(x[c]) - mean)
    if not squares < np.inf:
        return _far_statistics(x, eps)
    return mean, one / np.sqrt(squares * inverse + eps)


@compiled
def normalize_row(y, x, mean, scale, weight, bias):  # type: ignore[no-untyped-def]
    """``y = (x - mean) * scale * weight + bias``."""
    for c in range(x.size):
        put(y, c, (widen(x[c]) - mean) * scale * weight[c] + bias[c])


@compiled
def gradient_of_row(gx, g, x, mean, scale, weight, gw, gb):  # type: ignore[no-untyped-def]
    """Write the gradient with respect to x, and add to those of weight and bias."""
    zero, inverse = number(x, 0), number(x, 1) / number(x, x.size)
    mean_u, mean_uh = zero, zero
    for c in range(x.size):  # writes nothing: where it did, the order of the sums hung on addresses
        u = widen(g[c]) * weight[c]
        mean_u += u
        mean_uh += u * ((widen(x[c]) - mean) * scale)
    mean_u *= inverse
    mean_uh *= inverse
    for c in range(x.size):
        h, slope = (widen(x[c]) - mean) * scale, widen(g[c])
        put(gx, c, scale * (slope * weight[c] - mean_u - h * mean_uh))
        gw[c] += slope * h
        gb[c] += slope


@parallel
def _layer_norm(y, x, weight, bias, eps):  # type: ignore[no-untyped-def]
    for tile in prange(-(-len(x) // TILE)):
        for m in range(tile * TILE, min(len(x), (tile + 1) * TILE)):
            mean, scale = statistics(x[m], eps)
            normalize_row(y[m], x[m], mean, scale, weight, bias)


@parallel
def _layer_norm_vjp(gx, gw, gb, g, x, weight, eps):  # type: ignore[no-untyped-def]
    parts = len(gw)
    for part in prange(parts):
        gw[part] = 0
        gb[part] = 0
        for m in range(part * len(x) // parts, (part + 1) * len(x) // parts):
            mean, scale = statistics(x[m], eps)
            gradient_of_row(gx[m], g[m], x[m], mean, scale, weight, gw[part], gb[part])


def _parameter(value: Array | None, default: float, like: Array) -> Array:
    if value is None:
        return np.full(like.shape[-1], default, working_type(like.dtype))
    return as_rows(widened(value))[0]


@takes(fits=lambda x, w, b, eps: are_rows(x, w, b), bfloat16=True)
def layer_norm(x: Array, weight: Array | None, bias: Array | None, eps: float) -> Array:
    """``y = (x - mean) / sqrt(var + eps) * weight + bias`` for every row ``x[..., :]``."""
    if not x.size:
        return np.zeros_like(x)
    y = empty(x.shape, x.dtype)
    weight, bias = _parameter(weight, 1.0, x), _parameter(bias, 0.0, x)
    _layer_norm(bits(as_rows(y)), bits(as_rows(x)), weight, bias, working_type(x.dtype).type(eps))
    return y


@takes(fits=lambda g, x, w, eps: g.shape == x.shape and are_rows(x, w), bfloat16=True)
def layer_norm_vjp(
    g: Array, x: Array, weight: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """Gradients of `layer_norm` with respect to x, weight and bias."""
    channels = x.shape[-1]
    if not x.size:
        return np.zeros_like(x), np.zeros(channels, x.dtype), np.zeros(channels, x.dtype)
    gx, dtype = empty(x.shape, x.dtype), working_type(x.dtype)
    g, x, out = as_rows(g), as_rows(x), bits(as_rows(gx))
    sums = np.empty((2, max(1, min(PARTS, len(x) // 8)), channels), dtype)
    _layer_norm_vjp(out, *sums, bits(g), bits(x), _parameter(weight, 1.0, x), dtype.type(eps))
    gw, gb = sums.sum(axis=1)
    return gx, narrowed(gw, x.dtype), narrowed(gb, x.dtype)
