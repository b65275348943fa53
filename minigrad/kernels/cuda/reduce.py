"""Sums over rows in two passes: blocks write parts, and `sum_parts` adds these up."""

from __future__ import annotations

from typing import Any

from minigrad.kernels.cuda.arrays import THREADS, Array, blocks, empty
from minigrad.kernels.cuda.launcher import launch

__all__ = ["parts_of", "sum_parts"]

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
