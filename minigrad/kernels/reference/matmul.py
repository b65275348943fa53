"""Matrix product over the last two axes."""

from __future__ import annotations

from typing import Any

from minigrad.kernels.reference._arrays import Array, in_float32

__all__ = ["matmul"]


@in_float32
def matmul(xp: Any, x: Array, y: Array) -> Array:
    """``x @ y``; BLAS knows no two-byte floats, so these go through float32."""
    return x @ y
