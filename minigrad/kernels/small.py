"""Products and sums, which also small arrays ask for: there even the choice of a kernel takes long.

So these two look at the array first, and `pick` only where it has something to choose.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.kernels import pick

__all__ = ["product", "total"]

Array = Any

SMALL = 1 << 10  # elements


def product(x: Array, y: Array) -> Array:
    """Return ``x @ y`` of matrices."""
    if x.size + y.size < SMALL and x.dtype.itemsize != 2:
        return x @ y
    return pick("matmul", x)(x, y)


def total(x: Array, dims: tuple[int, ...], dtype: Any, keepdim: bool) -> Array:
    """Return the sum over `dims`, taken in `dtype`."""
    if x.__class__ is np.ndarray:  # there is no other version
        return x.sum(dims, dtype=dtype, keepdims=keepdim)
    return pick("sum", x)(x, dims, dtype, keepdim)
