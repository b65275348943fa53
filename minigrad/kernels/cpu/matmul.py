"""Matrix product in the pool of threads that all kernels share.

A BLAS brings a pool of its own, and while threads of the one wait, spinning, those of the other
have no core. A task is a block of the result, in rows where there are many, else in columns.
"""

from __future__ import annotations

from numba import prange

from minigrad.kernels.cpu.arrays import Array, contiguous, empty, instead_of, lanes
from minigrad.kernels.cpu.compile import compiled, parallel
from minigrad.kernels.cpu.gemm import multiply, transpose
from minigrad.kernels.reference import matmul as reference

__all__ = ["matmul"]

SMALL = 1 << 16  # multiplications that are not worth a start of the threads
ROWS, COLUMNS = 96, 192  # of a block of the result
FEW = 16  # rows of x for which turning y would cost more than the product


@parallel
def _matmul(c, m, n, a, a_row, a_column, b, depth):  # type: ignore[no-untyped-def]
    across = -(-n // COLUMNS)
    for task in prange(-(-m // ROWS) * across):
        i, j = task // across * ROWS, task % across * COLUMNS
        multiply(
            c, i * n + j, n, min(ROWS, m - i), min(COLUMNS, n - j),
            a, i * a_row, a_row, a_column, b, j, n, depth, False,
        )  # fmt: skip


@compiled
def _dot(x, y):  # type: ignore[no-untyped-def]
    total = x.dtype.type(0)
    for k in range(x.size):
        total += x[k] * y[k]
    return total


@parallel
def _dots(c, x, y):  # type: ignore[no-untyped-def]
    """``c = x @ y.T`` by inner products."""
    for j in prange(len(y)):
        for i in range(len(x)):
            c[i, j] = _dot(x[i], y[j])


def _strides(x: Array) -> tuple[Array, int, int]:
    """Return a matrix as one row, and how far its rows and its columns are apart."""
    if x.T.flags.c_contiguous:
        return x.T.reshape(-1), 1, len(x)
    return contiguous(x).reshape(-1), x.shape[1], 1


@instead_of(reference.matmul)
def matmul(x: Array, y: Array) -> Array:
    """``x @ y``."""
    if not x.ndim == y.ndim == 2 or x.size * y.shape[1] < SMALL or y.shape[1] < lanes(x.dtype):
        return x @ y
    (m, depth), n = x.shape, y.shape[1]
    c = empty((m, n), x.dtype)
    if y.flags.c_contiguous or not y.T.flags.c_contiguous:
        b = contiguous(y).reshape(-1)
    elif m < FEW:
        _dots(c, contiguous(x), y.T)
        return c
    else:
        b = empty(y.size, y.dtype)
        transpose(b, y.T)
    _matmul(c.reshape(-1), m, n, *_strides(x), b, depth)
    return c
