"""GELU of rows of float32 from a table in registers.

    gelu(x) = x * Phi(x),    Phi(-|x|) a polynomial of degree 5 near the next of 0, 1/4, 1/2 ... 8

Two registers of 64 bytes hold a coefficient of all 32 polynomials, and one instruction gives every
lane its own: half the arithmetic of `gelu`, with its accuracy where Phi is above 3e-5 (x > -4).
Below -7.6 it is 0, as in PyTorch's float32.
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic

from minigrad.kernels.cpu.compile import has_feature
from minigrad.kernels.cpu.simd import VECTOR_BYTES, Vectors, pointers

__all__ = ["gelu_row", "has_tables"]

Value = Any

STEPS = 4  # polynomials for a length of one
COUNT, DEGREE = 32, 5
ROUNDS = 1.5 * 2**23  # added to a number it leaves its nearest integer in the lowest bits


@functools.cache
def has_tables() -> bool:
    """Return whether this process compiles for processors that can look up in registers."""
    return VECTOR_BYTES == 64 and has_feature("avx512f")


def _table() -> Any:
    """Return the coefficients (degree + 1, count), by interpolation at Chebyshev's points."""
    angles = (np.arange(DEGREE + 1) + 0.5) * np.pi / (DEGREE + 1)
    near = np.cos(angles) / (2 * STEPS)
    centers = np.arange(COUNT) / STEPS
    tails = [[math.erfc((c + u) / math.sqrt(2)) / 2 for u in near] for c in centers]
    tails[-1] = [0.0 for _ in near]
    return np.linalg.solve(np.vander(near, increasing=True), np.transpose(tails))


TABLE = _table()


def _cdf(v: Vectors, x: Value) -> Value:
    """Return Phi of the lanes of x."""
    b = v.builder
    number = v.constant
    size = v.absolute(x)
    last = number((COUNT - 0.6) / STEPS)
    near = b.select(b.fcmp_ordered("<", size, last), size, last)
    found = v.multiply_add(near, number(STEPS), number(ROUNDS))
    center = b.fsub(found, number(ROUNDS))
    u = v.multiply_add(center, number(-1 / STEPS), near)
    tail = v.look_up(found, TABLE[-1])
    for row in TABLE[-2::-1]:
        tail = v.multiply_add(tail, u, v.look_up(found, row))
    return b.select(b.fcmp_ordered("<", x, v.zero), tail, b.fsub(number(1.0), tail))


@intrinsic
def gelu_row(typing: Any, y: Any, x: Any, bias: Any, width: Any) -> Any:
    """``y = gelu(x + bias)`` for `width` numbers; y may be x.

    All are array, start; the bias may be a number, too.
    """

    def write(context: Any, builder: Any, signature: Any, arguments: Any) -> Value:
        v = Vectors(builder, types.float32)
        y, x, bias, width = pointers(context, builder, signature, arguments)
        one = v.all(bias) if isinstance(signature.args[2], types.Float) else None

        def some(at: Value, mask: Value = None) -> None:
            more = v.load(v.at(bias, at), mask) if one is None else one
            value = builder.fadd(v.load(v.at(x, at), mask), more)
            v.store(builder.fmul(value, _cdf(v, value)), v.at(y, at), mask)

        whole = builder.sdiv(width, v.int(v.lanes))
        with v.loop(whole) as i:
            some(builder.mul(i, v.int(v.lanes)))
        at = builder.mul(whole, v.int(v.lanes))
        left = builder.sub(width, at)
        with builder.if_then(builder.icmp_signed(">", left, v.int(0))):
            some(at, v.first(left))
        return context.get_dummy_value()

    return types.void(y, x, bias, types.intp), write
