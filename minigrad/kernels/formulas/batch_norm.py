"""Batch normalisation with the statistics of the batch.

Ioffe, Szegedy: Batch Normalization, arXiv:1502.03167.
"""

from __future__ import annotations

from typing import Any

__all__ = ["batch_norm", "batch_norm_vjp"]

Array = Any


def _normalize(xp: Any, x: Array, eps: float) -> tuple[Array, Array, Array, Array]:
    mean = xp.mean_rows(x)
    centred = x - mean
    scale, var = xp.inverse_deviation(centred, xp.mean_rows, eps)
    return centred * scale, scale, mean, var


def batch_norm(
    xp: Any, x: Array, weight: Array | None, bias: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """Normalise every channel of x (..., C); return the result, the mean and the variance."""
    y, _, mean, var = _normalize(xp, x, eps)
    if weight is not None:
        y = y * weight
    return (y if bias is None else y + bias), mean, var


def batch_norm_vjp(
    xp: Any, g: Array, x: Array, weight: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """Gradients of `batch_norm` with respect to x, weight and bias.

    The same formula as for layer normalisation, with means over the batch, which the weight of a
    channel is no part of.
    """
    h, scale, _, _ = _normalize(xp, x, eps)
    gx = scale * (g - xp.mean_rows(g) - h * xp.mean_rows(g * h))
    if weight is not None:
        gx = gx * weight
    return gx, xp.sum_rows(g * h), xp.sum_rows(g)
