"""Matrix product over the last two axes: cuBLAS, in the type of the operands."""

from __future__ import annotations

from minigrad.kernels.cuda.arrays import Array

__all__ = ["matmul"]


def matmul(x: Array, y: Array) -> Array:
    """``x @ y``; sums of two-byte floats are taken in float32.

    CuPy multiplies matrices of two axes fast, in any floating type and in TF32 where it is allowed;
    products of more axes take a slower way, and in bfloat16 none at all: they go through float32.
    """
    if x.ndim > 2 and y.ndim == 2:  # all rows times one matrix is one product
        rows = x.reshape(-1, x.shape[-1]) @ y
        return rows.reshape(*x.shape[:-1], y.shape[1])
    if x.ndim == y.ndim == 2 or "bfloat16" not in (x.dtype.name, y.dtype.name):
        return x @ y
    return NotImplemented
