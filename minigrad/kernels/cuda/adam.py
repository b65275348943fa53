"""One step of Adam or AdamW; the parameter and its state are changed in place."""

from __future__ import annotations

from typing import Any

from minigrad.backend import get_xp
from minigrad.kernels.arrays import adam as reference
from minigrad.kernels.arrays.lists import check
from minigrad.kernels.cuda.arrays import THREADS, Array, blocks, fits, in_memory_order, vector
from minigrad.kernels.cuda.launcher import launch

__all__ = ["adam", "adam_flat", "adam_many"]


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
    """Take one step, in place."""
    numbers = (step_size, v_scale, beta1, beta2, eps, shrink, penalty)
    arrays = in_memory_order(p, g, m, v)
    if arrays is None or not fits(p, (g, m, v), ()):
        reference.adam(get_xp(p), p, g, m, v, *numbers)
        return
    lanes = vector(p.size, *arrays)
    launch("adam", (blocks(p.size // lanes),), (THREADS,), (*arrays, p.size, *numbers), (lanes,))


def adam_many(*args: Any) -> None:
    """Take the step with several parameters: lists in place of the four arrays."""
    lists, numbers = args[:4], args[4:]
    check("adam", lists)
    for arrays in zip(*lists, strict=True):
        adam(*arrays, *numbers)


def adam_flat(p: Array, g: Array, m: Array, v: Array, numbers: Array) -> None:
    """Take one step with all of `adam`'s numbers, ``step_size`` to ``penalty``, in one array."""
    arrays = in_memory_order(p, g, m, v)
    if arrays is None or not fits(p, (g, m, v), ()):
        reference.adam_flat(get_xp(p), p, g, m, v, numbers)
        return
    lanes = vector(p.size, *arrays)
    launch(
        "adam_flat", (blocks(p.size // lanes),), (THREADS,), (*arrays, numbers, p.size), (lanes,)
    )
