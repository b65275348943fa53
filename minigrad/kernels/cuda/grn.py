"""Global response normalisation of (N, L, C)."""

from __future__ import annotations

from minigrad.kernels.cuda.arrays import Array, contiguous, takes, zeros
from minigrad.kernels.cuda.hidden import Hidden
from minigrad.kernels.cuda.table import MOST_SAMPLES

__all__ = ["grn", "grn_vjp"]


@takes(when=lambda x, *_: len(x) <= MOST_SAMPLES)
def grn(x: Array, gamma: Array, beta: Array, eps: float) -> Array:
    """``y = x * (1 + gamma * r) + beta``, ``r = |x| / (mean over channels of |x| + eps)``."""
    x = contiguous(x)
    if not x.size:
        return zeros(x, x.shape)
    hidden = Hidden(x, None, contiguous(gamma), contiguous(beta), eps, gelu=False)
    return hidden.forward(hidden.squares())


@takes(arrays=2, when=lambda g, *_: len(g) <= MOST_SAMPLES)
def grn_vjp(g: Array, x: Array, gamma: Array, eps: float) -> tuple[Array, Array, Array]:
    """Gradients of `grn` with respect to x, gamma and beta."""
    g, x = contiguous(g), contiguous(x)
    if not x.size:
        return zeros(x, x.shape), zeros(gamma, gamma.shape), zeros(gamma, gamma.shape)
    hidden = Hidden(x, None, contiguous(gamma), None, eps, gelu=False)
    gx, _, _, g_gamma, g_beta = hidden.backward(g, hidden.squares(), again=False)
    return gx, g_gamma, g_beta
