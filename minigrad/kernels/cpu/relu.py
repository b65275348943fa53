"""ReLU on blocks of elements."""

from __future__ import annotations

from numba import prange

from minigrad.kernels.cpu.arrays import Array, flat, takes
from minigrad.kernels.cpu.compile import compiled, parallel

__all__ = ["relu", "relu_vjp"]

BLOCK = 1 << 12  # elements in one task
FEW = 1 << 13  # elements that NumPy has done before the threads have started


@compiled
def _relu_of(y, x):  # type: ignore[no-untyped-def]
    zero = x.dtype.type(0)
    for i in range(x.size):
        y[i] = zero if x[i] <= zero else x[i]  # NaN is not


@compiled
def _relu_vjp_of(gx, g, y):  # type: ignore[no-untyped-def]
    zero = g.dtype.type(0)
    for i in range(g.size):
        gx[i] = zero if y[i] <= zero else g[i]


@parallel
def _relu(y, x):  # type: ignore[no-untyped-def]
    for block in prange(-(-x.size // BLOCK)):
        part = slice(block * BLOCK, (block + 1) * BLOCK)
        _relu_of(y[part], x[part])


@parallel
def _relu_vjp(gx, g, y):  # type: ignore[no-untyped-def]
    for block in prange(-(-g.size // BLOCK)):
        part = slice(block * BLOCK, (block + 1) * BLOCK)
        _relu_vjp_of(gx[part], g[part], y[part])


@takes(fits=lambda x: x.size >= FEW)
def relu(x: Array) -> Array:
    """``y = max(x, 0)``."""
    out, y, x = flat(x)
    _relu(y, x)
    return out


@takes(fits=lambda g, y: g.shape == y.shape and g.size >= FEW)
def relu_vjp(g: Array, y: Array) -> Array:
    """Gradient of `relu`, from its result: g where y is positive, else 0."""
    out, gx, g, y = flat(g, y)
    _relu_vjp(gx, g, y)
    return out
