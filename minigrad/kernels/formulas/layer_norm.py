"""Layer normalisation over the last axis.

Ba, Kiros, Hinton: Layer Normalization, arXiv:1607.06450.
"""

from __future__ import annotations

from typing import Any

__all__ = ["layer_norm", "layer_norm_vjp"]

Array = Any


def _normalize(xp: Any, x: Array, eps: float) -> tuple[Array, Array]:
    centred = x - xp.mean_last(x)
    scale, _ = xp.inverse_deviation(centred, xp.mean_last, eps)
    return centred * scale, scale


def layer_norm(xp: Any, x: Array, weight: Array | None, bias: Array | None, eps: float) -> Array:
    """``y = (x - mean) / sqrt(var + eps) * weight + bias`` for every row ``x[..., :]``."""
    y, _ = _normalize(xp, x, eps)
    if weight is not None:
        y = y * weight
    return y if bias is None else y + bias


def layer_norm_vjp(
    xp: Any, g: Array, x: Array, weight: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """Gradients of `layer_norm` with respect to x, weight and bias.

    With ``h = (x - mean) * scale`` and ``u = g * weight``:
    ``dx = scale * (u - mean(u) - h * mean(u * h))``.
    """
    h, scale = _normalize(xp, x, eps)
    u = g if weight is None else g * weight
    gx = scale * (u - xp.mean_last(u) - h * xp.mean_last(u * h))
    return gx, xp.sum_rows(g * h), xp.sum_rows(g)
