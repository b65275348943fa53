"""Group normalisation; with one channel per group it is instance normalisation.

Wu, He: Group Normalization, arXiv:1803.08494.
"""

from __future__ import annotations

from typing import Any

from minigrad.kernels.reference._arrays import Array, in_blocks, sum_rows

__all__ = ["group_norm", "group_norm_vjp"]


def _normalize(xp: Any, x: Array, groups: int, eps: float) -> tuple[Array, Array]:
    """Return normalised x and its scale, both split in groups: (N, L, groups, C / groups)."""
    n, length, channels = x.shape
    x = xp.reshape(x, (n, length, groups, channels // groups))
    centred = x - xp.mean(x, axis=(1, 3), keepdims=True)
    scale = 1.0 / xp.sqrt(xp.mean(centred * centred, axis=(1, 3), keepdims=True) + eps)
    return centred * scale, scale


@in_blocks(arrays=1, row_axes=2)
def group_norm(
    xp: Any, x: Array, weight: Array | None, bias: Array | None, groups: int, eps: float
) -> Array:
    """Normalise x (N, L, C) over L and the channels of a group, then ``* weight + bias``."""
    h, _ = _normalize(xp, x, groups, eps)
    y = xp.reshape(h, x.shape)
    if weight is not None:
        y = y * weight
    return y if bias is None else y + bias


@in_blocks(arrays=2, row_axes=2)
def group_norm_vjp(
    xp: Any, g: Array, x: Array, weight: Array | None, groups: int, eps: float
) -> tuple[Array, Array, Array]:
    """Gradients of `group_norm` with respect to x, weight and bias.

    The same formula as for layer normalisation, with means over a group.
    """
    h, scale = _normalize(xp, x, groups, eps)
    u = xp.reshape(g if weight is None else g * weight, h.shape)
    mean_u = xp.mean(u, axis=(1, 3), keepdims=True)
    mean_uh = xp.mean(u * h, axis=(1, 3), keepdims=True)
    gx = xp.reshape(scale * (u - mean_u - h * mean_uh), x.shape)
    return gx, sum_rows(xp, g * xp.reshape(h, x.shape)), sum_rows(xp, g)
