"""Sums: over rows, the gradient of what is broadcast over positions; of squares, for clipping."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["sum", "sum_columns", "sum_squares"]

Array = Any


def sum_columns(xp: Any, x: Array) -> Array:
    """``y[c] = sum over rows of x[..., c]``."""
    return xp.sum_rows(x)


def sum(xp: Any, x: Array, dims: tuple[int, ...], dtype: Any, keepdim: bool) -> Array:
    """Sum over `dims`, taken in `dtype`."""
    return x.sum(dims, dtype=dtype, keepdims=keepdim)


def sum_squares(xp: Any, x: Array) -> Array:
    """Sum of the squares of all elements, 0-d; of two-byte floats in float32."""
    flat = x.astype(np.float32).reshape(-1) if x.dtype.itemsize == 2 else x.reshape(-1)
    return xp.dot(flat, flat)
