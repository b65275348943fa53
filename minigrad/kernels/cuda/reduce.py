"""Sums over rows in two passes: blocks write parts, and `sum_parts` adds these up."""

from __future__ import annotations

from typing import Any

from minigrad.kernels.cuda.arrays import (
    THREADS,
    Array,
    accumulator,
    blocks,
    contiguous,
    empty,
    in_memory_order,
    takes,
    vector,
    zeros,
)
from minigrad.kernels.cuda.launcher import launch
from minigrad.kernels.cuda.table import Table

__all__ = ["parts_of", "sum", "sum_columns", "sum_parts", "sum_squares"]

BLOCKS = 512  # that keep a GPU busy


def parts_of(rows: int, least: int, most: int) -> int:
    """Return how many rows a block takes: enough blocks for a GPU, and few sums to add up later.

    It depends on shapes alone, never on the GPU: so does the order of additions.
    """
    return max(least, min(most, -(-rows // BLOCKS)))


def sum_parts(parts: Array, dtype: Any) -> Array:
    """Add up the sums of blocks (batch, count, columns) over `count`: the second pass."""
    batch, count, columns = parts.shape
    total = empty(parts, (batch, columns), dtype)
    grid = (blocks(columns, 32), batch)
    launch("sum_parts", grid, (THREADS,), (parts, total, count, columns))
    return total


@takes()
def sum_columns(x: Array) -> Array:
    """``y[c] = sum over rows of x[..., c]``."""
    columns = x.shape[-1]
    if not x.size:
        return zeros(x, (columns,))
    rows = contiguous(x).reshape(1, -1, columns)
    table = Table.of(rows.shape, rows)
    parts = table.parts(x)
    launch("sum_columns", table.grid, (THREADS,), (rows, parts, *table.sizes), (table.vector,))
    return sum_parts(parts, x.dtype).reshape(columns)


def _kept(x: Array, dims: tuple[int, ...]) -> list[int]:
    return [axis for axis in range(x.ndim) if axis not in dims]


def _is_by_columns(x: Array, dims: tuple[int, ...], *_: Any) -> bool:
    """Return True if all axes are added up but the one whose numbers are neighbours in memory."""
    kept = _kept(x, dims)
    return bool(
        len(kept) == 1 < x.ndim and x.strides[kept[0]] == x.itemsize and x.shape[kept[0]] > 1
    )


@takes(when=_is_by_columns)
def sum(x: Array, dims: tuple[int, ...], dtype: Any, keepdim: bool) -> Array:
    """Sum over `dims`, taken in `dtype` or a wider type."""
    out = sum_columns(x.transpose(*dims, *_kept(x, dims)))
    if not keepdim:
        return out
    return out.reshape([1 if axis in dims else n for axis, n in enumerate(x.shape)])


@takes()
def sum_squares(x: Array) -> Array:
    """Sum of the squares of all elements, 0-d; of two-byte floats in float32."""
    arrays = in_memory_order(x)
    x = contiguous(x) if arrays is None else arrays[0]
    v = vector(x.size, x)
    parts = empty(x, (max(1, min(BLOCKS, blocks(x.size // v))),), accumulator(x.dtype))
    total = empty(x, (), parts.dtype)
    launch("sum_squares", (len(parts),), (THREADS,), (x, parts, x.size), (v,))
    launch("sum_all", (1,), (THREADS,), (parts, total, len(parts)))
    return total
