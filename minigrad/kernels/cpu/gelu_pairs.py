"""GELU of what is multiplied as pairs of bfloat16 next: exact to their rounding, and no further.

    gelu(x) = x * (1 / 2 + c * P(c ** 2)),    c = x between -4 and 4

Outside, the bracket is 1 or 0; inside, the result is within 1.4e-4 of GELU's. A bfloat16 of the
size of 1 is within 2e-3.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import intrinsic, overload

from minigrad.kernels.cpu.arrays import Array
from minigrad.kernels.cpu.compile import OPTIONS, compiled
from minigrad.kernels.cpu.gemm import Matrix
from minigrad.kernels.cpu.mlp_steps import activated
from minigrad.kernels.cpu.pairs import store_pairs
from minigrad.kernels.cpu.simd import Vectors, pointers

__all__ = ["activated_operand"]

Value = Any

LIMIT = 4.0
# Of degree 7 in c ** 2, by iteratively reweighted least squares, with P(16) = 1 / 8.
P = (
    0.3981941044330597, -0.06507611274719238, 0.009046177379786968, -0.0008844206458888948,
    5.7616623962530866e-05, -2.3261077330971602e-06, 5.1145747193004354e-08,
    -4.4761760964462383e-10,
)  # fmt: skip


def _gelu(v: Vectors, x: Value) -> Value:
    build = v.builder
    number = v.constant
    least, most = number(-LIMIT), number(LIMIT)
    c = build.select(build.fcmp_ordered("<", x, most), x, most)
    c = build.select(build.fcmp_ordered(">", c, least), c, least)
    square, value = build.fmul(c, c), number(P[-1])
    for coefficient in reversed(P[:-1]):
        value = v.multiply_add(value, square, number(coefficient))
    return build.fmul(x, v.multiply_add(c, value, number(0.5)))


@intrinsic
def _gelu_row(typing: Any, y: Any, x: Any, bias: Any, width: Any) -> Any:
    """Write ``gelu(x + bias)`` as pairs; y may begin where x does. All are array, start."""

    def write(context: Any, builder: Any, signature: Any, arguments: Any) -> Value:
        v = Vectors(builder, types.float32)
        to, x, bias, width = pointers(context, builder, signature, arguments)

        def values(at: Value, mask: Value) -> Value:
            return _gelu(v, builder.fadd(v.load(v.at(x, at), mask), v.load(v.at(bias, at), mask)))

        store_pairs(v, to, width, values)
        return context.get_dummy_value()

    return types.void(y, x, bias, types.intp), write


@compiled
def _gelu_columns(h, count, bias):  # type: ignore[no-untyped-def]
    """Turn rows into pairs of ``gelu(h + bias)``, each where it begins."""
    to = h.data.view(np.int32)
    for i in range(count):
        at = h.start + i * h.row
        _gelu_row((to, at), (h.data, at), (bias, 0), bias.size)
    return Matrix(to, h.start, h.row)


def activated_operand(
    z: Matrix, h: Matrix, count: int, bias: Array, apart: bool, b: Array
) -> Matrix:
    """Return ``gelu(h + bias)`` as it is multiplied with a matrix in array b: see `activated`."""
    raise NotImplementedError("only compiled loops call this")


@overload(activated_operand, strict=False, jit_options=OPTIONS)
def _activated_operand(z: Any, h: Any, count: Any, bias: Any, apart: Any, b: Any) -> Any:
    def paired(z, h, count, bias, apart, b):  # type: ignore[no-untyped-def]
        return _gelu_columns(h, count, bias)

    def plain(z, h, count, bias, apart, b):  # type: ignore[no-untyped-def]
        return activated(z, h, count, bias, apart)

    return paired if b.dtype == types.int32 else plain
