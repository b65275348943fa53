"""ReLU, the positive part."""

from __future__ import annotations

from typing import Any

__all__ = ["relu", "relu_vjp"]

Array = Any


def relu(xp: Any, x: Array) -> Array:
    """``y = max(x, 0)``."""
    return xp.maximum(x, 0)


def relu_vjp(xp: Any, g: Array, y: Array) -> Array:
    """Gradient of ``y = relu(x)``: g where y is positive, else 0; at 0 it is 0."""
    return xp.where(y <= 0, 0.0, g)  # not g * 0: g may be infinite
