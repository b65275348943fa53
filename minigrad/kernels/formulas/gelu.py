"""GELU, ``x * Phi(x)`` with the normal distribution function Phi, exact and with tanh; and erf.

Hendrycks, Gimpel: Gaussian Error Linear Units, arXiv:1606.08415.
"""

from __future__ import annotations

import math
from typing import Any

__all__ = ["erf", "gelu", "gelu_tanh", "gelu_tanh_vjp", "gelu_vjp"]

Array = Any


def _cdf(xp: Any, x: Array) -> Array:
    return 0.5 + 0.5 * xp.erf(x * math.sqrt(0.5))


def erf(xp: Any, z: Array) -> Array:
    """Error function: within 4 ulp in float32, 1e-15 in float64."""
    return xp.erf(z)


def gelu(xp: Any, x: Array) -> Array:
    """``y = x * Phi(x) = x * (1 + erf(x / sqrt(2))) / 2``."""
    return x * _cdf(xp, x)


def gelu_vjp(xp: Any, g: Array, x: Array) -> Array:
    """Gradient of `gelu`: ``dx = g * (Phi(x) + x * phi(x))``, phi the normal density."""
    near = xp.clip(x, -40.0, 40.0)  # beyond, phi is 0; the square must not overflow
    density = xp.exp(near * near * -0.5) * (1.0 / math.sqrt(2.0 * math.pi))
    return g * (_cdf(xp, x) + near * density)


_A = math.sqrt(2.0 / math.pi)
_B = _A * 0.044715


def gelu_tanh(xp: Any, x: Array) -> Array:
    """``y = x * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3))) / 2``."""
    near = xp.clip(x, -10.0, 10.0)  # beyond, tanh is 1 in float64
    return x * (0.5 + 0.5 * xp.tanh(near * (_A + _B * (near * near))))


def gelu_tanh_vjp(xp: Any, g: Array, x: Array) -> Array:
    """Gradient of `gelu_tanh`."""
    near = xp.clip(x, -10.0, 10.0)
    square = near * near
    t = xp.tanh(near * (_A + _B * square))
    slope = (1.0 - t * t) * (_A + (3.0 * _B) * square)
    return g * (0.5 * (1.0 + t) + (0.5 * near) * slope)
