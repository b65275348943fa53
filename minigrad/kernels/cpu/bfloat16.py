"""bfloat16 in memory, float32 in arithmetic.

A bfloat16 is the upper half of a float32, so reading one is a shift, and writing one rounds the
lower half away, to the nearest, ties to even. Numba does not know the type: loops get such arrays
as two-byte integers, widen what they read and narrow what they write. For all other arrays these
functions do nothing, and a loop that uses them is one for every element type.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from minigrad.kernels.cpu.compile import OPTIONS, compiled

__all__ = ["bits", "is_bfloat16", "number", "put", "widen", "working_type"]

Array = Any


def is_bfloat16(dtype: np.dtype[Any]) -> bool:
    """Return True for the type of `ml_dtypes`."""
    return dtype.kind == "V" and dtype.name == "bfloat16"


def working_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type in which a loop computes with elements of `dtype`."""
    return np.dtype(np.float32) if is_bfloat16(dtype) else dtype


def bits(x: Array) -> Array:
    """Return x as loops take it: bfloat16 as integers on the same memory."""
    return x.view(np.uint16) if is_bfloat16(x.dtype) else x


@compiled
def _widen(x):  # type: ignore[no-untyped-def]
    return np.uint32(np.uint32(x) << 16).view(np.float32)


@compiled
def _narrow(x):  # type: ignore[no-untyped-def]
    u = np.float32(x).view(np.uint32)
    rounded = np.uint32(u + np.uint32(0x7FFF) + (np.uint32(u >> 16) & np.uint32(1)))
    if x != x:  # adding could make an infinity of it
        rounded = np.uint32(u | np.uint32(0x400000))
    return np.uint16(rounded >> np.uint32(16))


def widen(x: Any) -> Any:
    """Return an element as a number to compute with."""
    raise NotImplementedError("only compiled loops call this")


@overload(widen, strict=False, jit_options=OPTIONS)
def _widen_any(x: Any) -> Any:
    return (lambda x: _widen(x)) if x == types.uint16 else (lambda x: x)


def number(x: Array, value: Any) -> Any:
    """Return a number in the type in which a loop computes with elements of x."""
    raise NotImplementedError("only compiled loops call this")


@overload(number, strict=False, jit_options=OPTIONS)
def _number(x: Any, value: Any) -> Any:
    narrow = x.dtype == types.uint16
    return (lambda x, value: np.float32(value)) if narrow else lambda x, value: x.dtype.type(value)


def put(y: Array, i: int, value: Any) -> None:
    """``y[i] = value``."""
    raise NotImplementedError("only compiled loops call this")


@overload(put, strict=False, jit_options=OPTIONS)
def _put(y: Any, i: Any, value: Any) -> Any:
    def narrowed(y, i, value):  # type: ignore[no-untyped-def]
        y[i] = _narrow(value)

    def plain(y, i, value):  # type: ignore[no-untyped-def]
        y[i] = value

    return narrowed if y.dtype == types.uint16 else plain
