"""Global response normalisation of (N, L, C)."""

from __future__ import annotations

from minigrad.backend import get_xp
from minigrad.kernels.cuda.arrays import Array, contiguous, instead_of, zeros
from minigrad.kernels.cuda.hidden import Hidden
from minigrad.kernels.cuda.table import MOST_SAMPLES
from minigrad.kernels.formulas import grn as reference

__all__ = ["grn", "grn_vjp"]


@instead_of(reference.grn)
def grn(x: Array, gamma: Array, beta: Array, eps: float) -> Array:
    """``y = x * (1 + gamma * r) + beta``, ``r = |x| / (mean over channels of |x| + eps)``."""
    if len(x) > MOST_SAMPLES:
        return reference.grn(get_xp(x), x, gamma, beta, eps)
    x = contiguous(x)
    if not x.size:
        return zeros(x, x.shape)
    hidden = Hidden(x, None, contiguous(gamma), contiguous(beta), eps, gelu=False)
    return hidden.forward(hidden.squares())


@instead_of(reference.grn_vjp, arrays=2)
def grn_vjp(g: Array, x: Array, gamma: Array, eps: float) -> tuple[Array, Array, Array]:
    """Gradients of `grn` with respect to x, gamma and beta."""
    if len(x) > MOST_SAMPLES:
        return reference.grn_vjp(get_xp(x), g, x, gamma, eps)  # type: ignore[no-any-return]
    g, x = contiguous(g), contiguous(x)
    if not x.size:
        return zeros(x, x.shape), zeros(gamma, gamma.shape), zeros(gamma, gamma.shape)
    hidden = Hidden(x, None, contiguous(gamma), None, eps, gelu=False)
    gx, _, _, g_gamma, g_beta = hidden.backward(g, hidden.squares(), again=False)
    return gx, g_gamma, g_beta
