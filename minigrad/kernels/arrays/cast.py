"""Change of element type."""

from __future__ import annotations

from typing import Any

from minigrad.backend import astype, quiet

__all__ = ["cast"]

Array = Any


def cast(xp: Any, x: Array, dtype: Any) -> Array:
    """Return x as `dtype`, in its order in memory; what is too large becomes infinite."""
    return quiet(astype, x, dtype) if dtype.itemsize == 2 else astype(x, dtype)
