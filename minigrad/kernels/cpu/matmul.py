"""Matrix product in the pool of threads that all kernels share.

A BLAS brings a pool of its own, and while threads of the one wait, spinning, those of the other
have no core. A task is a block of the result, in rows where there are many, else in columns.
"""

from __future__ import annotations

from numba import prange

from minigrad.kernels.cpu.arrays import Array, contiguous, empty, lanes, takes
from minigrad.kernels.cpu.compile import compiled, parallel
from minigrad.kernels.cpu.gemm import multiply, pack, panel_width
from minigrad.kernels.cpu.simd import VECTOR_BYTES

__all__ = ["matmul"]

SMALL = 1 << 16  # multiplications that are not worth a start of the threads
TINY = 1 << 12  # the same for a vector: BLAS itself would start its threads for twice as many
ROWS, COLUMNS = 96, 192  # of a block of the result; the last one in a row is wider
FEW = 16  # rows of x for which turning y would cost more than the product
MANY = 256  # rows of x for which y is packed, to lie well in the cache


@compiled
def _block(task, n):  # type: ignore[no-untyped-def]
    """Return row number of a block, its first column, and its width."""
    across = max(1, n // COLUMNS)
    j = task % across * COLUMNS
    return task // across, j, n - j if task % across == across - 1 else COLUMNS


@parallel
def _pack(b, y, turned, n, depth):  # type: ignore[no-untyped-def]
    """Pack y, or y transposed, in blocks of columns."""
    lane = VECTOR_BYTES // y.itemsize
    for task in prange(max(1, n // COLUMNS)):
        _, first, width = _block(task, n)
        j = 0
        while j < width:
            if turned:
                j += pack(b, first * depth, y, first * depth, depth, depth, width, j)
            else:
                wide, at = panel_width(width - j, lane), (first + j) * depth
                for k in range(depth):
                    source = k * n + first + j
                    b[at + k * wide : at + (k + 1) * wide] = y[source : source + wide]
                j += wide


@parallel
def _matmul(c, m, n, a, a_row, a_column, b, packed, depth):  # type: ignore[no-untyped-def]
    for task in prange(-(-m // ROWS) * max(1, n // COLUMNS)):
        i, j, width = _block(task, n)
        i *= ROWS
        b0, b_row = (j * depth, 0) if packed else (j, n)
        multiply(
            c, i * n + j, n, min(ROWS, m - i), width,
            a, i * a_row, a_row, a_column, b, b0, b_row, depth, False,
        )  # fmt: skip


@compiled
def _dot(x, y):  # type: ignore[no-untyped-def]
    total = x.dtype.type(0)
    for k in range(x.size):
        total += x[k] * y[k]
    return total


@parallel
def _dots(c, x, y):  # type: ignore[no-untyped-def]
    """``c = x @ y.T`` by inner products; for a few rows of x all of them meet a row of y."""
    if len(x) < FEW:
        for j in prange(len(y)):
            for i in range(len(x)):
                c[i, j] = _dot(x[i], y[j])
    else:
        for i in prange(len(x)):
            for j in range(len(y)):
                c[i, j] = _dot(x[i], y[j])


def _strides(x: Array) -> tuple[Array, int, int]:
    """Return a matrix as one row, and how far its rows and its columns are apart."""
    if x.T.flags.c_contiguous:
        return x.T.reshape(-1), 1, len(x)
    return contiguous(x).reshape(-1), x.shape[1], 1


def _fits(x: Array, y: Array) -> bool:
    return x.ndim == y.ndim == 2 and x.shape[1] == len(y)  # type: ignore[no-any-return]


@takes(_fits)
def matmul(x: Array, y: Array) -> Array:
    """``x @ y``."""
    (m, depth), n = x.shape, y.shape[1]
    if m * depth * n < (SMALL if min(m, n) > 1 else TINY):
        return x @ y
    c = empty((m, n), x.dtype)
    turned = y.T.flags.c_contiguous and not y.flags.c_contiguous
    if n < lanes(x.dtype) or (turned and m < FEW):
        _dots(c, contiguous(x), contiguous(y.T))
        return c
    b = (y.T if turned else contiguous(y)).reshape(-1)
    packed = turned or m >= MANY
    if packed:
        b, plain = empty(y.size, y.dtype), b
        _pack(b, plain, turned, n, depth)
    _matmul(c.reshape(-1), m, n, *_strides(x), b, packed, depth)
    return c
