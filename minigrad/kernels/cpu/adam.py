"""One step of Adam or AdamW, every number read and written once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import prange

from minigrad.kernels.cpu.arrays import Array, one_type, takes
from minigrad.kernels.cpu.compile import compiled, parallel
from minigrad.kernels.cpu.lists import BLOCK, over_lists, piece, place

__all__ = ["adam", "adam_many"]


@compiled
def _update(p, g, m, v, numbers):  # type: ignore[no-untyped-def]
    step_size, v_scale, take1, keep2, take2, eps, shrink, penalty = numbers
    for i in range(p.size):
        slope = g[i] + penalty * p[i]
        m[i] += take1 * (slope - m[i])
        v[i] = keep2 * v[i] + take2 * slope * slope
        p[i] = shrink * p[i] - step_size * m[i] / (np.sqrt(v[i]) / v_scale + eps)


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
            _update(p, g, m, v, numbers)
            at += count


@takes()
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
    """Change p, m and v; see `minigrad.kernels.arrays.adam`."""
    numbers = (step_size, v_scale, beta1, beta2, eps, shrink, penalty)
    adam_many([p], [g], [m], [v], *numbers)


@takes(one_type)
def adam_many(
    p: list[Array], g: list[Array], m: list[Array], v: list[Array], *numbers: float
) -> None:
    """Change all p, m and v; see `minigrad.kernels.arrays.adam`."""
    over_lists(_many, (p, g, m, v), *_numbers(p[0].dtype, *numbers))


def _numbers(dtype: Any, step_size: float, v_scale: float, beta1: float, beta2: float,
             *others: float) -> list[Any]:  # fmt: skip
    """Return what the loop takes; 1 - beta2 in float32 would be wrong in the fifth digit."""
    values = (step_size, v_scale, 1.0 - beta1, beta2, 1.0 - beta2, *others)
    return [dtype.type(value) for value in values]
