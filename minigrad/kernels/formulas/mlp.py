"""The pointwise half of a ConvNeXt block: norm, product, GELU, GRN, product, scale, residual.

Liu et al.: A ConvNet for the 2020s, arXiv:2201.03545, figure 4; with GRN, Woo et al.: ConvNeXt V2,
arXiv:2301.00808, figure 5.

The hidden values are four times as large as x, and their way to memory and back takes as long as
the products. So on NumPy forward takes tiles through all steps, one per thread: rows, or with GRN,
which needs the norms over all positions, samples.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minigrad.kernels.arrays.matmul import matmul
from minigrad.kernels.arrays.running import Array, sum_rows
from minigrad.kernels.formulas.gelu import gelu, gelu_vjp
from minigrad.kernels.formulas.grn import grn, grn_vjp
from minigrad.kernels.formulas.layer_norm import layer_norm, layer_norm_vjp
from minigrad.kernels.threads import run_tasks

__all__ = ["Weights", "mlp", "mlp_vjp"]

TILE = 1 << 18  # hidden values of a tile, about
ROWS = 192  # of a tile at least, for the sake of the products
FEW = 4  # tiles, of which the steps share out the work better


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
    rows = matmul(xp, xp.reshape(x, (-1, x.shape[-1])), w)
    return xp.reshape(rows, (*x.shape[:-1], w.shape[1]))


def _outer(xp: Any, g: Array, x: Array) -> Array:
    """Sum over the rows of ``outer(g[row], x[row])``: the gradient of a weight."""
    g, x = xp.reshape(g, (-1, g.shape[-1])), xp.reshape(x, (-1, x.shape[-1]))
    return matmul(xp, xp.transpose(g, (1, 0)), x)


def _positions(xp: Any, x: Array) -> Array:
    """View (N, *spatial, C) as (N, L, C)."""
    length = 1
    for n in x.shape[1:-1]:
        length *= n
    return xp.reshape(x, (x.shape[0], length, x.shape[-1]))


def _per_sample(xp: Any, factor: Array, x: Array) -> Array:
    return xp.reshape(factor, (len(factor), *(1 for _ in x.shape[1:])))


def _hidden(xp: Any, x: Array, p: Weights, eps: float, grn_eps: float) -> tuple[Array, ...]:
    """Return the values between the steps, which both directions need."""
    normed = layer_norm(xp, x, p.norm_weight, p.norm_bias, eps)
    h = _product(xp, normed, xp.transpose(p.w1, (1, 0))) + p.b1
    a = _positions(xp, gelu(xp, h))
    z = a if p.grn_weight is None else grn(xp, a, p.grn_weight, p.grn_bias, grn_eps)
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
    if xp is np and x.size:
        return _in_tiles(x, skip, parameters, factor, eps, grn_eps), None
    return _formula(xp, x, skip, parameters, factor, eps, grn_eps), None


def _formula(
    xp: Any, x: Array, skip: Array, p: Weights, factor: Array | None, eps: float, grn_eps: float
) -> Array:
    *_, z = _hidden(xp, x, p, eps, grn_eps)
    branch = _product(xp, z, xp.transpose(p.w2, (1, 0))) + p.b2
    if p.scale is not None:
        branch = branch * p.scale
    if factor is not None:
        branch = branch * _per_sample(xp, factor, x)
    return skip + branch


def _in_tiles(
    x: Array, skip: Array, p: Weights, factor: Array | None, eps: float, grn_eps: float
) -> Array:
    y = np.empty(x.shape, np.result_type(x, skip, p.w1))
    out, hidden = y, len(p.w1)
    if p.grn_weight is None:
        if factor is not None:
            factor = np.repeat(factor, x.size // len(x) // x.shape[-1])
        x, skip, out = (a.reshape(-1, a.shape[-1]) for a in (x, skip, y))
    rows = x.size // len(x) // x.shape[-1]  # of the least that can be a tile
    tiles = -(-len(x) // max(1, max(ROWS, TILE // hidden) // rows))
    if tiles < FEW:
        return _formula(np, x, skip, p, factor, eps, grn_eps).reshape(y.shape)
    step = -(-len(x) // (tiles + tiles % 2))

    def tile(start: int) -> None:
        at = slice(start, start + step)
        part = None if factor is None else factor[at]
        out[at] = _formula(np, x[at], skip[at], p, part, eps, grn_eps)

    run_tasks(np, tile, range(0, len(x), step))
    return y


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
        g_scale = sum_rows(xp, g * out)
        g = g * p.scale
    g_z = _product(xp, g, p.w2)
    g_grn = (None, None)
    g_a = g_z
    if p.grn_weight is not None:
        g_a, *g_grn = grn_vjp(xp, _positions(xp, g_z), a, p.grn_weight, grn_eps)
        g_a = xp.reshape(g_a, h.shape)
    g_h = gelu_vjp(xp, g_a, h)
    g_normed = _product(xp, g_h, p.w1)
    gx, g_weight, g_bias = layer_norm_vjp(xp, g_normed, x, p.norm_weight, eps)
    return gx, Weights(
        g_weight, g_bias, _outer(xp, g_h, normed), sum_rows(xp, g_h), _outer(xp, g, z),
        sum_rows(xp, g), g_scale, *g_grn,
    )  # fmt: skip
