"""The exponential function, in arithmetic that vectorises: ``exp(x) = 2^n * exp(r)``.

n is the nearest integer to x / ln 2 and goes straight to the exponent bits; r, at most ln(2) / 2,
goes through Taylor's series. Meant for x <= 0, as in softmax; from 88.3 on float32 is infinite, and
what is smaller than 1.2e-38 becomes 0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from minigrad.kernels.cpu.compile import OPTIONS, compiled

__all__ = ["exp"]

_f = np.float32

_INVERSE = _f(1.0 / math.log(2.0))
_HIGH = _f(0.693359375)  # ln 2 in two pieces; n times the first is exact
_LOW = _f(math.log(2.0) - 0.693359375)
_C2, _C3, _C4, _C5, _C6, _C7 = (_f(1.0 / math.factorial(n)) for n in range(2, 8))


@compiled
def _exp32(x):  # type: ignore[no-untyped-def]
    limited = min(max(x, _f(-88.0)), _f(89.0))
    n = np.floor(limited * _INVERSE + _f(0.5))
    r = (limited - n * _HIGH) - n * _LOW
    series = (((((_C7 * r + _C6) * r + _C5) * r + _C4) * r + _C3) * r + _C2) * r * r + r + _f(1.0)
    y = series * np.int32((np.int32(n) + 127) << 23).view(np.float32)
    return y if x == x else x


@compiled
def _exp64(x):  # type: ignore[no-untyped-def]
    return math.exp(x)


def exp(x: Any) -> Any:
    """Return exp(x), within 5 ulp."""
    raise NotImplementedError("only compiled loops call this")


@overload(exp, strict=False, jit_options=OPTIONS)
def _exp(x: Any) -> Any:
    return (lambda x: _exp32(x)) if x == types.float32 else (lambda x: _exp64(x))
