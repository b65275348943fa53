"""Batch normalisation with the statistics of the batch.

Ioffe, Szegedy: Batch Normalization, arXiv:1502.03167.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import numpy as np

from minigrad.kernels.arrays.running import Array, in_float32, inverse_deviation, sum_rows

__all__ = ["batch_norm", "batch_norm_vjp"]


def _mean(xp: Any, x: Array) -> Array:
    share = 1.0 / math.prod(x.shape[:-1])
    mean = sum_rows(xp, x) * share
    array = getattr(mean, "array", mean)
    if isinstance(array, np.ndarray) and not np.isfinite(array).all():
        return sum_rows(xp, x * share)  # the sum was too large, the mean need not be
    return mean


def _normalize(xp: Any, x: Array, eps: float) -> tuple[Array, Array, Array, Array]:
    mean = _mean(xp, x)
    centred = x - mean
    scale, var = inverse_deviation(xp, centred, partial(_mean, xp), eps)
    return centred * scale, scale, mean, var


@in_float32
def batch_norm(
    xp: Any, x: Array, weight: Array | None, bias: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """Normalise every channel of x (..., C); return the result, the mean and the variance."""
    y, _, mean, var = _normalize(xp, x, eps)
    if weight is not None:
        y = y * weight
    return (y if bias is None else y + bias), mean, var


@in_float32
def batch_norm_vjp(
    xp: Any, g: Array, x: Array, weight: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """Gradients of `batch_norm` with respect to x, weight and bias.

    The same formula as for layer normalisation, with means over the batch.
    """
    h, scale, _, _ = _normalize(xp, x, eps)
    u = g if weight is None else g * weight
    gx = scale * (u - _mean(xp, u) - h * _mean(xp, u * h))
    return gx, sum_rows(xp, g * h), sum_rows(xp, g)
