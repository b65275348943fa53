"""Sums over all positions of an image: the gradient of a bias."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from minigrad.kernels.cpu.arrays import Array, empty, joined, takes
from minigrad.kernels.cpu.compile import compiled, parallel

__all__ = ["sum"]

PARTS = 64  # partial sums over rows, added up in order


@compiled
def _add(sums, x):  # type: ignore[no-untyped-def]
    for c in range(x.size):
        sums[c] += x[c]


@parallel
def _sums(parts, x):  # type: ignore[no-untyped-def]
    """Sum the rows of every part."""
    for part in prange(len(parts)):
        parts[part] = 0
        for m in range(part * len(x) // len(parts), (part + 1) * len(x) // len(parts)):
            _add(parts[part], x[m])


def _lies_in_rows(x: Array, dims: tuple[int, ...], dtype: Any, keepdim: bool) -> bool:
    """Return whether one axis stays, whose elements are neighbours, and is worth vectors."""
    if len(dims) != x.ndim - 1 or dtype != x.dtype:
        return False
    return bool(_positions_first(x, dims).flags.c_contiguous)


def _positions_first(x: Array, dims: tuple[int, ...]) -> Array:
    (kept,) = {*range(x.ndim)}.difference(dims)
    return np.moveaxis(x, kept, -1)


@takes(_lies_in_rows)
def sum(x: Array, dims: tuple[int, ...], dtype: Any, keepdim: bool) -> Array:
    """Sum over `dims`, taken in `dtype`."""
    image = _positions_first(x, dims)
    channels = image.shape[-1]
    rows = image.reshape(-1, channels)
    wide = rows.reshape(-1, joined(rows) * channels)
    parts = empty((min(PARTS, len(wide)), wide.shape[1]), x.dtype)
    _sums(parts, wide)
    total = parts.sum(axis=0).reshape(-1, channels).sum(axis=0)
    return (
        total.reshape([1 if i in dims else n for i, n in enumerate(x.shape)]) if keepdim else total
    )
