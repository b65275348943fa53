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

__all__ = ["keep_freed_memory"]

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
