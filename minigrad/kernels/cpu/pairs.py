"""Pairs of bfloat16 in the place of one float32, and the instruction that multiplies them.

    sum (float32)  +=  a[0] * b[0]  +  a[1] * b[1]

x86 has it in every lane of a vector (VDPBF16PS, of AVX512-BF16). Columns 2 k and 2 k + 1 of A make
a pair, and so do rows 2 k and 2 k + 1 of B: a matrix of pairs is half as deep as that of numbers,
and `gemm` multiplies it as it does float32, panel by panel, in the same registers. An array of
pairs has four-byte integers.

Loops compute in float32 and turn into pairs, where it lies, what they are about to multiply.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

from minigrad.kernels.cpu.bfloat16 import is_bfloat16
from minigrad.kernels.cpu.buffers import empty
from minigrad.kernels.cpu.compile import OPTIONS, compiled, has_feature, serial
from minigrad.kernels.cpu.gemm import PACKED, Matrix, multiply, panel_width, transpose_block
from minigrad.kernels.cpu.simd import VECTOR_BYTES, Vectors, pointers

__all__ = [
    "depth_of",
    "multiplies_pairs",
    "numbers",
    "operand",
    "pack_pairs",
    "pack_pairs_transposed",
    "pair_columns",
    "pair_row",
    "pair_rows",
    "pair_rows_of",
    "pair_to_panels",
    "pair_two_rows",
    "store_pairs",
    "turned_operand",
    "why_none",
]

Array = Any
Value = Any

WORTH = 1.25  # times as many products in the same time: below this, rounding costs what it brings


# ---- the instructions ---------------------------------------------------------------------------


def store_pairs(
    v: Vectors, to: Value, width: Value, values: Callable[[Value, Value], Value]
) -> None:
    """Write the loop that stores a row as pairs.

    ``values(at, mask)`` writes how to get a vector of it, 0 where the mask leaves lanes out.
    """
    builder, step = v.builder, v.int(2 * v.lanes)
    count = builder.lshr(builder.add(width, v.int(1)), v.int(1))
    with v.loop(builder.sdiv(builder.add(width, v.int(2 * v.lanes - 1)), step)) as i:
        at = builder.mul(i, step)
        behind, left = builder.add(at, v.int(v.lanes)), builder.sub(width, at)
        first = values(at, v.first(left))
        second = values(behind, v.first(builder.sub(left, v.int(v.lanes))))
        half = builder.lshr(at, v.int(1))
        value = builder.bitcast(v.pairs(first, second), ir.VectorType(ir.IntType(32), v.lanes))
        v.store(value, v.at(to, half), v.first(builder.sub(count, half)))


@intrinsic
def pair_row(typing: Any, y: Any, x: Any, width: Any) -> Any:
    """Write a row of numbers as pairs; y may begin where x does. Both are array, start."""

    def write(context: Any, builder: Any, signature: Any, arguments: Any) -> Value:
        v = Vectors(builder, types.float32)
        to, x, width = pointers(context, builder, signature, arguments)
        store_pairs(v, to, width, lambda at, mask: v.load(v.at(x, at), mask))
        return context.get_dummy_value()

    return types.void(y, x, types.intp), write


@intrinsic
def pair_rows(typing: Any, y: Any, first: Any, second: Any, width: Any, alone: Any) -> Any:
    """Write pairs of two rows of numbers to y, array, start; zeros beside a row that is `alone`."""

    def write(context: Any, builder: Any, signature: Any, arguments: Any) -> Value:
        v = Vectors(builder, types.float32)
        y, first, second, width, alone = pointers(context, builder, signature, arguments)
        turns = [i // 2 + i % 2 * v.lanes for i in range(2 * v.lanes)]
        order = ir.Constant(ir.VectorType(ir.IntType(32), 2 * v.lanes), turns)
        with v.loop(builder.sdiv(builder.add(width, v.int(v.lanes - 1)), v.int(v.lanes))) as i:
            at = builder.mul(i, v.int(v.lanes))
            left = builder.sub(width, at)
            mask = v.first(left)
            there = v.first(
                builder.select(builder.icmp_signed("!=", alone, v.int(0)), v.int(0), left)
            )
            both = v.pairs(v.load(v.at(first, at), mask), v.load(v.at(second, at), there))
            both = builder.shuffle_vector(both, both, order)
            value = builder.bitcast(both, ir.VectorType(ir.IntType(32), v.lanes))
            v.store(value, v.at(y, at), mask)
        return context.get_dummy_value()

    return types.void(y, first, second, types.intp, types.intp), write


# ---- matrices ---------------------------------------------------------------------------


@compiled
def pair_columns(a, rows, width):  # type: ignore[no-untyped-def]
    """Turn the rows of a matrix into pairs, each where it begins; return the matrix of them."""
    to = a.data.view(np.int32)
    for i in range(rows):
        at = a.start + i * a.row
        pair_row((to, at), (a.data, at), width)
    return Matrix(to, a.start, a.row)


@compiled
def pair_two_rows(y, x, k, depth, width):  # type: ignore[no-untyped-def]
    """Write pairs of rows 2 k and 2 k + 1 of X, which has `depth`, to y, array, start."""
    first, alone = x.start + 2 * k * x.row, 2 * k + 1 == depth
    second = first if alone else first + x.row
    pair_rows(y, (x.data, first), (x.data, second), width, alone)


@compiled
def pair_rows_of(b, depth, n):  # type: ignore[no-untyped-def]
    """Turn B (depth, n) into pairs of its rows, where it begins; return the matrix of them."""
    to = b.data.view(np.int32)
    for k in range((depth + 1) // 2):
        pair_two_rows((to, b.start + k * b.row), b, k, depth, n)
    return Matrix(to, b.start, b.row)


@compiled
def pair_to_panels(b, k, depth, first, second, n, alone):  # type: ignore[no-untyped-def]
    """Write pairs of two rows of n numbers, array, start, as row k of B: as `gemm.pack_row`."""
    j = 0
    while j < n:
        width = panel_width(n - j, VECTOR_BYTES // b.data.itemsize)
        to = (b.data, b.start + j * depth + k * width)
        pair_rows(to, (first[0], first[1] + j), (second[0], second[1] + j), width, alone)
        j += width


@compiled
def pack_pairs(b, x, depth, n, j):  # type: ignore[no-untyped-def]
    """Write the panel from column j on of B = X, which is (depth, n); return its width.

    As `gemm.pack`; x has numbers of either type.
    """
    width, half = panel_width(n - j, VECTOR_BYTES // b.data.itemsize), (depth + 1) // 2
    source = Matrix(x.data, x.start + j, x.row)
    for k in range(half):
        pair_two_rows((b.data, b.start + j * half + k * width), source, k, depth, width)
    return width


@compiled
def pack_pairs_transposed(b, x, depth, n, j, spare):  # type: ignore[no-untyped-def]
    """Write the same of B = X transposed, X being (n, depth); `spare` holds a panel."""
    width, half = panel_width(n - j, VECTOR_BYTES // b.data.itemsize), (depth + 1) // 2
    for i in range(width):
        pair_row((spare, i * half), (x.data, x.start + (j + i) * x.row), depth)
    panel = Matrix(b.data, b.start + j * half, width)
    transpose_block(panel, Matrix(spare, 0, half), width, half)
    return width


def depth_of(width: int, b: Array) -> int:
    """Return the depth of a product over `width` columns of A with a matrix in array b."""
    raise NotImplementedError("only compiled loops call this")


@overload(depth_of, strict=False, jit_options=OPTIONS)
def _depth_of(width: Any, b: Any) -> Any:
    if b.dtype == types.int32:
        return lambda width, b: (width + 1) // 2
    return lambda width, b: width


def operand(a: Matrix, rows: int, width: int, b: Array) -> Matrix:
    """Return a matrix as it is multiplied with one in array b: as pairs, if that holds pairs."""
    raise NotImplementedError("only compiled loops call this")


@overload(operand, strict=False, jit_options=OPTIONS)
def _operand(a: Any, rows: Any, width: Any, b: Any) -> Any:
    if b.dtype == types.int32:
        return lambda a, rows, width, b: pair_columns(a, rows, width)
    return lambda a, rows, width, b: a


def turned_operand(b: Matrix, depth: int, n: int, a: Array) -> Matrix:
    """Return B (depth, n) as it is multiplied with one in array a: as pairs, if that has them."""
    raise NotImplementedError("only compiled loops call this")


@overload(turned_operand, strict=False, jit_options=OPTIONS)
def _turned_operand(b: Any, depth: Any, n: Any, a: Any) -> Any:
    def paired(b, depth, n, a):  # type: ignore[no-untyped-def]
        return pair_rows_of(b, depth, n)

    return paired if a.dtype == types.int32 else lambda b, depth, n, a: b


def numbers(w: Array) -> Array:
    """Return an array of pairs as one of bfloat16, any other as it is."""
    raise NotImplementedError("only compiled loops call this")


@overload(numbers, strict=False, jit_options=OPTIONS)
def _numbers(w: Any) -> Any:
    return (lambda w: w.view(np.uint16)) if w.dtype == types.int32 else lambda w: w


# ---- are they worth it ---------------------------------------------------------------------------

SIZE = 48, 384, 96  # of the product that is timed: in the nearest cache
TURNS = 12


@serial
def _product(c, a, b):  # type: ignore[no-untyped-def]
    m, depth, n = SIZE
    multiply(Matrix(c, 0, n), Matrix(a, 0, depth), Matrix(b, 0, PACKED), (m, depth, n), False)


def _seconds(product: Callable[[], None]) -> float:
    start = time.perf_counter()
    product()
    return time.perf_counter() - start


def _speed() -> float:
    """Return how many products of pairs' numbers are made while float32 makes one."""
    m, depth, n = SIZE
    arrays = [empty(size, np.float32) for size in (m * n, m * depth, depth * n)]
    for array in arrays:
        array[...] = 0
    pairs = [array.view(np.int32) for array in arrays[1:]]
    kinds = (lambda: _product(*arrays)), (lambda: _product(arrays[0], *pairs))
    times = [[_seconds(kind) for kind in kinds] for _ in range(TURNS)]
    wide, narrow = np.min(times[1:], axis=0)
    return float(2 * wide / narrow)


def multiplies_pairs(dtype: np.dtype[Any]) -> bool:
    """Return whether products of arrays of `dtype` are products of pairs here."""
    return is_bfloat16(dtype) and why_none() is None


@functools.cache
def why_none() -> str | None:
    """Return why this process multiplies without pairs, or None.

    What counts is what Numba compiles for, and what is measured: there are processors whose
    instruction takes as long as two of float32.
    """
    if VECTOR_BYTES != 64 or not has_feature("avx512bf16"):
        return "Numba's target has no avx512bf16"
    speed = _speed()
    return None if speed >= WORTH else f"avx512bf16 is {speed:.2f} times as fast as float32"
