"""Forward with positions in the lanes, for few rows, where packing weights would cost most.

``h.T = w1 @ norm(x).T`` and ``y.T = w2 @ z.T`` take the weights as they are, each number once. A
task has some of the hidden columns; what they add to the result goes to a part of its own. A few
positions that would leave most lanes of a vector empty are inner products instead.
"""

from __future__ import annotations

from numba import get_thread_id, prange

from minigrad.kernels.cpu.arrays import empty, lanes
from minigrad.kernels.cpu.compile import compiled, parallel, threads
from minigrad.kernels.cpu.gelu import normal
from minigrad.kernels.cpu.gemm import Matrix, dot, multiply, transpose_block
from minigrad.kernels.cpu.mlp_plan import Rows
from minigrad.kernels.cpu.mlp_steps import norm
from minigrad.kernels.cpu.simd import VECTOR_BYTES
from minigrad.kernels.formulas.mlp import Weights

__all__ = ["MOST_ROWS", "forward_few"]

MOST_ROWS = 256  # that are few
MOST_PARTS = 8  # of the hidden columns
PART_COLUMNS = 384  # of a part, about
WEIGHT_ROWS = 48  # of a weight that stay in the cache


def forward_few(rows: Rows, p: Weights) -> None:
    """Write the result to ``rows.out``."""
    dtype, channels, hidden = rows.x.dtype, p.b2.size, p.b1.size
    count = max(1, min(MOST_PARTS, hidden // PART_COLUMNS))
    width = max(-(-hidden // count), 2 * lanes(dtype))
    memory = empty((threads(), width * max(len(rows.stats), channels)), dtype)
    turned, parts = empty(rows.x.size, dtype), empty((count, rows.x.size), dtype)
    _forward(rows, p, turned, parts, memory)


@compiled
def _in_lanes(count, lane):  # type: ignore[no-untyped-def]
    """Return how many of the rows go into lanes; the others are inner products."""
    if count < lane or count % lane <= lane // 4:
        return count - count % lane
    return count


@compiled
def _norm_turned(turned, whole, rows, m, p, own):  # type: ignore[no-untyped-def]
    """Write a vector of normalised rows to `turned`, transposed if they go into lanes."""
    channels, lane = p.b2.size, VECTOR_BYTES // own.itemsize
    count = min(lane, len(rows.stats) - m)
    normed = Matrix(own, 0, channels)
    norm(normed, rows, m, count, p, False)
    if m < whole:
        transpose_block(Matrix(turned, m, whole), normed, count, channels)
    else:
        turned[whole * channels :] = own[: count * channels]


@compiled
def _gelu_of(row, bias):  # type: ignore[no-untyped-def]
    for i in range(row.size):
        value = row[i] + bias
        row[i] = value * normal(value)[0]


@compiled
def _add_columns(total, turned, whole, p, columns, own):  # type: ignore[no-untyped-def]
    """Write what `columns` (first, width) of the hidden ones add to the result, transposed."""
    first, width = columns
    channels, size = p.b2.size, p.b1.size
    count = total.size // channels
    rest, aside = turned[whole * channels :], own[width * whole :]
    for j in range(0, width, WEIGHT_ROWS):
        high = min(WEIGHT_ROWS, width - j)
        at = (first + j) * channels
        multiply(
            Matrix(own, j * whole, whole), Matrix(p.w1, at, channels),
            Matrix(turned, 0, whole), (high, channels, whole), False,
        )  # fmt: skip
        for i in range(high):
            _gelu_of(own[(j + i) * whole : (j + i + 1) * whole], p.b1[first + j + i])
            weight = p.w1[at + i * channels : at + (i + 1) * channels]
            for m in range(count - whole):
                value = dot(weight, rest[m * channels : (m + 1) * channels])
                value += p.b1[first + j + i]
                aside[m * width + j + i] = value * normal(value)[0]
    for c in range(0, channels, WEIGHT_ROWS):
        high = min(WEIGHT_ROWS, channels - c)
        at = c * size + first
        multiply(
            Matrix(total, c * count, count), Matrix(p.w2, at, size),
            Matrix(own, 0, whole), (high, width, whole), False,
        )  # fmt: skip
        for i in range(high):
            weight = p.w2[at + i * size : at + i * size + width]
            for m in range(count - whole):
                value = dot(weight, aside[m * width : (m + 1) * width])
                total[(c + i) * count + whole + m] = value


@compiled
def _sum_up(rows, parts, c, p, own):  # type: ignore[no-untyped-def]
    """Add up the parts of one vector of channels, and finish the result."""
    channels, count = p.b2.size, len(rows.stats)
    wide = min(VECTOR_BYTES // own.itemsize, channels - c)
    sums = own[: wide * count]
    sums[:] = parts[0, c * count : (c + wide) * count]
    for part in range(1, len(parts)):
        more = parts[part, c * count : (c + wide) * count]
        for i in range(sums.size):
            sums[i] += more[i]
    transpose_block(Matrix(own, sums.size, wide), Matrix(own, 0, count), wide, count)
    bias, scale = p.b2[c : c + wide], p.scale[c : c + wide]
    for m in range(count):
        at = m * channels + c
        target, source = rows.out[at : at + wide], rows.given[at : at + wide]
        value = own[sums.size + m * wide : sums.size + (m + 1) * wide]
        f = rows.factor[m // rows.length]
        for i in range(wide):
            target[i] = source[i] + (value[i] + bias[i]) * (scale[i] * f)


@parallel
def _forward(rows, p, turned, parts, memory):  # type: ignore[no-untyped-def]
    channels, size, count = p.b2.size, p.b1.size, len(rows.stats)
    lane = VECTOR_BYTES // turned.itemsize
    whole = _in_lanes(count, lane)
    for task in prange(-(-count // lane)):
        _norm_turned(turned, whole, rows, task * lane, p, memory[get_thread_id()])
    for part in prange(len(parts)):
        first = part * size // len(parts)
        columns = first, (part + 1) * size // len(parts) - first
        _add_columns(parts[part], turned, whole, p, columns, memory[get_thread_id()])
    for task in prange(-(-channels // lane)):
        _sum_up(rows, parts, task * lane, p, memory[get_thread_id()])
