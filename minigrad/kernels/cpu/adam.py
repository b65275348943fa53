"""One step of Adam or AdamW, every number read and written once."""

from __future__ import annotations

import numpy as np
from numba import prange

from minigrad.kernels.cpu.arrays import Array, contiguous, instead_of
from minigrad.kernels.cpu.compile import compiled, parallel, serial
from minigrad.kernels.cpu.lists import BLOCK, over_lists, piece, place
from minigrad.kernels.reference import adam as reference

__all__ = ["adam", "adam_many"]


@compiled
def _update(p, g, m, v, step_size, v_scale, keep1, keep2, eps, shrink, penalty):  # type: ignore[no-untyped-def]
    one = p.dtype.type(1)
    for i in range(p.size):
        slope = g[i] + penalty * p[i]
        m[i] += (one - keep1) * (slope - m[i])
        v[i] = keep2 * v[i] + (one - keep2) * slope * slope
        p[i] = shrink * p[i] - step_size * m[i] / (np.sqrt(v[i]) / v_scale + eps)


@serial
def _small(p, g, m, v, *numbers):  # type: ignore[no-untyped-def]
    _update(p, g, m, v, *numbers)


@parallel
def _large(p, g, m, v, *numbers):  # type: ignore[no-untyped-def]
    for block in prange(-(-p.size // BLOCK)):
        part = slice(block * BLOCK, (block + 1) * BLOCK)
        _update(p[part], g[part], m[part], v[part], *numbers)


@parallel
def _many(ends, addresses, like, *numbers):  # type: ignore[no-untyped-def]
    for block in prange(-(-ends[-1] // BLOCK)):
        at, stop = block * BLOCK, min((block + 1) * BLOCK, ends[-1])
        while at < stop:
            i, offset, count = place(ends, at, stop)
            p = piece(addresses, 0, i, offset, count, like)
            g = piece(addresses, 1, i, offset, count, like)
            m = piece(addresses, 2, i, offset, count, like)
            v = piece(addresses, 3, i, offset, count, like)
            _update(p, g, m, v, *numbers)
            at += count


@instead_of(reference.adam)
def adam(
    p: Array,
    g: Array,
    m: Array,
    v: Array,
    step_size: float,
    v_scale: float,
    beta1: float,
    beta2: float,
    eps: float,
    shrink: float = 1.0,
    penalty: float = 0.0,
) -> None:
    """Change p, m and v; see `minigrad.kernels.reference.adam`."""
    numbers = (step_size, v_scale, beta1, beta2, eps, shrink, penalty)
    changed = (p, m, v)
    rows = [contiguous(a).reshape(-1) for a in (p, g, m, v)]
    (_small if p.size <= BLOCK else _large)(*rows, *map(p.dtype.type, numbers))
    for array, row in zip(changed, (rows[0], *rows[2:]), strict=True):
        if not array.flags.c_contiguous:
            array[...] = row.reshape(array.shape)


@instead_of(reference.adam_many)
def adam_many(
    p: list[Array], g: list[Array], m: list[Array], v: list[Array], *numbers: float
) -> None:
    """Change all p, m and v; see `minigrad.kernels.reference.adam`."""
    over_lists(_many, adam, (p, g, m, v), *map(p[0].dtype.type, numbers))
