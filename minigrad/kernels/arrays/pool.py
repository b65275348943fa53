"""Max pooling, regular or adaptive, in one to three dimensions; and its two linear companions.

A window is given by a table per spatial axis, (out, k): the positions that window `i` covers.
Tables make regular, dilated and adaptive pooling one operation, and a maximum over a box is a
maximum along one axis after the other. Images are (N, C, *spatial).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.backend import anywhere
from minigrad.errors import RangeError
from minigrad.kernels.arrays.layout import channels_first, channels_last

__all__ = ["max_pool", "pool_gather", "pool_scatter"]

Array = Any


def max_pool(xp: Any, x: Array, tables: Sequence[Any]) -> tuple[Array, Array]:
    """Return the maximum of every window and where it stands, counted within (*spatial).

    The first of equal maxima counts, and of several NaN, which win over every number, the last: as
    in PyTorch.
    """
    best, taps = channels_last(x), 1
    rank: Array = None
    for axis in reversed(range(len(tables))):
        best, rank = _max_along(xp, best, rank, axis + 1, tables[axis], taps)
        taps *= tables[axis].shape[1]
    # The taps of a window are numbered in row-major order: `tap` is the one that won.
    tap = (taps - 1) - rank
    if anywhere(np.isnan, best, unasked=True):
        tap = xp.where(best != best, rank, tap)
    where: Array = 0
    for axis, (table, n) in enumerate(zip(tables, x.shape[2:], strict=True), 1):
        out, k = table.shape
        taps //= k
        row = xp.arange(out).reshape(-1, *(1 for _ in range(rank.ndim - axis - 1))) * k
        where = where * n + xp.take(xp.constant(table), row + tap // taps % k)
    return channels_first(best), channels_first(where)


def _max_along(
    xp: Any, x: Array, rank: Array | None, axis: int, table: Any, inner: int
) -> tuple[Array, Array]:
    """Reduce one axis of a channels-last image.

    A tap ranks the higher the earlier it comes, so the highest rank among the taps that reach the
    maximum is the first of them: arithmetic on small integers, an order of magnitude faster than
    choosing with a mask. `rank` holds those within the `inner` taps of the axes reduced before. A
    NaN ranks the higher the later it comes.
    """
    taps = [(slice(None),) * axis + (_as_slice(xp, positions),) for positions in table.T]
    best = xp.maximum(x[taps[0]], x[taps[-1]])
    for tap in taps[1:-1]:
        best = xp.maximum(best, x[tap])
    dtype = np.min_scalar_type(len(taps) * inner)
    highest = None
    nan = anywhere(np.isnan, best, unasked=True)
    for k, tap in enumerate(taps):
        here = x[tap] == best
        value = dtype.type((len(taps) - 1 - k) * inner)
        if nan:
            missing = x[tap] != x[tap]
            here |= missing
            value = xp.where(missing, dtype.type(k * inner), value)
        mine = here * (value if rank is None else rank[tap] + value)
        highest = mine if highest is None else xp.maximum(highest, mine)
    return best, highest


def _as_slice(xp: Any, positions: Any) -> Any:
    """Return evenly spaced positions as a slice: a view instead of a copy."""
    if len(positions) < 2:
        return slice(positions[0], positions[0] + 1)
    step = int(positions[1] - positions[0])
    if step > 0 and (positions[1:] - positions[:-1] == step).all():
        return slice(int(positions[0]), int(positions[-1]) + 1, step)
    return xp.constant(positions)


def outside(where: Array, size: Sequence[int]) -> RangeError:
    """Build the error for places that are outside of an image of `size`."""
    return RangeError(
        f"max pooling: the indices {int(where.min())} to {int(where.max())} reach outside of an "
        f"image of {math.prod(size)} places {tuple(size)}; they may not be changed before backward"
    )


def _check(where: Array, size: Sequence[int]) -> None:
    """Refuse places outside of the image; a GPU, which is not asked, wraps them around."""
    places = math.prod(size)
    if anywhere(lambda at: (at < 0) | (at >= places), where):
        raise outside(where, size)


def pool_gather(xp: Any, x: Array, where: Array) -> Array:
    """Pick from every channel the elements at `where` (N, C, *out)."""
    _check(where, x.shape[2:])
    n, c = x.shape[:2]
    flat = channels_last(x).reshape(n, math.prod(x.shape[2:]), c)
    rows = channels_last(where)
    picked = xp.take_along_axis(flat, rows.reshape(n, math.prod(where.shape[2:]), c), axis=1)
    return channels_first(picked.reshape(rows.shape))


def pool_scatter(xp: Any, g: Array, where: Array, size: Sequence[int]) -> Array:
    """Transpose of `pool_gather`: add every element at its place in an image of `size` zeros."""
    _check(where, size)
    n, c = g.shape[:2]
    rows = channels_last(where)
    sample = xp.arange(n).reshape(n, *(1 for _ in size), 1) * math.prod(size)
    flat = ((sample + rows) * c + xp.arange(c)).reshape(-1)
    length = n * math.prod(size) * c
    out = xp.add_up(flat, channels_last(g).reshape(-1), length)
    return channels_first(out.astype(g.dtype).reshape(n, *size, c))
