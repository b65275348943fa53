"""Exponential moving average, in place."""

from __future__ import annotations

from typing import Any

from minigrad.backend import get_xp
from minigrad.kernels.arrays import ema as reference
from minigrad.kernels.arrays.lists import check
from minigrad.kernels.cuda.arrays import THREADS, Array, blocks, fits, in_memory_order, vector
from minigrad.kernels.cuda.launcher import launch

__all__ = ["ema", "ema_many"]


def ema(average: Array, value: Array, decay: float) -> None:
    """``average = decay average + (1 - decay) value``."""
    arrays = in_memory_order(average, value)
    if arrays is None or not fits(average, (value,), ()):
        reference.ema(get_xp(average), average, value, decay)
        return
    lanes = vector(average.size, *arrays)
    launch(
        "ema",
        (blocks(average.size // lanes),),
        (THREADS,),
        (*arrays, average.size, decay),
        (lanes,),
    )


def ema_many(averages: Any, values: Any, decay: float) -> None:
    """Follow several arrays: lists in place of the two."""
    check("ema", (averages, values))
    for average, value in zip(averages, values, strict=True):
        ema(average, value, decay)
