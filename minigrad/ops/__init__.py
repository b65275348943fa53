"""The Tensor namespace with NumPy's names: the `xp` that makes a formula differentiable.

``f(numpy, x)`` and ``f(minigrad.ops, x)`` run the same lines, the first on arrays, the second on
tensors, recorded. Only what formulas need is here; users call the PyTorch-named functions that
`minigrad` hands on.
"""

from __future__ import annotations

import sys
from typing import Any

from minigrad import backend
from minigrad.ops import index, methods, reduce, shape
from minigrad.ops.compare import (
    ceil,
    floor,
    isfinite,
    isnan,
    logical_and,
    logical_not,
    logical_or,
    sign,
)
from minigrad.ops.compare import eq as equal
from minigrad.ops.compare import ge as greater_equal
from minigrad.ops.compare import gt as greater
from minigrad.ops.compare import le as less_equal
from minigrad.ops.compare import lt as less
from minigrad.ops.compare import ne as not_equal
from minigrad.ops.create import arange, full_like, ones, ones_like, zeros, zeros_like
from minigrad.ops.elementwise import (
    abs,
    add,
    cos,
    cosh,
    erf,
    exp,
    exp2,
    expm1,
    log,
    log1p,
    log2,
    log10,
    maximum,
    minimum,
    reciprocal,
    sigmoid,
    sin,
    sinh,
    sqrt,
    square,
    tan,
    tanh,
    where,
)
from minigrad.ops.elementwise import acos as arccos
from minigrad.ops.elementwise import asin as arcsin
from minigrad.ops.elementwise import atan as arctan
from minigrad.ops.elementwise import atan2 as arctan2
from minigrad.ops.elementwise import clamp as clip
from minigrad.ops.elementwise import div as divide
from minigrad.ops.elementwise import mul as multiply
from minigrad.ops.elementwise import neg as negative
from minigrad.ops.elementwise import pow as power
from minigrad.ops.elementwise import sub as subtract
from minigrad.ops.linalg import einsum, matmul
from minigrad.ops.shape import broadcast_to, flip, moveaxis, reshape, swapaxes, tile
from minigrad.tensor import Tensor

__all__ = [
    "abs",
    "add",
    "amax",
    "amin",
    "arange",
    "arccos",
    "arcsin",
    "arctan",
    "arctan2",
    "argmax",
    "asarray",
    "broadcast_to",
    "ceil",
    "clip",
    "concatenate",
    "cos",
    "cosh",
    "divide",
    "einsum",
    "equal",
    "erf",
    "exp",
    "exp2",
    "expand_dims",
    "expm1",
    "flip",
    "floor",
    "full_like",
    "greater",
    "greater_equal",
    "isfinite",
    "isnan",
    "less",
    "less_equal",
    "log",
    "log1p",
    "log2",
    "log10",
    "logical_and",
    "logical_not",
    "logical_or",
    "matmul",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "moveaxis",
    "multiply",
    "negative",
    "not_equal",
    "ones",
    "ones_like",
    "power",
    "reciprocal",
    "reshape",
    "sigmoid",
    "sign",
    "sin",
    "sinh",
    "sqrt",
    "square",
    "squeeze",
    "stack",
    "subtract",
    "sum",
    "swapaxes",
    "take_along_axis",
    "tan",
    "tanh",
    "tile",
    "transpose",
    "where",
    "zeros",
    "zeros_like",
]

Axis = int | tuple[int, ...] | None


def sum(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Sum over `axis` (numpy.sum)."""
    return reduce.sum(x, axis, keepdims)


def mean(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Mean over `axis` (numpy.mean)."""
    return reduce.mean(x, axis, keepdims)


def max(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Maximum over `axis` (numpy.max); ties share the gradient."""
    return reduce.amax(x, () if axis is None else axis, keepdims)


def min(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Minimum over `axis` (numpy.min); ties share the gradient."""
    return reduce.amin(x, () if axis is None else axis, keepdims)


amax, amin = max, min


def argmax(x: Tensor, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Index of the maximum over `axis` (numpy.argmax)."""
    return reduce.argmax(x, axis, keepdims)


def transpose(x: Tensor, axes: tuple[int, ...] | None = None) -> Tensor:
    """Permute all axes, reversed by default (numpy.transpose)."""
    return shape.permute(x, tuple(reversed(range(x.ndim))) if axes is None else axes)


def expand_dims(x: Tensor, axis: int) -> Tensor:
    """Insert an axis of length 1 (numpy.expand_dims)."""
    return shape.unsqueeze(x, axis)


def squeeze(x: Tensor, axis: Axis = None) -> Tensor:
    """Drop axes of length 1 (numpy.squeeze)."""
    return shape.squeeze(x) if axis is None else shape.squeeze(x, axis)


def concatenate(tensors: Any, axis: int = 0) -> Tensor:
    """Join along an axis (numpy.concatenate)."""
    return shape.cat(tensors, axis)


def stack(tensors: Any, axis: int = 0) -> Tensor:
    """Join along a new axis (numpy.stack)."""
    return shape.stack(tensors, axis)


def take_along_axis(x: Tensor, indices: Tensor, axis: int) -> Tensor:
    """Pick by an index array along an axis (numpy.take_along_axis)."""
    return index.take_along_dim(x, indices, axis)


def asarray(x: Any, dtype: Any = None) -> Tensor:
    """Return `x` as a Tensor (numpy.asarray)."""
    result = x if isinstance(x, Tensor) else Tensor(x)
    return result if dtype is None else result.astype(dtype)


methods.bind()
backend.register(Tensor, sys.modules[__name__])
