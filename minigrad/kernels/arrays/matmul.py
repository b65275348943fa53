"""Matrix product over the last two axes."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.kernels.arrays.running import Array, in_float32
from minigrad.kernels.threads import run_tasks

__all__ = ["matmul"]

SMALL = 1 << 17  # multiply-adds that BLAS gives to no second thread by itself
TASK = 1 << 23  # multiply-adds that are worth a task of their own
LEAST = 192  # rows or columns of a task: each packs all of the other operand for itself
MOST = 32


@in_float32
def matmul(xp: Any, x: Array, y: Array) -> Array:
    """``x @ y``; BLAS knows no two-byte floats, so these go through float32."""
    if xp is np and x.ndim == y.ndim == 2 and x.size * y.shape[1] > SMALL:
        return _in_parts(x, y)
    return x @ y


def _in_parts(x: Array, y: Array) -> Array:
    """Let threads take rows of x or columns of y.

    Not the threads of BLAS: for many milliseconds after each product those wait for the next,
    spinning, and keep all others from the cores.
    """
    (rows, inner), columns = x.shape, y.shape[1]
    longer = max(rows, columns)
    parts = max(1, min(MOST, rows * inner * columns // TASK, max(2, longer // LEAST)))
    step = -(-longer // parts)
    out = np.empty((rows, columns), np.result_type(x, y))

    def part(start: int) -> None:
        at = slice(start, start + step)
        if rows < columns:
            np.matmul(x, y[:, at], out=out[:, at])
        else:
            np.matmul(x[at], y, out=out[at])

    run_tasks(np, part, range(0, longer, step))
    return out
