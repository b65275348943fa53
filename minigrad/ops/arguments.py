"""Checks of arguments that many operations share: tensors, axes, sizes.

Everything is checked before anything is computed, and the message names the operation.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from operator import index as as_int
from typing import Any

import numpy as np

from minigrad import dtypes
from minigrad.construct import tensor
from minigrad.errors import DTypeError, RangeError, ShapeError
from minigrad.tensor import Tensor, wrap

Dim = int | Sequence[int] | None


def check_tensor(name: str, x: Any) -> Tensor:
    """Return `x` as a tensor; refuse what is neither a tensor, an array nor a number."""
    if isinstance(x, Tensor):
        return x
    if hasattr(x, "dtype"):
        return Tensor(x)
    if isinstance(x, (bool, int, float)):
        return tensor(x)
    raise DTypeError(f"{name}: expected a Tensor, not {type(x).__name__}; wrap it: mg.tensor(…)")


def check_tensors(name: str, tensors: Any) -> list[Tensor]:
    """Return a non-empty sequence of tensors as a list."""
    if isinstance(tensors, Tensor) or not isinstance(tensors, Sequence):
        kind = type(tensors).__name__
        raise DTypeError(f"{name}: expected a list or tuple of tensors, not {kind}")
    if not tensors:
        raise ShapeError(f"{name}: the list of tensors is empty; at least one is needed")
    return [check_tensor(name, x) for x in tensors]


def check_floating(name: str, x: Tensor) -> None:
    """Refuse integers and booleans where the result cannot be one."""
    if not dtypes.is_floating(x.dtype):
        raise DTypeError(
            f"{name}: needs a floating tensor, this one is {x.dtype}; convert it: x.float()"
        )


def check_same_dtype(name: str, *tensors: Tensor) -> None:
    """Refuse operands of different types where PyTorch does."""
    found = {t.dtype for t in tensors}
    if len(found) > 1:
        names = " and ".join(str(t.dtype) for t in tensors)
        raise DTypeError(f"{name}: the operands are {names}; convert one of them: x.to(y.dtype)")


def check_dim(name: str, dim: Any, ndim: int) -> int:
    """Return `dim` counted from the front; a 0-d tensor counts as having one dimension."""
    try:
        axis = as_int(dim)
    except TypeError:
        raise DTypeError(f"{name}: dim must be an int, not {type(dim).__name__}") from None
    reach = max(ndim, 1)
    if not -reach <= axis < reach:
        raise RangeError(
            f"{name}: dim {axis} is out of range for a tensor with {ndim} dimensions; "
            f"use {-reach} to {reach - 1}"
        )
    return axis % reach


def check_dims(name: str, dim: Dim, ndim: int) -> tuple[int, ...]:
    """Return the axes that `dim` (an int, several, or None for all) stands for."""
    if dim is None or (isinstance(dim, (tuple, list)) and not dim):
        return tuple(range(ndim))
    axes = dim if isinstance(dim, (tuple, list)) else [dim]
    found = tuple([check_dim(name, d, ndim) for d in axes])
    if len(set(found)) != len(found):
        raise ShapeError(
            f"{name}: dim {tuple(axes)} names an axis twice; name each of the {ndim} once"
        )
    return found if ndim else ()


def sizes(name: str, args: Sequence[Any]) -> tuple[int, ...]:
    """Return a shape that was given as one sequence or as several integers."""
    if len(args) == 1 and not isinstance(args[0], (int, np.integer, Tensor)):
        args = args[0]
    try:
        return tuple([as_int(n) for n in args])
    except TypeError:
        raise DTypeError(f"{name}: a shape is a sequence of ints, not {args!r}") from None


def infer_shape(
    name: str, shape: tuple[int, ...], size: int, source: tuple[int, ...]
) -> tuple[int, ...]:
    """Replace the one -1 in `shape` so that it holds `size` elements."""
    known = math.prod([n for n in shape if n != -1])
    unknown = shape.count(-1)
    if unknown > 1 or any(n < -1 for n in shape):
        raise ShapeError(f"{name}: {shape} is no shape; lengths are >= 0 and one of them may be -1")
    fits = known == size if not unknown else known and size % known == 0
    if not fits:
        raise ShapeError(
            f"{name}: shape {source} has {size} elements, which do not fill shape {shape}"
        )
    return tuple([size // known if n == -1 else n for n in shape])


def constant(value: Any) -> Tensor:
    """Wrap a computed array that has no gradient; NumPy's scalars become 0-d arrays."""
    return wrap(np.asarray(value) if isinstance(value, np.generic) else value)
