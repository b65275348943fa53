"""Tensors from nothing: constants, ranges and copies in shape."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from minigrad import backend, dtypes
from minigrad.construct import tensor
from minigrad.errors import DTypeError, OptionError, ShapeError
from minigrad.ops.declare import operation
from minigrad.tensor import Tensor


def check_size(name: str, size: tuple[Any, ...]) -> tuple[int, ...]:
    """Read a size given as ``f(2, 3)`` or ``f((2, 3))`` and refuse anything but lengths ≥ 0."""
    if len(size) == 1 and isinstance(size[0], (tuple, list)):
        size = tuple(size[0])
    try:
        lengths = tuple(operator.index(n) for n in size)
    except TypeError:
        raise DTypeError(f"{name}: a size is a sequence of integers, not {size}") from None
    if any(n < 0 for n in lengths):
        raise ShapeError(f"{name}: a size has no negative length, got {lengths}")
    return lengths


def _filled(
    name: str, size: tuple[Any, ...], value: Any, dtype: Any, device: Any, requires_grad: bool
) -> Tensor:
    xp = backend.namespace(device)
    lengths = check_size(name, size)
    value = tensor(value).item() if not isinstance(value, (bool, int, float)) else value
    dtype = dtypes.result_type(value) if dtype is None else dtypes.to_dtype(dtype)
    dtypes.check_fits(name, value, dtype)
    with backend.guard(device):
        return Tensor(xp.full(lengths, value, dtype=dtype), requires_grad)


@operation("minigrad numpy")
def zeros(
    *size: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """Return a tensor of zeros.

    Parameters
    ----------
    *size : int
        Lengths of the axes, as ``zeros(2, 3)`` or ``zeros((2, 3))``.
    dtype : dtype or str, optional
        Default: the default dtype, float32.
    device : str, optional
        ``"cpu"`` (default) or ``"cuda[:i]"``.
    requires_grad : bool, default False
        Record operations on the tensor.

    Raises
    ------
    ShapeError
        If a length is negative.

    Examples
    --------
    >>> zeros(2, 3).shape
    (2, 3)
    """
    return _filled("zeros", size, 0.0, dtype, device, requires_grad)


@operation("minigrad numpy")
def ones(
    *size: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """Return a tensor of ones; see `zeros`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.ones(3)
    tensor([1., 1., 1.])
    """
    return _filled("ones", size, 1.0, dtype, device, requires_grad)


@operation("minigrad")
def empty(
    *size: Any, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """Return a tensor whose values are arbitrary; see `zeros`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.empty(2, 3).shape
    (2, 3)
    """
    xp = backend.namespace(device)
    chosen = dtypes.default_dtype[0] if dtype is None else dtypes.to_dtype(dtype)
    with backend.guard(device):
        return Tensor(xp.empty(check_size("empty", size), dtype=chosen), requires_grad)


@operation("minigrad")
def full(
    size: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return a tensor filled with `fill_value`, whose type decides the dtype; see `zeros`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.full((2, 2), 7)
    tensor([[7, 7],
            [7, 7]])
    """
    size = size if isinstance(size, (tuple, list)) else (size,)
    return _filled("full", tuple(size), fill_value, dtype, device, requires_grad)


def _like(x: Tensor, value: Any, dtype: Any, device: Any, requires_grad: bool) -> Tensor:
    return _filled("full_like", x.shape, value, dtype or x.dtype, device or x.device, requires_grad)


@operation("minigrad numpy")
def zeros_like(
    x: Tensor, *, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """Return zeros of the shape, dtype and device of `x`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.zeros_like(mg.tensor([1, 2]))
    tensor([0, 0])
    """
    return _like(x, 0, dtype, device, requires_grad)


@operation("minigrad numpy")
def ones_like(
    x: Tensor, *, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """Return ones of the shape, dtype and device of `x`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.ones_like(mg.zeros(2))
    tensor([1., 1.])
    """
    return _like(x, 1, dtype, device, requires_grad)


@operation("minigrad")
def empty_like(
    x: Tensor, *, dtype: Any = None, device: str | None = None, requires_grad: bool = False
) -> Tensor:
    """Return arbitrary values of the shape, dtype and device of `x`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.empty_like(mg.zeros(2, dtype=mg.int64)).dtype
    dtype('int64')
    """
    return empty(
        x.shape, dtype=dtype or x.dtype, device=device or x.device, requires_grad=requires_grad
    )


@operation("minigrad numpy")
def full_like(
    x: Tensor,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return `fill_value` in the shape, dtype and device of `x`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.full_like(mg.zeros(2), 0.5)
    tensor([0.5, 0.5])
    """
    return _like(x, fill_value, dtype, device, requires_grad)


@operation("minigrad numpy")
def arange(
    start: Any,
    end: Any = None,
    step: Any = 1,
    *,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return the numbers from `start` (default 0) up to, not including, `end`.

    Raises
    ------
    OptionError
        If `step` is zero or leads away from `end`, or a limit is infinite or NaN.
    DTypeError
        If `dtype` cannot hold the numbers.

    Examples
    --------
    >>> arange(4), arange(0.0, 1.0, 0.25)
    (tensor([0, 1, 2, 3]), tensor([0.  , 0.25, 0.5 , 0.75]))
    """
    if end is None:
        start, end = 0, start
    for number in (start, end, step):
        dtypes.check_operand("arange", number, dtypes.float64)
    if step == 0 or not (end - start) * step >= 0 or math.isinf(end - start):
        raise OptionError(f"arange: a step of {step} never leads from {start} to {end}")
    dtype = dtypes.result_type(start, end, step) if dtype is None else dtypes.to_dtype(dtype)
    whole = all(isinstance(number, (int, np.integer)) for number in (start, end, step))
    count = int(-((start - end) // step)) if whole else math.ceil((end - start) / step)
    for number in (start, start + (count - 1) * step) if count else ():
        dtypes.check_fits("arange", number, dtype)
    xp = backend.namespace(device)
    with backend.guard(device):
        array = xp.arange(count) * (step if count > 1 else 0) + start
        return Tensor(array.astype(dtype), requires_grad)


@operation("minigrad")
def linspace(
    start: float,
    end: float,
    steps: int,
    *,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return `steps` evenly spaced numbers from `start` to `end`, both included.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.linspace(0, 1, 5)
    tensor([0.  , 0.25, 0.5 , 0.75, 1.  ])
    """
    if steps < 0:
        raise ShapeError(f"linspace: the number of steps cannot be negative, got {steps}")
    xp = backend.namespace(device)
    dtype = dtypes.default_dtype[0] if dtype is None else dtypes.to_dtype(dtype)
    dtypes.check_fits("linspace", start, dtype)
    dtypes.check_fits("linspace", end, dtype)
    with backend.guard(device):
        return Tensor(xp.linspace(start, end, steps).astype(dtype), requires_grad)


@operation("minigrad")
def eye(
    n: int,
    m: int | None = None,
    *,
    dtype: Any = None,
    device: str | None = None,
    requires_grad: bool = False,
) -> Tensor:
    """Return an (n, m) matrix with ones on the diagonal; `m` defaults to `n`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    check_size("eye", (n, n if m is None else m))
    xp = backend.namespace(device)
    dtype = dtypes.default_dtype[0] if dtype is None else dtypes.to_dtype(dtype)
    with backend.guard(device):
        return Tensor(xp.eye(n, m, dtype=dtype), requires_grad)
