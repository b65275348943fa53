"""Sums over rows: the gradient of everything that is broadcast over positions."""

from __future__ import annotations

from typing import Any

from minigrad.kernels.reference._arrays import Array, in_float32, sum_rows

__all__ = ["sum_columns"]


@in_float32
def sum_columns(xp: Any, x: Array) -> Array:
    """``y[c] = sum over rows of x[..., c]``."""
    return sum_rows(xp, x)
