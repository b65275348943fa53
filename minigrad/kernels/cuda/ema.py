"""Exponential moving average, in place."""

from __future__ import annotations

from typing import Any

from minigrad.kernels.cuda.arrays import THREADS, Array, blocks, in_memory_order, takes, vector
from minigrad.kernels.cuda.launcher import launch

__all__ = ["ema"]


@takes(arrays=2)
def ema(average: Array, value: Array, decay: float) -> Any:
    """``average = decay average + (1 - decay) value``."""
    arrays = in_memory_order(average, value)
    if arrays is None:
        return NotImplemented
    lanes = vector(average.size, *arrays)
    launch(
        "ema",
        (blocks(average.size // lanes),),
        (THREADS,),
        (*arrays, average.size, decay),
        (lanes,),
    )
