"""A linear map along each spatial axis, pixel by pixel: pooling and interpolation.

An output pixel is made of few input pixels. The formula multiplies with bands of the matrix, which
have many zeros; here only their other entries are visited.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from numba import prange

from minigrad.kernels.arrays.separable import AxisMap
from minigrad.kernels.cpu.arrays import (
    Array,
    channels_first,
    channels_last,
    contiguous,
    empty,
    takes,
)
from minigrad.kernels.cpu.compile import parallel

__all__ = ["separable"]

TASK_SIZE = 1 << 12  # elements of one task
FEW_CHANNELS = 8  # below which the formula's products do better


@parallel
def _apply(y, x, start, columns, values, rows):  # type: ignore[no-untyped-def]
    """``y[b, i] = sum over the entries k of row i of values[k] * x[b, columns[k]]``."""
    batch, out, after = y.shape
    for task in prange(-(-(batch * out) // rows)):
        for row in range(task * rows, min(batch * out, (task + 1) * rows)):
            b, i = row // out, row % out
            target = y[b, i]
            for c in range(after):
                target[c] = 0
            for k in range(start[i], start[i + 1]):
                source, value = x[b, columns[k]], values[k]
                for c in range(after):
                    target[c] += value * source[c]


def _fits(x: Array, maps: Sequence[AxisMap | None]) -> bool:
    size = x.shape[2:]
    return (
        len(maps) == len(size)
        and x.shape[1] >= FEW_CHANNELS
        and all(m is None or m.matrix.shape[1] == n for m, n in zip(maps, size, strict=True))
    )


@takes(_fits)
def separable(x: Array, maps: Sequence[AxisMap | None]) -> Array:
    """Apply one map per spatial axis (None: leave the axis), the most shrinking first."""
    y = contiguous(channels_last(x))
    work = [(m, axis) for axis, m in enumerate(maps, 1) if m is not None]
    work.sort(key=lambda item: len(item[0].matrix) / item[0].matrix.shape[1])
    for axis_map, axis in work:
        out, size = axis_map.matrix.shape
        before, after = math.prod(y.shape[:axis]), math.prod(y.shape[axis + 1 :])
        start, columns, values = axis_map.entries
        image = y.reshape(before, size, after)
        y = empty((*y.shape[:axis], out, *y.shape[axis + 1 :]), x.dtype)
        rows = max(1, TASK_SIZE // max(1, after))
        _apply(y.reshape(before, out, after), image, start, columns, values.astype(x.dtype), rows)
    return channels_first(y)
