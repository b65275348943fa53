"""Sums: over rows, the gradient of what is broadcast over positions; of squares, for clipping."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.kernels.arrays.running import Array, in_float32, sum_rows

__all__ = ["sum_columns", "sum_squares"]


@in_float32
def sum_columns(xp: Any, x: Array) -> Array:
    """``y[c] = sum over rows of x[..., c]``."""
    return sum_rows(xp, x)


def sum_squares(xp: Any, x: Array) -> Array:
    """Sum of the squares of all elements, 0-d; of two-byte floats in float32."""
    flat = x.astype(np.float32).reshape(-1) if x.dtype.itemsize == 2 else x.reshape(-1)
    return xp.dot(flat, flat)
