"""Forward with positions in the lanes, for few rows, where packing weights would cost most.

``h.T = w1 @ norm(x).T`` and ``y.T = w2 @ z.T`` take the weights as they are, each number once. A
task has some of the hidden columns; between the two GRN learns from all of them how it responds.
What a task's columns add to the result goes to a part of its own. A few positions that would leave
most lanes of a vector empty are inner products instead.

Weights of bfloat16 may be pairs as they lie (see `pairs`), and so becomes what they multiply.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import get_thread_id, prange, types
from numba.extending import overload

from minigrad.kernels.cpu.arrays import Array, empty, lanes
from minigrad.kernels.cpu.bfloat16 import put, widen
from minigrad.kernels.cpu.compile import OPTIONS, compiled, parallel, threads, whole_vectors
from minigrad.kernels.cpu.gelu import normal
from minigrad.kernels.cpu.gelu_table import gelu_row, has_tables
from minigrad.kernels.cpu.gemm import Matrix, Streamed, dot, multiply, transpose_block
from minigrad.kernels.cpu.mlp_plan import Rows
from minigrad.kernels.cpu.mlp_steps import gelu_in_place, norm
from minigrad.kernels.cpu.pairs import depth_of, numbers, operand, turned_operand
from minigrad.kernels.cpu.simd import VECTOR_BYTES
from minigrad.kernels.formulas.mlp import Weights

__all__ = ["FEWEST_ROWS", "MOST_ROWS", "few_hidden", "few_rest", "in_pairs"]

MOST_ROWS = 256  # that are few
FEWEST_ROWS = 64  # that are few even where the weights lie packed
MOST_PARTS = 8  # of the hidden columns
PART_COLUMNS = 384  # of a part, about
WEIGHT_ROWS = 48  # of a weight that stay in the cache


class Turned(NamedTuple):
    """Hidden values, transposed: (H, whole) with positions in the lanes, then (rest, H)."""

    values: Array
    whole: int


def few_hidden(rows: Rows, p: Weights, squares: Array) -> Turned:
    """Return ``gelu(h)``, and in `squares` (samples, H), if it has rows, its sums of squares."""
    dtype, channels, count = rows.dtype, p.b2.size, len(rows.stats)
    whole = _in_lanes(count, lanes(dtype))
    turned = empty(whole * channels, np.int32 if p.w1.dtype == np.int32 else dtype)
    rest = empty((count - whole) * channels, dtype)
    hidden = Turned(empty(count * p.b1.size, dtype), whole)
    memory = empty((threads(), lanes(dtype) * channels), dtype)
    _hidden(hidden, squares, rows, p, turned, rest, _parts(p), memory)
    return hidden


def in_pairs(p: Weights) -> Weights:
    """Return weights of bfloat16 as pairs, where nothing is cut between the two of one."""
    if p.w1.dtype != np.uint16 or p.b2.size % 2 or p.b1.size % (2 * _parts(p)):
        return p
    return p._replace(w1=p.w1.view(np.int32), w2=p.w2.view(np.int32))


def few_rest(rows: Rows, p: Weights, hidden: Turned, gain: Array) -> None:
    """Write the result to ``rows.out``; `gain` (samples, H) is GRN's and may have no rows."""
    dtype, count = rows.dtype, _parts(p)
    parts = empty((count, rows.x.size), dtype)
    memory = empty((threads(), 2 * lanes(dtype) * len(rows.stats)), dtype)
    _rest(hidden, gain, rows, p, parts, memory)


