"""Matrix product in the pool of threads that all kernels share.

A BLAS brings a pool of its own, and while threads of the one wait, spinning, those of the other
have no core. A task is a block of the result, in rows where there are many, else in columns.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
from numba import get_thread_id, prange

from minigrad.kernels.cpu import pairs, tiles
from minigrad.kernels.cpu.arrays import (
    Array,
    contiguous,
    empty,
    in_float32,
    lanes,
    narrowed,
    takes,
)
from minigrad.kernels.cpu.bfloat16 import bits, is_bfloat16
from minigrad.kernels.cpu.compile import compiled, parallel, threads
from minigrad.kernels.cpu.gemm import (
    PACKED,
    VECTORS,
    Matrix,
    Strided,
    dot,
    multiply,
    pack,
    pack_transposed,
)
from minigrad.kernels.cpu.matmul_tiles import product
from minigrad.kernels.cpu.pairs import pack_pairs, pack_pairs_transposed, pair_row, pair_two_rows

__all__ = ["matmul"]

FEW_PRODUCTS = 1 << 16  # multiplications that are not worth a start of the threads
FEW_FOR_A_VECTOR = 1 << 12  # the same for a vector: BLAS itself would start its threads for twice
BLOCK_ROWS, BLOCK_COLUMNS = 96, 192  # of the result; the last block in a row is wider
TURNING_ROWS = 16  # of x, below which turning y would cost more than the product
PACKING_ROWS = 256  # of x, from which on y is packed, to lie well in the cache


@compiled
def _block(task, n):  # type: ignore[no-untyped-def]
    """Return row number of a block, its first column, and its width."""
    across = max(1, n // BLOCK_COLUMNS)
    j = task % across * BLOCK_COLUMNS
    return task // across, j, n - j if task % across == across - 1 else BLOCK_COLUMNS


@parallel
def _pack(b, y, turned, n, depth):  # type: ignore[no-untyped-def]
    """Pack y, or y transposed, in blocks of columns."""
    for task in prange(max(1, n // BLOCK_COLUMNS)):
        _, first, width = _block(task, n)
        packed = Matrix(b, first * depth, PACKED)
        j = 0
        while j < width:
            if turned:
                j += pack_transposed(packed, Matrix(y, first * depth, depth), depth, width, j)
            else:
                j += pack(packed, Matrix(y, first, n), depth, width, j)


@parallel
def _pack_pairs(b, y, turned, n, depth, memory):  # type: ignore[no-untyped-def]
    """Do the same with pairs of bfloat16."""
    for task in prange(max(1, n // BLOCK_COLUMNS)):
        _, first, width = _block(task, n)
        packed = Matrix(b, first * ((depth + 1) // 2), PACKED)
        j = 0
        while j < width:
            if turned:
                rows = Matrix(y, first * depth, depth)
                own = memory[get_thread_id()]
                j += pack_pairs_transposed(packed, rows, depth, width, j, own)
            else:
                j += pack_pairs(packed, Matrix(y, first, n), depth, width, j)


@parallel
def _turn_to_pairs(a, x, depth):  # type: ignore[no-untyped-def]
    """Write X (depth, m), flat, as pairs of its rows: (half, m)."""
    m = x.size // depth
    for k in prange(a.size // m):
        pair_two_rows((a, k * m), Matrix(x, 0, m), k, depth, m)


@parallel
def _to_pairs(a, x):  # type: ignore[no-untyped-def]
    """Write the rows of X as rows of pairs."""
    for i in prange(len(x)):
        pair_row((a[i], 0), (x[i], 0), x.shape[1])


def _of_pairs(x: Array, y: Array) -> Array:
    """``x @ y`` for matrices of bfloat16, two steps of depth at once."""
    (m, depth), n = x.shape, y.shape[1]
    half = (depth + 1) // 2
    if x.T.flags.c_contiguous:
        a, steps = empty(m * half, np.int32), (1, m)
        _turn_to_pairs(a, bits(x.T).reshape(-1), depth)
    else:
        a, steps = empty(m * half, np.int32), (half, 1)
        _to_pairs(a.reshape(m, half), bits(contiguous(x)))
    turned = y.T.flags.c_contiguous and not y.flags.c_contiguous
    b = empty(half * n, np.int32)
    memory = empty((threads(), VECTORS * lanes(b.dtype) * half), np.int32)
    rows = bits(y.T if turned else contiguous(y)).reshape(-1)
    _pack_pairs(b, rows, turned, n, depth, memory)
    c = empty((m, n), np.float32)
    _matmul(c, a, steps, b, True)
    return narrowed(c, x.dtype)


@parallel
def _matmul(c, a, steps, b, packed):  # type: ignore[no-untyped-def]
    """Multiply A, flat with `steps` from row to row and column to column, with B."""
    m, n = c.shape
    depth = b.size // n
    for task in prange(-(-m // BLOCK_ROWS) * max(1, n // BLOCK_COLUMNS)):
        i, j, width = _block(task, n)
        i *= BLOCK_ROWS
        left = Strided(a, i * steps[0], steps[0], steps[1])
        right = Matrix(b, j * depth, PACKED) if packed else Matrix(b, j, n)
        size = min(BLOCK_ROWS, m - i), depth, width
        multiply(Matrix(c.reshape(-1), i * n + j, n), left, right, size, False)


@parallel
def _dots(c, x, y):  # type: ignore[no-untyped-def]
    """``c = x @ y.T`` by inner products; for a few rows of x all of them meet a row of y."""
    if len(x) < TURNING_ROWS:
        for j in prange(len(y)):
            for i in range(len(x)):
                c[i, j] = dot(x[i], y[j])
    else:
        for i in prange(len(x)):
            for j in range(len(y)):
                c[i, j] = dot(x[i], y[j])


def _as_it_lies(x: Array) -> tuple[Array, tuple[int, int]]:
    """Return a matrix as one row, and how far its rows and its columns are apart."""
    if x.T.flags.c_contiguous:
        return x.T.reshape(-1), (1, len(x))
    return contiguous(x).reshape(-1), (x.shape[1], 1)


def _fits(x: Array, y: Array) -> bool:
    return x.ndim == y.ndim == 2 and x.shape[1] == len(y)  # type: ignore[no-any-return]


def _narrow(matmul: Callable[..., Array]) -> Callable[..., Array]:
    """Return `matmul` for bfloat16: by instructions of its own where there are some."""
    wide = in_float32(matmul)

    @functools.wraps(matmul)
    def run(x: Array, y: Array) -> Array:
        worth = len(x) * y.size >= FEW_PRODUCTS and len(x) > 1
        if worth and is_bfloat16(x.dtype) and x.dtype == y.dtype:
            if tiles.why_none() is None:
                return product(x, y)
            if pairs.why_none() is None and y.shape[1] >= lanes(np.dtype(np.float32)):
                return _of_pairs(x, y)
        return wide(x, y)

    return run


@takes(_fits, widening=_narrow)
def matmul(x: Array, y: Array) -> Array:
    """``x @ y``."""
    (m, depth), n = x.shape, y.shape[1]
    if m * depth * n < (FEW_PRODUCTS if min(m, n) > 1 else FEW_FOR_A_VECTOR):
        return x @ y
    c = empty((m, n), x.dtype)
    turned = y.T.flags.c_contiguous and not y.flags.c_contiguous
    if n < lanes(x.dtype) or (turned and m < TURNING_ROWS):
        _dots(c, contiguous(x), contiguous(y.T))
        return c
    b = (y.T if turned else contiguous(y)).reshape(-1)
    packed = turned or m >= PACKING_ROWS
    if packed:
        b, plain = empty(y.size, y.dtype), b
        _pack(b, plain, turned, n, depth)
    _matmul(c, *_as_it_lies(x), b, packed)
    return c
