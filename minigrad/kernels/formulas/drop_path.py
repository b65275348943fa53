"""Scaling by a random mask: dropout (one number per element) and drop path (one per sample)."""

from __future__ import annotations

from typing import Any

__all__ = ["scale_by_mask"]

Array = Any


def scale_by_mask(xp: Any, x: Array, mask: Array, scale: float) -> Array:
    """``y = x * mask * scale``; the mask is boolean and broadcasts. It is its own transpose."""
    return x * (mask * xp.full((), scale, dtype=x.dtype))
