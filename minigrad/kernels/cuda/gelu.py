"""GELU and erf, element by element."""

from __future__ import annotations

from minigrad.kernels.cuda.arrays import THREADS, Array, blocks, flat, takes, vector
from minigrad.kernels.cuda.launcher import launch

__all__ = ["erf", "gelu", "gelu_tanh", "gelu_tanh_vjp", "gelu_vjp"]


def _elementwise(name: str, *arrays: Array) -> Array:
    """Run a kernel over arrays of one shape, whatever their order in memory."""
    result, y, *inputs = flat(*arrays)
    v = vector(y.size, y, *inputs)
    launch(name, (blocks(y.size // v),), (THREADS,), (*inputs, y, y.size), (v,))
    return result


@takes()
def erf(z: Array) -> Array:
    """Error function."""
    return _elementwise("erf_values", z)


@takes()
def gelu(x: Array) -> Array:
    """``y = x * Phi(x)``."""
    return _elementwise("gelu", x)


@takes(arrays=2)
def gelu_vjp(g: Array, x: Array) -> Array:
    """Gradient of `gelu`."""
    return _elementwise("gelu_vjp", g, x)


@takes()
def gelu_tanh(x: Array) -> Array:
    """``y = x * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3))) / 2``."""
    return _elementwise("gelu_tanh", x)


@takes(arrays=2)
def gelu_tanh_vjp(g: Array, x: Array) -> Array:
    """Gradient of `gelu_tanh`."""
    return _elementwise("gelu_tanh_vjp", g, x)
