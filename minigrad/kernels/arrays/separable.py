"""A linear map along each spatial axis: average pooling and interpolation, and their transposes.

Pooling a window, adapting to a size, scaling up or down: each is one matrix (out, in) per axis,
and the gradient is the same operation with the transposed matrices. Images are (N, C, *spatial).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from minigrad.backend import finite, quietly
from minigrad.kernels.arrays.layout import channels_first, channels_last

__all__ = ["AxisMap", "separable"]

Array = Any

Table = np.ndarray[Any, Any]

BLOCK = 32  # output rows that share one product
TASK = 1 << 17  # elements of one task


class AxisMap:
    """A linear map along one axis, made of a float64 matrix (out, in).

    The matrices of pooling and interpolation are bands: the rows of a block need only the columns
    between their first and last entry, so a product costs what the band costs.
    """

    def __init__(self, matrix: Table, transposed: AxisMap | None = None) -> None:
        self.matrix = matrix
        if transposed is not None:
            self.T = transposed

    @cached_property
    def T(self) -> AxisMap:
        """The transposed map: the way back for gradients."""
        return AxisMap(np.ascontiguousarray(self.matrix.T), self)

    @cached_property
    def bands(self) -> list[tuple[slice, slice]]:
        """Blocks of rows with the columns they need."""
        out, size = self.matrix.shape
        if out * size <= 64 * 64:
            return [(slice(0, out), slice(0, size))]
        return list(self._bands())

    @cached_property
    def entries(self) -> tuple[Table, Table, Table]:
        """The entries that are not 0: where each row starts in the lists, columns and values."""
        rows, columns = np.nonzero(self.matrix)
        start = np.searchsorted(rows, np.arange(len(self.matrix) + 1))
        return start, columns, self.matrix[rows, columns]

    def _bands(self) -> Iterator[tuple[slice, slice]]:
        for start in range(0, len(self.matrix), BLOCK):
            rows = slice(start, start + BLOCK)
            used = np.flatnonzero(self.matrix[rows].any(axis=0))
            yield rows, slice(used[0], used[-1] + 1) if len(used) else slice(0, 0)

    @quietly
    def __call__(self, xp: Any, x: Array, axis: int) -> Array:
        """Apply the map along `axis` of a contiguous array."""
        before, after = math.prod(x.shape[:axis]), math.prod(x.shape[axis + 1 :])
        out, size = self.matrix.shape
        matrix = xp.constant(self.matrix, x.dtype)
        y = xp.empty((before, out, after), dtype=x.dtype)
        x3 = x.reshape(before, size, after)

        def part(start: int) -> None:
            b = slice(start, start + step)
            for rows, columns in self.bands:
                if after == 1:  # one product for all samples instead of one each
                    y[b, rows, 0] = x3[b, columns, 0] @ matrix[rows, columns].T
                else:
                    xp.matmul(matrix[rows, columns], x3[b, columns], out=y[b, rows])

        step = max(1, TASK // max(1, max(out, size) * after))
        xp.run_tasks(part, range(0, before, step))
        if not finite(y):  # 0 * inf
            y = _confine(self.matrix.astype(x.dtype), x3)
        return y.reshape(*x.shape[:axis], out, *x.shape[axis + 1 :])


def _confine(matrix: Array, x: Array) -> Array:
    """Return ``matrix @ x`` where an infinite or NaN pixel counts only if its weight is not 0.

    In the product itself ``0 * inf`` is NaN: one bad pixel would spoil its whole row. (A GPU is
    not asked whether there is one.)
    """
    y = matrix @ np.where(np.isfinite(x), x, 0)

    def reach(weights: Array, pixels: Array) -> Array:
        return weights.astype(x.dtype) @ pixels.astype(x.dtype) > 0

    rises = reach(matrix > 0, x == math.inf) | reach(matrix < 0, x == -math.inf)
    falls = reach(matrix > 0, x == -math.inf) | reach(matrix < 0, x == math.inf)
    lost = reach(matrix != 0, x != x) | (rises & falls)
    y[rises], y[falls], y[lost] = math.inf, -math.inf, math.nan
    return y


def separable(xp: Any, x: Array, maps: Sequence[AxisMap | None]) -> Array:
    """Apply one map per spatial axis (None: leave the axis), the most shrinking first."""
    y = channels_last(x)
    work = [(m, axis) for axis, m in enumerate(maps, 1) if m is not None]
    for axis_map, axis in sorted(
        work, key=lambda item: len(item[0].matrix) / item[0].matrix.shape[1]
    ):
        y = axis_map(xp, xp.ascontiguousarray(y), axis)
    return channels_first(y)
