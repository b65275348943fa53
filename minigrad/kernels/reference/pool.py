"""Max pooling, regular or adaptive, in one to three dimensions; and its two linear companions.

A window is given by a table per spatial axis, (out, k): the positions that window `i` covers.
Tables make regular, dilated and adaptive pooling one operation, and a maximum over a box is a
maximum along one axis after the other. Images are (N, C, *spatial).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from minigrad.kernels.reference._arrays import Array, channels_first, channels_last

__all__ = ["max_pool", "pool_gather", "pool_scatter"]


def max_pool(xp: Any, x: Array, tables: Sequence[Any]) -> tuple[Array, Array]:
    """Return the maximum of every window and where it stands, counted within (*spatial).

    The first of equal maxima counts, as in PyTorch; NaN wins over every number.
    """
    size = x.shape[2:]
    best = channels_last(x)
    where = None
    for axis in reversed(range(len(tables))):
        best, where = _max_along(
            xp, best, where, axis + 1, tables[axis], math.prod(size[axis + 1 :])
        )
    return channels_first(best), channels_first(where)


def _max_along(
    xp: Any, x: Array, inner: Array | None, axis: int, table: Any, stride: int
) -> tuple[Array, Array]:
    """Reduce one axis; `inner` is where the values stand within the axes reduced before."""
    best = where = None
    for positions in table.T:
        here = (slice(None),) * axis + (_as_slice(positions),)
        value = x[here]
        at = xp.asarray(positions * stride).reshape(-1, *(1 for _ in range(x.ndim - axis - 1)))
        at = at + (0 if inner is None else inner[here])
        if best is None:
            best, where = value, xp.broadcast_to(at, value.shape)
        else:
            better = (value > best) | (value != value)
            best, where = xp.where(better, value, best), xp.where(better, at, where)
    return best, where


def _as_slice(positions: Any) -> Any:
    """Return evenly spaced positions as a slice: a view instead of a copy."""
    if len(positions) < 2:
        return slice(positions[0], positions[0] + 1)
    step = int(positions[1] - positions[0])
    if step > 0 and (positions[1:] - positions[:-1] == step).all():
        return slice(int(positions[0]), int(positions[-1]) + 1, step)
    return positions


def pool_gather(xp: Any, x: Array, where: Array) -> Array:
    """Pick from every channel the elements at `where` (N, C, *out)."""
    n, c = x.shape[:2]
    flat = channels_last(x).reshape(n, math.prod(x.shape[2:]), c)
    rows = channels_last(where)
    picked = xp.take_along_axis(flat, rows.reshape(n, math.prod(where.shape[2:]), c), axis=1)
    return channels_first(picked.reshape(rows.shape))


def pool_scatter(xp: Any, g: Array, where: Array, size: Sequence[int]) -> Array:
    """Transpose of `pool_gather`: add every element at its place in an image of `size` zeros."""
    n, c = g.shape[:2]
    rows = channels_last(where)
    sample = xp.arange(n).reshape(n, *(1 for _ in size), 1) * math.prod(size)
    flat = ((sample + rows) * c + xp.arange(c)).reshape(-1)
    length = n * math.prod(size) * c
    out = xp.bincount(flat, weights=channels_last(g).reshape(-1), minlength=length)
    return channels_first(out.astype(g.dtype).reshape(n, *size, c))
