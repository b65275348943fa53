"""Matrix product of bfloat16 on tiles, in the pool of threads that all kernels share."""

from __future__ import annotations

import numpy as np
from numba import get_thread_id, prange

from minigrad.kernels.cpu.arrays import Array, contiguous, empty
from minigrad.kernels.cpu.bfloat16 import bits, put
from minigrad.kernels.cpu.compile import parallel, threads
from minigrad.kernels.cpu.gemm import Matrix
from minigrad.kernels.cpu.gemm_tiles import BLOCK, multiply, pack
from minigrad.kernels.cpu.tiles import TILE, configure, release

__all__ = ["packed", "padded", "product"]

ROWS, COLUMNS = 4 * BLOCK, 8 * BLOCK  # of the result, in one task


def padded(x: Array) -> Array:
    """Return a matrix of bfloat16 as integers, zeros behind it up to whole blocks."""
    m, n = x.shape
    rows, columns = -(-m // BLOCK) * BLOCK, -(-n // BLOCK) * BLOCK
    if (rows, columns) == x.shape:
        return bits(contiguous(x))
    y = empty((rows, columns), np.uint16)
    y[:m, :n] = bits(x)
    y[m:] = 0
    y[:, n:] = 0
    return y


@parallel
def _pack(p, w):  # type: ignore[no-untyped-def]
    rows, depth = w.shape
    for task in prange(rows // TILE):
        at = task * TILE * depth
        pack(Matrix(p, at, TILE), Matrix(w.reshape(-1), at, depth), TILE, depth)


def packed(w: Array) -> Array:
    """Lay the transpose of a padded matrix in panels."""
    p = empty(w.size, np.uint16)
    _pack(p.view(np.float32), w.view(np.float32))
    return p


@parallel
def _multiply(y, a, b, memory):  # type: ignore[no-untyped-def]
    """``y = A @ B`` in blocks; `memory` has a block of sums for every thread."""
    m, n = y.shape
    rows, depth = a.shape
    across = -(-n // COLUMNS)
    for task in prange(-(-m // ROWS) * across):
        i, j = task // across * ROWS, task % across * COLUMNS
        sums, to = memory[get_thread_id()], y.reshape(-1)
        wide = min(COLUMNS, b.size // depth - j)
        configure()
        multiply(
            Matrix(sums, 0, COLUMNS), Matrix(a.reshape(-1), i * depth, depth), (b, j * depth),
            (min(ROWS, rows - i), depth, wide), False,
        )  # fmt: skip
        release()
        for r in range(min(ROWS, m - i)):
            for c in range(min(wide, n - j)):
                put(to, (i + r) * n + j + c, sums[r * COLUMNS + c])


def product(x: Array, y: Array) -> Array:
    """``x @ y`` for matrices of bfloat16, neither of them empty."""
    a, b = padded(x), packed(padded(y.T))
    result = empty((len(x), y.shape[1]), x.dtype)
    _multiply(bits(result), a, b, empty((threads(), ROWS * COLUMNS), np.float32))
    return result
