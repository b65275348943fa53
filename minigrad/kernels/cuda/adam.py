"""One step of Adam or AdamW; the parameter and its state are changed in place."""

from __future__ import annotations

from typing import Any

from minigrad.kernels.cuda.arrays import (
    THREADS,
    Array,
    blocks,
    fits,
    in_memory_order,
    takes,
    vector,
)
from minigrad.kernels.cuda.launcher import launch

__all__ = ["adam", "adam_flat"]


@takes(arrays=4, when=lambda p, g, m, v, *numbers: len(numbers) > 1)
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
) -> Any:
    """Take one step, in place."""
    numbers = (step_size, v_scale, beta1, beta2, eps, shrink, penalty)
    arrays = in_memory_order(p, g, m, v)
    if arrays is None:
        return NotImplemented
    lanes = vector(p.size, *arrays)
    launch("adam", (blocks(p.size // lanes),), (THREADS,), (*arrays, p.size, *numbers), (lanes,))


@takes(None, lambda p, g, m, v, *numbers: len(numbers) == 1 and fits(p, (g, m, v), ()))
def adam_flat(p: Array, g: Array, m: Array, v: Array, numbers: Array) -> Any:
    """Take one step with all of `adam`'s numbers, ``step_size`` to ``penalty``, in one array."""
    arrays = in_memory_order(p, g, m, v)
    if arrays is None:
        return NotImplemented
    lanes = vector(p.size, *arrays)
    launch(
        "adam_flat", (blocks(p.size // lanes),), (THREADS,), (*arrays, numbers, p.size), (lanes,)
    )
