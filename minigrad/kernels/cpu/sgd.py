"""One step of gradient descent for many arrays in one pass."""

from __future__ import annotations

from numba import prange

from minigrad.kernels.cpu.arrays import Array, one_type, takes
from minigrad.kernels.cpu.compile import parallel
from minigrad.kernels.cpu.lists import BLOCK, over_lists, piece, place

__all__ = ["sgd_many"]


@parallel
def _many(ends, addresses, like, lr, keep, take, ahead, decay):  # type: ignore[no-untyped-def]
    sums = len(addresses) == 3
    for block in prange(-(-ends[-1] // BLOCK)):
        at, stop = block * BLOCK, min((block + 1) * BLOCK, ends[-1])
        while at < stop:
            i, offset, count = place(ends, at, stop)
            p = piece(addresses, 0, i, offset, count, like)
            g = piece(addresses, 1, i, offset, count, like)
            if sums:
                b = piece(addresses, 2, i, offset, count, like)
                for k in range(count):
                    d = g[k] + decay * p[k]
                    b[k] = keep * b[k] + take * d
                    p[k] -= lr * (d + ahead * b[k] if ahead else b[k])
            else:
                for k in range(count):
                    p[k] -= lr * (g[k] + decay * p[k])
            at += count


@takes(one_type)
def sgd_many(p: list[Array], g: list[Array], b: list[Array], *numbers: float) -> None:
    """Change all p and b; see `minigrad.kernels.arrays.sgd`."""
    sums = b[0] is not p[0]
    lists = (p, g, b) if sums else (p, g)
    over_lists(_many, lists, *map(p[0].dtype.type, numbers))
