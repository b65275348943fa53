"""The pointwise half of a ConvNeXt block: cuBLAS for the products, one kernel between any two.

    normed = layer_norm(x)
    x1 = normed @ w1.T                        cuBLAS
    z = gelu(x1 + b1), then GRN               hidden.cu
    x2 = z @ w2.T                             cuBLAS
    y = skip + (x2 + b2) * scale * factor     residual.cu

Forward leaves x1 to backward, and with GRN the sums of squares; normed and z are made again, for
that costs less than to keep them. In mixed precision x has two bytes and all else is float32: the
weights are rounded to the type of x for the products, sums are taken in float32, the result has the
type of `skip`, and gradients have the types of what they belong to.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from minigrad.backend import get_xp
from minigrad.kernels.cuda.arrays import (
    THREADS,
    Array,
    accumulator,
    as_rows,
    contiguous,
    empty,
    fits,
    takes,
)
from minigrad.kernels.cuda.hidden import Hidden
from minigrad.kernels.cuda.launcher import launch
from minigrad.kernels.cuda.layer_norm import layer_norm, layer_norm_vjp
from minigrad.kernels.cuda.reduce import sum_parts
from minigrad.kernels.cuda.table import MOST_SAMPLES, Table
from minigrad.kernels.formulas.mlp import Weights

__all__ = ["Saved", "mlp", "mlp_vjp"]


class Saved(NamedTuple):
    """What forward leaves to backward."""

    x1: Array  # (rows, H)
    squares: Array | None  # (samples, 2 * H)


def _known(x: Array, skip: Array, p: Weights, factor: Array | None) -> bool:
    """Return True if the kernels know the types; `skip` may also be the gradient of the result."""
    return (
        x.size > 0
        and len(x) <= MOST_SAMPLES
        and fits(x, (), p)
        and fits(x, (), (skip,))
        and (factor is None or factor.dtype == skip.dtype)
    )


def _samples(x: Array, values: Array, split: bool) -> Array:
    """View rows as (samples, positions, columns); as one sample if none is treated by itself."""
    return values.reshape(len(x) if split else 1, -1, values.shape[-1])


def _product(x: Array, w: Array) -> Array:
    """Multiply two matrices, which is what cuBLAS does best."""
    return get_xp(x).matmul(x, w)


def _first_product(x: Array, p: Weights, eps: float) -> Array:
    return _product(as_rows(layer_norm(x, p.norm_weight, p.norm_bias, eps)), p.w1.T)


def _hidden(x: Array, x1: Array, p: Weights, grn_eps: float) -> Hidden:
    values = _samples(x, x1, p.grn_weight is not None)
    return Hidden(values, p.b1, p.grn_weight, p.grn_bias, grn_eps, gelu=True)


@takes(
    None,
    lambda x, skip, p, factor=None, *_, **__: _known(x, skip, p, factor),
    keeps=True,
    mixes=True,
)
def mlp(
    x: Array,
    skip: Array,
    parameters: Weights,
    factor: Array | None = None,
    eps: float = 1e-6,
    grn_eps: float = 1e-6,
    keep: bool = True,
) -> tuple[Array, Saved | None]:
    """``y = skip + (grn(gelu(norm(x) @ w1.T + b1)) @ w2.T + b2) * scale * factor``."""
    p = _prepared(parameters, x.dtype)
    hidden = _hidden(x, _first_product(x, p, eps), p, grn_eps)
    squares = hidden.squares()
    x2 = _samples(x, _product(as_rows(hidden.forward(squares)), p.w2.T), factor is not None)
    y = empty(x2, x2.shape, skip.dtype)
    skip = contiguous(skip).reshape(x2.shape)
    table = Table.of(x2.shape, x2, skip, y)
    launch(
        "residual", table.grid, (THREADS,), (x2, skip, p.b2, p.scale, factor, y, *table.sizes),
        (table.vector,),
    )  # fmt: skip
    return y.reshape(x.shape), Saved(as_rows(hidden.x), squares) if keep else None


@takes(None, lambda g, x, p, saved=None, factor=None, *_: _known(x, g, p, factor))
def mlp_vjp(
    g: Array,
    x: Array,
    parameters: Weights,
    saved: Saved | None = None,
    factor: Array | None = None,
    eps: float = 1e-6,
    grn_eps: float = 1e-6,
) -> tuple[Array, Weights]:
    """Gradients of `mlp` with respect to x and the parameters; that of `skip` is g itself."""
    p = _prepared(parameters, x.dtype)
    kept, g2, total = _branch_vjp(contiguous(g), x.dtype, p, factor)
    normed = as_rows(layer_norm(x, p.norm_weight, p.norm_bias, eps))
    hidden = _hidden(x, _product(normed, p.w1.T) if saved is None else saved.x1, p, grn_eps)
    squares = hidden.squares() if saved is None else saved.squares

    g_z = _product(g2, p.w2).reshape(hidden.x.shape)
    g1, z, g_b1, g_gamma, g_beta = hidden.backward(g_z, squares, again=True)
    g1 = as_rows(g1)
    gx, g_weight, g_bias = layer_norm_vjp(
        _product(g1, p.w1).reshape(x.shape), contiguous(x), p.norm_weight, eps
    )
    g_w1 = _product(g1.T, normed).astype(parameters.w1.dtype, copy=False)
    g_w2, g_b2, g_scale = _second_layer(_product(kept.T, as_rows(z)), total, parameters)
    return gx, Weights(
        g_weight, g_bias, g_w1, g_b1, g_w2, g_b2, g_scale, g_gamma, g_beta,
    )  # fmt: skip


def _second_layer(product: Array, total: Array, p: Weights) -> tuple[Array, Array, Array | None]:
    """Return the gradients of w2, b2 and the scale, from those of w2 and b2 without the scale.

    What w2 gets before it is scaled holds also what the scale gets, so no product is made twice.
    """
    if p.scale is None:
        return product.astype(p.w2.dtype, copy=False), total, None
    wide = accumulator(product.dtype)
    g_w2, w2, g_b2, b2, scale = (
        a.astype(wide, copy=False) for a in (product, p.w2, total, p.b2, p.scale)
    )
    g_scale = (g_w2 * w2).sum(axis=1) + g_b2 * b2
    scaled = (g_w2 * scale[:, None], g_b2 * scale, g_scale)
    g_w2, g_b2, g_scale = (a.astype(p.w2.dtype, copy=False) for a in scaled)
    return g_w2, g_b2, g_scale


def _branch_vjp(
    g: Array, dtype: Any, p: Weights, factor: Array | None
) -> tuple[Array, Array, Array]:
    """Return g * factor and g * factor * scale, as rows, and the sum over rows of the first."""
    values = _samples(g, g, factor is not None)
    as_it_is = factor is None and g.dtype == dtype
    kept = None if as_it_is else empty(g, values.shape, dtype)
    scaled = None if p.scale is None else empty(g, values.shape, dtype)
    table = Table.of(values.shape, values, kept, scaled)
    parts = table.parts(g)
    launch(
        "residual_vjp", table.grid, (THREADS,),
        (values, p.scale, factor, scaled, kept, parts, *table.sizes), (table.vector,),
    )  # fmt: skip
    total = sum_parts(parts.reshape(1, -1, parts.shape[2]), p.b2.dtype).reshape(-1)
    kept = values if kept is None else kept
    return as_rows(kept), as_rows(kept if scaled is None else scaled), total


def _prepared(p: Weights, dtype: Any) -> Weights:
    """Return the two matrices in the type of the products, and the vectors in C order."""
    vectors = Weights(*(a if a is None or a.ndim > 1 else contiguous(a) for a in p))
    return vectors._replace(w1=p.w1.astype(dtype, copy=False), w2=p.w2.astype(dtype, copy=False))
