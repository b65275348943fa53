"""Memory that NumPy's arrays leave behind stays with the process.

glibc returns it to the system as soon as the end of the heap is free, and takes large blocks from
there one by one; each time the system clears every page anew. That can take longer than the
arithmetic: with one thread a training step on the digits needs 30 ms instead of 16 ms, on
Fashion-MNIST 230 ms instead of 190 ms. (Compiled kernels keep their memory in `cpu.buffers`.)
"""

from __future__ import annotations

import ctypes
import os
from functools import cache
from typing import Any

import numpy as np

__all__ = ["bring", "in_small_pages", "keep_freed_memory"]

# <malloc.h>, and how many bytes may wait. Blocks above 32 MB cannot be kept.
_TRIM_THRESHOLD, _KEPT = -1, 1 << 30
_MMAP_THRESHOLD, _LARGEST = -3, 1 << 25


@cache
def keep_freed_memory() -> bool:
    """Tell glibc to keep up to 1 GB, unless the environment tells it something; True if done."""
    if any(name.startswith(("MALLOC_", "GLIBC_TUNABLES")) for name in os.environ):
        return False
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, TypeError, AttributeError):  # another C library
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST) and mallopt(_TRIM_THRESHOLD, _KEPT))


# <sys/mman.h>, and from how many bytes on it matters: NumPy asks for huge pages there.
_NO_HUGE_PAGES, _POPULATE_WRITE, _LARGE = 15, 23, 1 << 22
_PAGE = 1 << 12


def in_small_pages(array: Any) -> None:
    """Let the memory of a new array, which is about to be filled from a file, come in small pages.

    Those are at hand. Huge ones, which NumPy asks for, the system may first have to make: in a
    virtual machine it took 2 to 3.5 s of processor time to fill 1.4 GB of them, and 0.8 s without.
    """
    _advise(array, _NO_HUGE_PAGES)


def bring(array: Any) -> None:
    """Have the system bring the memory that is about to be written in one request, not by pages."""
    _advise(array, _POPULATE_WRITE)


def _advise(array: Any, advice: int) -> None:
    """Tell the system something about the memory of a large array; it need not listen."""
    if not isinstance(array, np.ndarray) or array.nbytes < _LARGE or not array.flags.c_contiguous:
        return
    begin = -(-array.ctypes.data // _PAGE) * _PAGE
    end = (array.ctypes.data + array.nbytes) // _PAGE * _PAGE
    if (madvise := _madvise()) is not None:
        madvise(begin, end - begin, advice)


@cache
def _madvise() -> Any:
    try:
        madvise = ctypes.CDLL(None).madvise
    except (OSError, TypeError, AttributeError):  # another system
        return None
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return madvise
