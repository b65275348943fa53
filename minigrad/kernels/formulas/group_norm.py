"""Group normalisation; with one channel per group it is instance normalisation.

Wu, He: Group Normalization, arXiv:1803.08494.
"""

from __future__ import annotations

from typing import Any

__all__ = ["group_norm", "group_norm_vjp"]

Array = Any


def _group_mean(xp: Any, x: Array, groups: int) -> Array:
    """Mean of x (N, L, C) over L and the channels of a group, repeated per channel: (N, 1, C)."""
    n, length, channels = x.shape
    per_channel = xp.reshape(xp.sum_positions(x) * (1.0 / length), (n, groups, channels // groups))
    mean = xp.broadcast_to(xp.mean_last(per_channel), per_channel.shape)
    return xp.reshape(mean, (n, 1, channels))


def _normalize(xp: Any, x: Array, groups: int, eps: float) -> tuple[Array, Array]:
    centred = x - _group_mean(xp, x, groups)
    scale, _ = xp.inverse_deviation(centred, lambda x: _group_mean(xp, x, groups), eps)
    return centred * scale, scale


def group_norm(
    xp: Any, x: Array, weight: Array | None, bias: Array | None, groups: int, eps: float
) -> Array:
    """Normalise x (N, L, C) over L and the channels of a group, then ``* weight + bias``."""
    y, _ = _normalize(xp, x, groups, eps)
    if weight is not None:
        y = y * weight
    return y if bias is None else y + bias


def group_norm_vjp(
    xp: Any, g: Array, x: Array, weight: Array | None, groups: int, eps: float
) -> tuple[Array, Array, Array]:
    """Gradients of `group_norm` with respect to x, weight and bias.

    The same formula as for layer normalisation, with means over a group.
    """
    h, scale = _normalize(xp, x, groups, eps)
    u = g if weight is None else g * weight
    gx = scale * (u - _group_mean(xp, u, groups) - h * _group_mean(xp, u * h, groups))
    return gx, xp.sum_rows(g * h), xp.sum_rows(g)
