"""Exponential moving average of many arrays in one pass."""

from __future__ import annotations

from numba import prange

from minigrad.kernels.cpu.arrays import Array, one_type, takes
from minigrad.kernels.cpu.compile import parallel
from minigrad.kernels.cpu.lists import BLOCK, over_lists, piece, place

__all__ = ["ema_many"]


@parallel
def _many(ends, addresses, like, decay):  # type: ignore[no-untyped-def]
    rest = like.dtype.type(1) - decay
    for block in prange(-(-ends[-1] // BLOCK)):
        at, stop = block * BLOCK, min((block + 1) * BLOCK, ends[-1])
        while at < stop:
            i, offset, count = place(ends, at, stop)
            average = piece(addresses, 0, i, offset, count, like)
            value = piece(addresses, 1, i, offset, count, like)
            for k in range(count):
                average[k] = decay * average[k] + rest * value[k]
            at += count


@takes(one_type)
def ema_many(averages: list[Array], values: list[Array], decay: float) -> None:
    """Change the averages; see `minigrad.kernels.arrays.ema`."""
    over_lists(_many, (averages, values), averages[0].dtype.type(decay))
