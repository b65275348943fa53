"""Memory for large arrays, used again.

Fresh memory from the system costs a page fault for every 4 kB, which is a fifth of a training
step. So the memory of a large array is not given back when the array dies, but kept for the next
one of its size. An array from `empty` is an ordinary ndarray; its memory returns when the last
view of it is gone.

Backward frees the activations one by one while gradients of about their sizes come; so a block may
be up to a quarter larger than what is asked for, else both would stay in memory.
"""

from __future__ import annotations

import math
import mmap
from contextlib import suppress
from typing import Any

import numpy as np

__all__ = ["empty", "held", "release"]

Array = Any

SMALL = 1 << 16  # bytes below which malloc does as well
ALIGNMENT = 64  # bytes in a cache line
HUGE = 1 << 21  # bytes in a huge page

_free: dict[int, list[Array]] = {}  # size in bytes -> memory without a user


class _Loan:
    """What an array stands on: holds its memory and gives it back in the end."""

    __slots__ = ("__array_interface__", "_memory")

    def __init__(self, memory: Array) -> None:
        self._memory = memory
        self.__array_interface__ = memory.__array_interface__

    def __del__(self, free: dict[int, list[Array]] = _free) -> None:  # at exit names are gone
        free.setdefault(self._memory.nbytes, []).append(self._memory)


def _rounded(size: int) -> int:
    """Round up to one of eight sizes per power of two, so that similar arrays share."""
    step = 1 << max(0, size.bit_length() - 4)
    return -(-size // step) * step


def _allocate(size: int) -> Array:
    if size >= HUGE and hasattr(mmap, "MADV_HUGEPAGE"):
        with suppress(OSError):  # no memory, as NumPy will say, or a Linux without such pages
            return _in_huge_pages(size)
    raw = np.empty(size + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + size]


def _in_huge_pages(size: int) -> Array:
    """Return memory that begins with a huge page, if Linux has some to give.

    A processor remembers where some thousand pages are, of 4 kB or of 2 MB.
    """
    memory = mmap.mmap(-1, size + HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    raw = np.frombuffer(memory, np.uint8)
    start = -raw.ctypes.data % HUGE
    memory.madvise(mmap.MADV_HUGEPAGE, start, size)
    return raw[start : start + size]


def _take(size: int) -> Array:
    """Return waiting memory of `size` bytes or little more, or else new memory."""
    larger = size
    while larger <= size + size // 4:
        try:
            return _free[larger].pop()
        except (KeyError, IndexError):
            larger = _rounded(larger + 1)
    return _allocate(size)


def empty(shape: int | tuple[int, ...], dtype: Any) -> Array:
    """Return a new array of unspecified values, like `numpy.empty`.

    Examples
    --------
    >>> empty((2, 3), np.float32).shape
    (2, 3)
    """
    dtype = np.dtype(dtype)
    count = shape if isinstance(shape, int) else math.prod(shape)
    size = count * dtype.itemsize
    if size < SMALL:
        return np.empty(shape, dtype)
    memory = _take(_rounded(size))
    return np.asarray(_Loan(memory))[:size].view(dtype).reshape(shape)


def held() -> int:
    """Return the bytes of memory that wait for their next use."""
    return sum(size * len(blocks) for size, blocks in _free.items())


def release() -> None:
    """Give the waiting memory back to the system."""
    _free.clear()
