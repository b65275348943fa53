"""The pointwise half of a ConvNeXt block: norm, product, GELU, GRN, product, scale, residual.

Liu et al.: A ConvNet for the 2020s, arXiv:2201.03545, figure 4; with GRN, Woo et al.: ConvNeXt V2,
arXiv:2301.00808, figure 5.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

__all__ = ["Weights", "mlp", "mlp_vjp"]

Array = Any


class Weights(NamedTuple):
    """Weights and biases; the scale and those of GRN may be missing."""

    norm_weight: Array  # (C,)
    norm_bias: Array
    w1: Array  # (H, C)
    b1: Array
    w2: Array  # (C, H)
    b2: Array
    scale: Array | None = None  # (C,)
    grn_weight: Array | None = None  # (H,)
    grn_bias: Array | None = None


def _product(xp: Any, x: Array, w: Array) -> Array:
    """``x @ w`` as one product of two matrices."""
    rows = xp.product(xp.reshape(x, (-1, x.shape[-1])), w)
    return xp.reshape(rows, (*x.shape[:-1], w.shape[1]))


def _outer(xp: Any, g: Array, x: Array) -> Array:
    """Sum over the rows of ``outer(g[row], x[row])``: the gradient of a weight."""
    g, x = xp.reshape(g, (-1, g.shape[-1])), xp.reshape(x, (-1, x.shape[-1]))
    return xp.product(xp.transpose(g, (1, 0)), x)


def _positions(xp: Any, x: Array) -> Array:
    """View (N, *spatial, C) as (N, L, C)."""
    return xp.reshape(x, (x.shape[0], math.prod(x.shape[1:-1]), x.shape[-1]))


def _per_sample(xp: Any, factor: Array, x: Array) -> Array:
    return xp.reshape(factor, (len(factor), *(1 for _ in x.shape[1:])))


def _hidden(xp: Any, x: Array, p: Weights, eps: float, grn_eps: float) -> tuple[Array, ...]:
    """Return the values between the steps, which both directions need."""
    normed = xp.layer_norm(x, p.norm_weight, p.norm_bias, eps)
    h = _product(xp, normed, xp.transpose(p.w1, (1, 0))) + p.b1
    a = _positions(xp, xp.gelu(h))
    z = a if p.grn_weight is None else xp.grn(a, p.grn_weight, p.grn_bias, grn_eps)
    return normed, h, a, xp.reshape(z, h.shape)


def mlp(
    xp: Any,
    x: Array,
    skip: Array,
    parameters: Weights,
    factor: Array | None = None,
    eps: float = 1e-6,
    grn_eps: float = 1e-6,
    keep: bool = True,
) -> tuple[Array, None]:
    """``y = skip + (grn(gelu(norm(x) @ w1.T + b1)) @ w2.T + b2) * scale * factor``.

    x and skip are (N, *spatial, C), `factor` (N,) that of drop path. What a compiled version keeps
    for `mlp_vjp` comes second; the formula keeps nothing.
    """
    p = parameters
    *_, z = _hidden(xp, x, p, eps, grn_eps)
    branch = _product(xp, z, xp.transpose(p.w2, (1, 0))) + p.b2
    if p.scale is not None:
        branch = branch * p.scale
    if factor is not None:
        branch = branch * _per_sample(xp, factor, x)
    return skip + branch, None


def mlp_vjp(
    xp: Any,
    g: Array,
    x: Array,
    parameters: Weights,
    saved: Any = None,
    factor: Array | None = None,
    eps: float = 1e-6,
    grn_eps: float = 1e-6,
) -> tuple[Array, Weights]:
    """Gradients of `mlp` with respect to x and the parameters; that of `skip` is g itself."""
    p = parameters
    normed, h, a, z = _hidden(xp, x, p, eps, grn_eps)
    if factor is not None:
        g = g * _per_sample(xp, factor, x)
    g_scale = None
    if p.scale is not None:
        out = _product(xp, z, xp.transpose(p.w2, (1, 0))) + p.b2
        g_scale = xp.sum_rows(g * out)
        g = g * p.scale
    g_z = _product(xp, g, p.w2)
    g_grn = (None, None)
    g_a = g_z
    if p.grn_weight is not None:
        g_a, *g_grn = xp.grn_vjp(_positions(xp, g_z), a, p.grn_weight, grn_eps)
        g_a = xp.reshape(g_a, h.shape)
    g_h = xp.gelu_vjp(g_a, h)
    g_normed = _product(xp, g_h, p.w1)
    gx, g_weight, g_bias = xp.layer_norm_vjp(g_normed, x, p.norm_weight, eps)
    return gx, Weights(
        g_weight, g_bias, _outer(xp, g_h, normed), xp.sum_rows(g_h), _outer(xp, g, z),
        xp.sum_rows(g), g_scale, *g_grn,
    )  # fmt: skip
