"""Global response normalisation of (N, L, C): sums over positions first, then position by position.

Positions are summed in tiles and tiles in order, so that nothing depends on the number of threads.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import prange

from minigrad.backend import finite
from minigrad.kernels.cpu.arrays import Array, are_rows, contiguous, empty, takes
from minigrad.kernels.cpu.compile import compiled, parallel

__all__ = ["Response", "grn", "grn_vjp"]

TILE = 64  # positions in one task


class Response(NamedTuple):
    """What GRN makes of the sums of squares: a gain for every sample and channel."""

    norm: Array  # (N, C)
    share: Array  # (N, 1): 1 / (mean norm + eps)
    gain: Array  # (N, C): 1 + gamma * norm * share

    @classmethod
    def of(cls, squares: Array, gamma: Array, eps: float) -> Response:
        """Take the sums of squares over positions, (N, C)."""
        norm = np.sqrt(squares)
        share = 1.0 / (norm.mean(axis=1, keepdims=True) + norm.dtype.type(eps))
        return cls(norm, share, 1.0 + gamma * (norm * share))

    def slope(self, product: Array, gamma: Array) -> Array:
        """Return what the gain hands back to x, per unit of x: 0 for a dead channel.

        `product` is the sum over positions of x times the gradient of the result.
        """
        u = gamma * product
        g_norm = self.share * (u - (u * (self.norm * self.share)).mean(axis=1, keepdims=True))
        dead = self.norm == 0.0
        return np.where(dead, 0.0, g_norm / np.where(dead, 1.0, self.norm)).astype(u.dtype)


@compiled
def _add_product(total, x, y):  # type: ignore[no-untyped-def]
    for c in range(total.size):
        total[c] += x[c] * y[c]


@parallel
def _sum_products(sums, x, y):  # type: ignore[no-untyped-def]
    """``sums[n, tile] = sum of x * y over the positions of the tile``."""
    samples, tiles, _ = sums.shape
    for task in prange(samples * tiles):
        n, tile = task // tiles, task % tiles
        total = sums[n, tile]
        total[:] = 0
        for i in range(tile * TILE, min(x.shape[1], (tile + 1) * TILE)):
            _add_product(total, x[n, i], y[n, i])


@compiled
def _affine(y, x, a, b):  # type: ignore[no-untyped-def]
    for c in range(y.size):
        y[c] = x[c] * a[c] + b[c]


@compiled
def _gradient(gx, total, g, x, gain, slope):  # type: ignore[no-untyped-def]
    for c in range(gx.size):
        gx[c] = g[c] * gain[c] + x[c] * slope[c]
        total[c] += g[c]


@parallel
def _respond(y, x, gain, beta):  # type: ignore[no-untyped-def]
    tiles = -(-x.shape[1] // TILE)
    for task in prange(len(x) * tiles):
        n, tile = task // tiles, task % tiles
        for i in range(tile * TILE, min(x.shape[1], (tile + 1) * TILE)):
            _affine(y[n, i], x[n, i], gain[n], beta)


@parallel
def _respond_vjp(gx, sums, g, x, gain, slope):  # type: ignore[no-untyped-def]
    samples, tiles, _ = sums.shape
    for task in prange(samples * tiles):
        n, tile = task // tiles, task % tiles
        total = sums[n, tile]
        total[:] = 0
        for i in range(tile * TILE, min(x.shape[1], (tile + 1) * TILE)):
            _gradient(gx[n, i], total, g[n, i], x[n, i], gain[n], slope[n])


def _tiles(x: Array) -> Array:
    """Return memory for sums over tiles."""
    return empty((len(x), -(-x.shape[1] // TILE), x.shape[2]), x.dtype)


def _squares(x: Array) -> Array:
    sums = _tiles(x)
    _sum_products(sums, x, x)
    return sums.sum(axis=1)


@takes(fits=lambda x, gamma, beta, eps: x.ndim == 3 and are_rows(x, gamma, beta))
def grn(x: Array, gamma: Array, beta: Array, eps: float) -> Array:
    """``y = x * (1 + gamma * r) + beta``, ``r = |x| / (mean over channels of |x| + eps)``."""
    y = empty(x.shape, x.dtype)
    if x.size:
        x = contiguous(x)
        squares = _squares(x)
        if not finite(squares):  # the formula knows what to do
            return NotImplemented
        _respond(y, x, Response.of(squares, gamma, eps).gain, contiguous(beta))
    return y


@takes(
    fits=lambda g, x, gamma, eps: x.ndim == 3 and g.shape == x.shape and are_rows(x, gamma),
)
def grn_vjp(g: Array, x: Array, gamma: Array, eps: float) -> tuple[Array, Array, Array]:
    """Gradients of `grn` with respect to x, gamma and beta."""
    if not x.size:
        return np.zeros_like(x), np.zeros_like(gamma), np.zeros_like(gamma)
    g, x = contiguous(g), contiguous(x)
    squares = _squares(x)
    if not finite(squares):
        return NotImplemented  # type: ignore[no-any-return]
    gx, sums = empty(x.shape, x.dtype), _tiles(x)
    response = Response.of(squares, gamma, eps)
    _sum_products(sums, g, x)
    product = sums.sum(axis=1)
    _respond_vjp(gx, sums, g, x, response.gain, response.slope(product, gamma))
    g_gamma = (product * (response.norm * response.share)).sum(axis=0)
    return gx, g_gamma, sums.sum(axis=1).sum(axis=0)
