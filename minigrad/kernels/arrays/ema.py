"""Exponential moving average, in place."""

from __future__ import annotations

from typing import Any

__all__ = ["ema"]

Array = Any


def ema(xp: Any, average: Array, value: Array, decay: float) -> None:
    """``average = decay average + (1 - decay) value``."""
    average *= decay
    average += value * (1.0 - decay)
