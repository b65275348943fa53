"""Softmax and its logarithm along one axis, shifted by the maximum so that nothing overflows."""

from __future__ import annotations

from typing import Any

__all__ = ["log_softmax", "log_softmax_vjp", "softmax", "softmax_vjp"]

Array = Any


def softmax(xp: Any, x: Array, axis: int) -> Array:
    """``y = exp(x) / sum(exp(x))`` along `axis`."""
    e = xp.exp(x - xp.max(x, axis=axis, keepdims=True))
    return e / xp.sum(e, axis=axis, keepdims=True)


def softmax_vjp(xp: Any, g: Array, y: Array, axis: int) -> Array:
    """Gradient of softmax from its result y: ``dx = y * (g - sum(g * y))``."""
    return y * (g - xp.sum(g * y, axis=axis, keepdims=True))


def log_softmax(xp: Any, x: Array, axis: int) -> Array:
    """``y = x - log(sum(exp(x)))`` along `axis`."""
    x = x - xp.max(x, axis=axis, keepdims=True)
    return x - xp.log(xp.sum(xp.exp(x), axis=axis, keepdims=True))


def log_softmax_vjp(xp: Any, g: Array, y: Array, axis: int) -> Array:
    """Gradient of log_softmax from its result y: ``dx = g - exp(y) * sum(g)``."""
    return g - xp.exp(y) * xp.sum(g, axis=axis, keepdims=True)
