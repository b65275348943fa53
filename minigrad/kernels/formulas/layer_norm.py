"""Layer normalisation over the last axis.

Ba, Kiros, Hinton: Layer Normalization, arXiv:1607.06450.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from minigrad.kernels.arrays.running import (
    Array,
    in_blocks,
    inverse_deviation,
    mean_last,
    sum_rows,
)

__all__ = ["layer_norm", "layer_norm_vjp"]


def _normalize(xp: Any, x: Array, eps: float) -> tuple[Array, Array]:
    centred = x - mean_last(xp, x)
    scale, _ = inverse_deviation(xp, centred, partial(mean_last, xp), eps)
    return centred * scale, scale


@in_blocks(arrays=1, row_axes=1)
def layer_norm(xp: Any, x: Array, weight: Array | None, bias: Array | None, eps: float) -> Array:
    """``y = (x - mean) / sqrt(var + eps) * weight + bias`` for every row ``x[..., :]``."""
    y, _ = _normalize(xp, x, eps)
    if weight is not None:
        y = y * weight
    return y if bias is None else y + bias


@in_blocks(arrays=2, row_axes=1)
def layer_norm_vjp(
    xp: Any, g: Array, x: Array, weight: Array | None, eps: float
) -> tuple[Array, Array, Array]:
    """Gradients of `layer_norm` with respect to x, weight and bias.

    With ``h = (x - mean) * scale`` and ``u = g * weight``:
    ``dx = scale * (u - mean(u) - h * mean(u * h))``.
    """
    h, scale = _normalize(xp, x, eps)
    u = g if weight is None else g * weight
    gx = scale * (u - mean_last(xp, u) - h * mean_last(xp, u * h))
    return gx, sum_rows(xp, g * h), sum_rows(xp, g)
