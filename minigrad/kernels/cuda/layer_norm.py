"""Layer normalisation over the last axis; layer_norm.cu shows who does what."""

from __future__ import annotations

import math

from minigrad.kernels.cuda.arrays import (
    THREADS,
    Array,
    accumulator,
    blocks,
    contiguous,
    empty,
    takes,
    vector,
    zeros,
)
from minigrad.kernels.cuda.launcher import launch
from minigrad.kernels.cuda.reduce import parts_of, sum_parts

__all__ = ["layer_norm", "layer_norm_vjp"]

MOST_ROWS = 64  # of a block, backward: the length of an array in layer_norm.cu


def _lanes(vectors: int) -> int:
    """Return how many lanes share a row: the power of two that divides its vectors, 32 at most."""
    return min(32, vectors & -vectors)


@takes()
def layer_norm(x: Array, weight: Array | None, bias: Array | None, eps: float) -> Array:
    """``y = (x - mean) / sqrt(var + eps) * weight + bias`` for every row ``x[..., :]``."""
    x = contiguous(x)
    y = empty(x, x.shape)
    rows, columns = math.prod(x.shape[:-1]), x.shape[-1]
    if not x.size:
        return y
    v = vector(columns, x, y, weight, bias)
    lanes = _lanes(columns // v)
    launch(
        "layer_norm", (blocks(rows * lanes),), (THREADS,),
        (x, weight, bias, y, rows, columns, lanes, eps), (v,),
    )  # fmt: skip
    return y


@takes(arrays=2)
def layer_norm_vjp(
    g: Array, x: Array, weight: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """Gradients of `layer_norm` with respect to x, weight and bias."""
    g, x = contiguous(g), contiguous(x)
    rows, columns = math.prod(x.shape[:-1]), x.shape[-1]
    dtype = x.dtype if weight is None else weight.dtype
    if not x.size:
        return zeros(x, x.shape), zeros(x, (columns,), dtype), zeros(x, (columns,), dtype)
    gx = empty(x, x.shape)
    v = vector(columns, g, x, gx, weight)
    lanes = _lanes(columns // v)
    share = parts_of(rows, 8, MOST_ROWS)
    parts = empty(x, (1, -(-rows // share), 2 * columns), accumulator(x.dtype))
    width = min(THREADS, columns // v)
    launch(
        "layer_norm_vjp", (parts.shape[1],), (THREADS,),
        (g, x, weight, gx, parts, rows, columns, lanes, share, width, eps), (v,),
    )  # fmt: skip
    g_weight, g_bias = sum_parts(parts, dtype).reshape(2, columns)
    return gx, g_weight, g_bias
