"""Matrix product over the last two axes."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.kernels.arrays.running import in_float32
from minigrad.kernels.threads import run_tasks

__all__ = ["in_parts", "matmul"]

Array = Any

SMALL = 1 << 17  # multiply-adds that BLAS gives to no second thread by itself
TASK = 1 << 23  # multiply-adds that are worth a task of their own
LEAST = 192  # rows or columns of a task: each packs all of the other operand for itself
MOST = 32


def matmul(xp: Any, x: Array, y: Array) -> Array:
    """``x @ y``."""
    return x @ y


def in_parts(matmul: Callable[..., Array]) -> Callable[..., Array]:
    """Let threads take rows of x or columns of y.

    Not the threads of BLAS: for many milliseconds after each product those wait for the next,
    spinning, and keep all others from the cores.
    """

    def parts(xp: Any, x: Array, y: Array) -> Array:
        if not (x.ndim == y.ndim == 2 and x.size * y.shape[1] > SMALL):
            return matmul(xp, x, y)
        (rows, inner), columns = x.shape, y.shape[1]
        longer = max(rows, columns)
        number = max(1, min(MOST, rows * inner * columns // TASK, max(2, longer // LEAST)))
        step = -(-longer // number)
        out = np.empty((rows, columns), np.result_type(x, y))

        def part(start: int) -> None:
            at = slice(start, start + step)
            if rows < columns:
                np.matmul(x, y[:, at], out=out[:, at])
            else:
                np.matmul(x[at], y, out=out[at])

        run_tasks(part, range(0, longer, step))
        return out

    return functools.wraps(matmul)(in_float32(parts))
