"""The pointwise half of a block on tiles: forward without GRN, where nothing is kept for backward.

As in `mlp`, a task takes rows through all steps, a chunk of hidden columns at a time. Both products
take bfloat16 and add up float32; so are the rows before the norm and after the residual.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import get_thread_id, prange

from minigrad.kernels.constants import laid_out
from minigrad.kernels.cpu import tiles
from minigrad.kernels.cpu.arrays import Array, contiguous, empty, narrowed, widened
from minigrad.kernels.cpu.bfloat16 import bits, is_bfloat16, put, widen
from minigrad.kernels.cpu.compile import compiled, parallel, threads
from minigrad.kernels.cpu.gelu import normal
from minigrad.kernels.cpu.gemm import Matrix
from minigrad.kernels.cpu.gemm_tiles import BLOCK, multiply, pack
from minigrad.kernels.cpu.layer_norm import normalize_row, statistics
from minigrad.kernels.cpu.mlp_steps import row
from minigrad.kernels.cpu.tiles import TILE, configure, release
from minigrad.kernels.formulas.mlp import Weights

__all__ = ["fits", "forward"]

ROWS = 4 * BLOCK  # in one task
CHUNK = 12 * BLOCK  # hidden columns at a time
APART = BLOCK  # elements between two rows in the memory of a thread, lest they meet in the cache


class _Layers(NamedTuple):
    """What the loop is told of the weights: those of the products packed, the others float32."""

    w1: Array
    w2: Array
    norm_weight: Array
    norm_bias: Array
    b1: Array
    b2: Array
    scale: Array


def fits(x: Array, p: Weights) -> bool:
    """Return whether there are tiles for bfloat16, and the lengths of the weights fill them."""
    return (
        is_bfloat16(x.dtype)
        and tiles.why_none() is None
        and x.size > 0
        and p.grn_weight is None
        and not any(n % BLOCK for n in p.w1.shape)
    )


@parallel
def _pack(p1, p2, w1, w2):  # type: ignore[no-untyped-def]
    """Pack w1 (H, C) and w2 (C, H), given as pairs, one matrix per chunk of hidden columns."""
    hidden, pairs = w1.shape
    channels, row1, row2 = len(w2), w1.reshape(-1), w2.reshape(-1)
    for task in prange(-(-hidden // CHUNK)):
        k = task * CHUNK
        width = min(CHUNK, hidden - k)
        pack(Matrix(p1, k * pairs, TILE), Matrix(row1, k * pairs, pairs), width, pairs)
        source = Matrix(row2, k // 2, hidden // 2)
        pack(Matrix(p2, k * pairs, TILE), source, channels, width // 2)


@compiled
def _norm(y, x, m, count, spare, p, eps):  # type: ignore[no-untyped-def]
    """Normalise rows of x; `spare` has two rows."""
    channels = p.b2.size
    wide, normed = row(spare, 0, channels), row(spare, 1, channels)
    for i in range(count):
        at = (m + i) * channels
        for c in range(channels):
            wide[c] = widen(x[at + c])
        mean, scale = statistics(wide, eps)
        normalize_row(normed, wide, mean, scale, p.norm_weight, p.norm_bias)
        target = row(y, i, channels)
        for c in range(channels):
            put(target, c, normed[c])


@compiled
def _gelu(z, h, count, bias):  # type: ignore[no-untyped-def]
    for i in range(count):
        source, target = row(h, i, bias.size), row(z, i, bias.size)
        for j in range(bias.size):
            value = source[j] + bias[j]
            put(target, j, value * normal(value)[0])


@compiled
def _residual(y, skip, m, count, branch, factor, length, p):  # type: ignore[no-untyped-def]
    channels = p.b2.size
    bias, scale = p.b2, p.scale
    for i in range(count):
        at = (m + i) * channels
        target, source = y[at : at + channels], skip[at : at + channels]
        value, f = row(branch, i, channels), factor[(m + i) // length]
        for c in range(channels):
            put(target, c, source[c] + (value[c] + bias[c]) * (scale[c] * f))


@parallel
def _forward(y, x, skip, factor, length, eps, p, floats, halves):  # type: ignore[no-untyped-def]
    channels, hidden = p.b2.size, p.b1.size
    rows = x.size // channels
    for task in prange(-(-rows // ROWS)):
        own, own_half = floats[get_thread_id()], halves[get_thread_id()]
        m = task * ROWS
        count = min(ROWS, rows - m)
        whole = -(-count // BLOCK) * BLOCK
        branch = Matrix(own, 0, channels + APART)
        h = Matrix(own, ROWS * branch.row, CHUNK + APART)
        normed = Matrix(own_half, 0, channels + APART)
        z = Matrix(own_half, ROWS * normed.row, CHUNK + APART)
        configure()
        _norm(normed, x, m, count, branch, p, eps)
        for k in range(0, hidden, CHUNK):
            width = min(CHUNK, hidden - k)
            at = k * channels
            multiply(h, normed, (p.w1, at), (whole, channels, width), False)
            _gelu(z, h, count, p.b1[k : k + width])
            multiply(branch, z, (p.w2, at), (whole, width, channels), k > 0)
        release()
        _residual(y, skip, m, count, branch, factor, length, p)


def _panels(w1: Array, w2: Array, dtype: np.dtype[Any]) -> list[Array]:
    pairs = [bits(narrowed(contiguous(w), dtype)).view(np.float32) for w in (w1, w2)]
    panels = [empty(w1.size, np.uint16) for _ in pairs]
    _pack(*(panel.view(np.float32) for panel in panels), *pairs)
    return panels


def forward(x: Array, skip: Array, parameters: Weights, factor: Array | None, eps: float) -> Array:
    """Return what `mlp` does; x is bfloat16 and not empty."""
    norm_weight, norm_bias, w1, b1, w2, b2, scale, *_ = parameters
    channels = len(w2)
    panels = laid_out(_panels, (w1, w2), x.dtype)
    scale = np.ones(channels, np.float32) if scale is None else scale
    rest = (norm_weight, norm_bias, b1, b2, scale)
    p = _Layers(*panels, *(contiguous(widened(v)) for v in rest))
    factor = np.ones(len(x), np.float32) if factor is None else widened(factor)
    result = empty(x.shape, skip.dtype)
    size: Any = (threads(), ROWS * (channels + CHUNK + 2 * APART))
    _forward(
        bits(result).reshape(-1), bits(contiguous(x)).reshape(-1),
        widened(contiguous(skip)).reshape(-1), contiguous(factor),
        x.size // channels // len(x), np.float32(eps), p,
        empty(size, np.float32), empty(size, np.uint16),
    )  # fmt: skip
    return result
