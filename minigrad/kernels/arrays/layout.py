"""Images are (N, C, *spatial) in shape and channels-last in memory: the views that lead over."""

from __future__ import annotations

from typing import Any

__all__ = ["channels_first", "channels_last"]

Array = Any


def channels_last(x: Array) -> Array:
    """View (N, C, *spatial) as (N, *spatial, C)."""
    return x.transpose(0, *range(2, x.ndim), 1)


def channels_first(x: Array) -> Array:
    """View (N, *spatial, C) as (N, C, *spatial)."""
    return x.transpose(0, x.ndim - 1, *range(1, x.ndim - 1))
