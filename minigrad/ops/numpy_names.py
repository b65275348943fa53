"""Operations whose arguments NumPy names differently: `axis` for `dim`, `keepdims` for `keepdim`.

With them the Tensor namespace `minigrad.ops` can stand where a formula says ``xp``. Only what
formulas need is here; users call the PyTorch-named functions that `minigrad` exports.
"""

from __future__ import annotations

from typing import Any

from minigrad.ops import index, reduce, shape
from minigrad.ops.declare import operation
from minigrad.tensor import Tensor

Axis = int | tuple[int, ...] | None


@operation("numpy")
def sum(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Sum over `axis` (numpy.sum)."""
    return reduce.sum(x, axis, keepdims)


@operation("numpy")
def mean(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Mean over `axis` (numpy.mean)."""
    return reduce.mean(x, axis, keepdims)


@operation("numpy", also="amax")
def max(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Maximum over `axis` (numpy.max); ties share the gradient.

    Examples
    --------
    >>> amax(np.array([1.0, 3.0]))
    Traceback (most recent call last):
        ...
    NameError: name 'amax' is not defined
    """
    return reduce.amax(x, () if axis is None else axis, keepdims)


@operation("numpy", also="amin")
def min(x: Tensor, axis: Axis = None, keepdims: bool = False) -> Tensor:
    """Minimum over `axis` (numpy.min); ties share the gradient."""
    return reduce.amin(x, () if axis is None else axis, keepdims)


@operation("numpy")
def argmax(x: Tensor, axis: int | None = None, keepdims: bool = False) -> Tensor:
    """Index of the maximum over `axis` (numpy.argmax)."""
    return reduce.argmax(x, axis, keepdims)


@operation("numpy")
def transpose(x: Tensor, axes: tuple[int, ...] | None = None) -> Tensor:
    """Permute all axes, reversed by default (numpy.transpose)."""
    return shape.permute(x, tuple(reversed(range(x.ndim))) if axes is None else axes)


@operation("numpy")
def expand_dims(x: Tensor, axis: int) -> Tensor:
    """Insert an axis of length 1 (numpy.expand_dims)."""
    return shape.unsqueeze(x, axis)


@operation("numpy")
def squeeze(x: Tensor, axis: Axis = None) -> Tensor:
    """Drop axes of length 1 (numpy.squeeze)."""
    return shape.squeeze(x) if axis is None else shape.squeeze(x, axis)


@operation("numpy")
def concatenate(tensors: Any, axis: int = 0) -> Tensor:
    """Join along an axis (numpy.concatenate)."""
    return shape.cat(tensors, axis)


@operation("numpy")
def stack(tensors: Any, axis: int = 0) -> Tensor:
    """Join along a new axis (numpy.stack)."""
    return shape.stack(tensors, axis)


@operation("numpy")
def take_along_axis(x: Tensor, indices: Tensor, axis: int) -> Tensor:
    """Pick by an index array along an axis (numpy.take_along_axis)."""
    return index.take_along_dim(x, indices, axis)


@operation("numpy")
def asarray(x: Any, dtype: Any = None) -> Tensor:
    """Return `x` as a Tensor (numpy.asarray)."""
    result = x if isinstance(x, Tensor) else Tensor(x)
    return result if dtype is None else result.astype(dtype)
