"""Global response normalisation, ConvNeXt V2.

Woo et al.: ConvNeXt V2, arXiv:2301.00808, section 3.
"""

from __future__ import annotations

from typing import Any

__all__ = ["grn", "grn_vjp"]

Array = Any


def _response(xp: Any, x: Array, eps: float) -> tuple[Array, Array, Array]:
    """Return the norm of every channel (N, 1, C), 1 / norm, and 1 / (their mean + eps).

    A dead channel has norm 0 and 1 / norm is taken as 0: the norm's derivative there is 0, as in
    PyTorch, and not NaN. The square root never sees the 0, so its second derivative exists too.
    """
    squares, unit = xp.squares_in_range(x, xp.sum_positions)
    dead = squares == 0.0
    safe = xp.sqrt(xp.where(dead, 1.0, squares)) / unit
    norm = xp.where(dead, 0.0, safe)
    return norm, xp.where(dead, 0.0, 1.0 / safe), 1.0 / (xp.mean_last(norm) + eps)


def grn(xp: Any, x: Array, gamma: Array, beta: Array, eps: float) -> Array:
    """``y = x * (1 + gamma * r) + beta``, ``r = |x| / (mean over channels of |x| + eps)``.

    x is (N, L, C), ``|x|`` the Euclidean norm of every channel over L.
    """
    norm, _, share = _response(xp, x, eps)
    return x * (1.0 + gamma * (norm * share)) + beta


def grn_vjp(xp: Any, g: Array, x: Array, gamma: Array, eps: float) -> tuple[Array, Array, Array]:
    """Gradients of `grn` with respect to x, gamma and beta.

    With ``q = sum over L of g * x`` and ``s = 1 / (mean |x| + eps)``, the norm receives
    ``s * (gamma * q - mean(gamma * q * r))``, and hands ``x / |x|`` times that on to x.
    """
    norm, inverse, share = _response(xp, x, eps)
    response = norm * share
    gx_sum = xp.sum_positions(g * x)
    u = gamma * gx_sum
    g_norm = share * (u - xp.mean_last(u * response))
    gx = g * (1.0 + gamma * response) + x * (g_norm * inverse)
    return gx, xp.sum_rows(gx_sum * response), xp.sum_rows(g)