def _parts(p: Weights) -> int:
    """Return into how many parts the hidden columns are cut."""
    return max(1, min(MOST_PARTS, len(p.b1) // PART_COLUMNS))


def _in_lanes(count: int, lane: int) -> int:
    """Return how many of the rows go into lanes; the others are inner products."""
    if count < lane or count % lane <= lane // 4:
        return count - count % lane
    return count


@compiled
def _norm_turned(turned, rest, whole, rows, m, p, own):  # type: ignore[no-untyped-def]
    """Write a vector of normalised rows: to `turned`, transposed, if they go into lanes."""
    channels, lane = p.b2.size, VECTOR_BYTES // own.itemsize
    count = min(lane, len(rows.stats) - m)
    normed = Matrix(own, 0, channels)
    norm(normed, rows, m, count, p, False)
    if m < whole:
        left, depth = operand(normed, count, channels, turned), depth_of(channels, turned)
        transpose_block(Matrix(turned, m, whole), left, count, depth)
    else:
        rest[:] = own[: count * channels]


@compiled
def _by_table(row, bias):  # type: ignore[no-untyped-def]
    gelu_row((row, 0), (row, 0), bias, row.size)


@compiled
def _by_formula(row, bias):  # type: ignore[no-untyped-def]
    whole_vectors()
    for i in range(row.size):
        value = row[i] + bias
        row[i] = value * normal(value)[0]


def _gelu_of(row: Array, bias: float) -> None:
    """``row = gelu(row + bias)``, the same as in `mlp_steps` to the last bit."""
    raise NotImplementedError("only compiled loops call this")


@overload(_gelu_of, strict=False, jit_options=OPTIONS)
def _gelu_of_row(row: Any, bias: Any) -> Any:
    if has_tables() and row.dtype == types.float32:
        return lambda row, bias: _by_table(row, bias)
    return lambda row, bias: _by_formula(row, bias)


@compiled
def _respond(row, gain, shift):  # type: ignore[no-untyped-def]
    for i in range(row.size):
        row[i] = row[i] * gain + shift


@compiled
def _of_sample(hidden, j, n, length):  # type: ignore[no-untyped-def]
    """Return the values of hidden column j that sample n has in lanes."""
    at = j * hidden.whole
    begin, end = min(n * length, hidden.whole), min((n + 1) * length, hidden.whole)
    return hidden.values[at + begin : at + end]


@compiled
def _columns_of(part, parts, size):  # type: ignore[no-untyped-def]
    return part * size // parts, (part + 1) * size // parts


@compiled
def _make_columns(hidden, turned, rest, rows, p, columns):  # type: ignore[no-untyped-def]
    """Write ``gelu(h)`` of the hidden `columns`, from the first to the end."""
    first, end = columns
    channels, size, count = p.b2.size, p.b1.size, len(rows.stats)
    values, whole, depth = hidden.values, hidden.whole, depth_of(channels, p.w1)
    aside, w1 = values[size * whole :], numbers(p.w1)
    for j in range(first, end, WEIGHT_ROWS):
        high = min(WEIGHT_ROWS, end - j)
        multiply(
            Matrix(values, j * whole, whole), Streamed(p.w1, j * depth, depth),
            Matrix(turned, 0, whole), (high, depth, whole), False,
        )  # fmt: skip
        for i in range(j, j + high):
            _gelu_of(values[i * whole : (i + 1) * whole], p.b1[i])
            weight = w1[i * channels : (i + 1) * channels]
            for m in range(count - whole):
                aside[m * size + i] = dot(weight, rest[m * channels : (m + 1) * channels])
    if count > whole:
        gelu_in_place(Matrix(aside, first, size), count - whole, p.b1[first:end])


@compiled
def _sum_squares(squares, hidden, rows, columns):  # type: ignore[no-untyped-def]
    samples, size = squares.shape
    first, end = columns
    aside = hidden.values[size * hidden.whole :]
    for n in range(samples):
        for j in range(first, end):
            row = _of_sample(hidden, j, n, rows.length)
            squares[n, j] = dot(row, row)
    for m in range(hidden.whole, len(rows.stats)):
        for j in range(first, end):
            value = aside[(m - hidden.whole) * size + j]
            squares[m // rows.length, j] += value * value


@compiled
def _apply_gain(hidden, gain, rows, p, columns):  # type: ignore[no-untyped-def]
    samples, size = gain.shape
    first, end = columns
    aside = hidden.values[size * hidden.whole :]
    for n in range(samples):
        for j in range(first, end):
            _respond(_of_sample(hidden, j, n, rows.length), gain[n, j], p.grn_bias[j])
    for m in range(hidden.whole, len(rows.stats)):
        for j in range(first, end):
            at, n = (m - hidden.whole) * size + j, m // rows.length
            aside[at] = aside[at] * gain[n, j] + p.grn_bias[j]


@compiled
def _add_columns(total, hidden, p, columns):  # type: ignore[no-untyped-def]
    """Write what the hidden `columns` add to the result, transposed."""
    first, end = columns
    channels, size, width = p.b2.size, p.b1.size, end - first
    count, whole = total.size // channels, hidden.whole
    aside, w2 = hidden.values[size * whole :], numbers(p.w2)
    step, depth = depth_of(size, p.w2), depth_of(width, p.w2)
    right = turned_operand(Matrix(hidden.values, first * whole, whole), width, whole, p.w2)
    for c in range(0, channels, WEIGHT_ROWS):
        high = min(WEIGHT_ROWS, channels - c)
        left = Streamed(p.w2, c * step + depth_of(first, p.w2), step)
        multiply(Matrix(total, c * count, count), left, right, (high, depth, whole), False)
        for i in range(high):
            at = (c + i) * size + first
            weight = w2[at : at + width]
            for m in range(count - whole):
                value = dot(weight, aside[m * size + first : m * size + end])
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
            put(target, i, widen(source[i]) + (value[i] + bias[i]) * (scale[i] * f))


@parallel
def _hidden(hidden, squares, rows, p, turned, rest, parts, memory):  # type: ignore[no-untyped-def]
    count, lane = len(rows.stats), VECTOR_BYTES // memory.itemsize
    for task in prange(-(-count // lane)):
        _norm_turned(turned, rest, hidden.whole, rows, task * lane, p, memory[get_thread_id()])
    for part in prange(parts):
        columns = _columns_of(part, parts, p.b1.size)
        _make_columns(hidden, turned, rest, rows, p, columns)
        if len(squares):
            _sum_squares(squares, hidden, rows, columns)


@parallel
def _rest(hidden, gain, rows, p, parts, memory):  # type: ignore[no-untyped-def]
    channels, lane = p.b2.size, VECTOR_BYTES // parts.itemsize
    for part in prange(len(parts)):
        columns = _columns_of(part, len(parts), p.b1.size)
        if len(gain):
            _apply_gain(hidden, gain, rows, p, columns)
        _add_columns(parts[part], hidden, p, columns)
    for task in prange(-(-channels // lane)):
        _sum_up(rows, parts, task * lane, p, memory[get_thread_id()])
