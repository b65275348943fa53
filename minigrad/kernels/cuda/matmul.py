"""Matrix product over the last two axes: cuBLAS, in the type of the operands."""

from __future__ import annotations

from minigrad.backend import get_xp
from minigrad.kernels.cuda.arrays import Array
from minigrad.kernels.reference import matmul as reference

__all__ = ["matmul"]


def matmul(x: Array, y: Array) -> Array:
    """``x @ y``; sums of two-byte floats are taken in float32.

    CuPy has no bfloat16 for more than two axes: such a product goes through float32.
    """
    if x.ndim == y.ndim == 2 or "bfloat16" not in (x.dtype.name, y.dtype.name):
        return x @ y
    return reference.matmul(get_xp(x), x, y)
