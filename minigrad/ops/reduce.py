"""Reductions: sums, means, extremes, norms, running sums.

`dim` is an int, several, or None for all axes. Half-precision values are summed in float32.
"""

from __future__ import annotations

import builtins
import math
from typing import Any, ClassVar, NamedTuple

import numpy as np

from minigrad import dtypes
from minigrad.autograd.node import Function
from minigrad.backend import anywhere, get_xp, quietly
from minigrad.errors import OptionError, ShapeError
from minigrad.kernels.small import total
from minigrad.modes import state
from minigrad.ops.arguments import (
    Dim,
    check_dim,
    check_dims,
    check_floating,
    check_tensor,
    constant,
)
from minigrad.ops.compare import Rounding
from minigrad.ops.declare import operation
from minigrad.ops.operands import cast, floating, rounded_once
from minigrad.ops.precision import FLOAT32, obey
from minigrad.tensor import Tensor

Dims = tuple[int, ...]


class ValuesIndices(NamedTuple):
    """What `max`, `sort` and their like return along a dimension."""

    values: Tensor
    indices: Tensor


# ---- what the formulas share ----------------------------------------------------------------


def keep(shape: tuple[int, ...], dims: Dims) -> tuple[int, ...]:
    """Return the shape of a reduction that keeps its axes with length 1."""
    return tuple([1 if i in dims else n for i, n in enumerate(shape)])


def spread(g: Any, shape: tuple[int, ...], dims: Dims) -> Any:
    """Repeat `g` along the reduced axes: the adjoint of a sum."""
    return get_xp(g).broadcast_to(g.reshape(keep(shape, dims)), shape)


def count(shape: tuple[int, ...], dims: Dims) -> int:
    """Return how many elements meet in one result."""
    return math.prod([shape[i] for i in dims])


def accumulator(dtype: dtypes.DType) -> dtypes.DType:
    """Return the type in which values are added up."""
    if not dtypes.is_floating(dtype):
        return dtypes.int64
    return dtypes.float32 if dtype.itemsize == 2 else dtype


def reciprocal_or_zero(x: Any) -> Any:
    """Return ``1 / x``, and 0 where x is 0: the derivative that norms get at their corner."""
    xp = get_xp(x)
    return xp.where(x == 0, 0.0, 1.0 / xp.where(x == 0, 1.0, x))


# ---- sums -----------------------------------------------------------------------------------


class Sum(Function):
    """Sum over `dims`."""

    fresh = False

    def __init__(self, dims: Dims, keepdim: bool) -> None:
        self.dims, self.keepdim = dims, keepdim

    def forward(self, x: Any) -> Any:
        self.shape = x.shape
        out = total(x, self.dims, accumulator(x.dtype), self.keepdim)
        same = out.dtype == x.dtype or not dtypes.is_floating(x.dtype)
        return out if same else out.astype(x.dtype)

    def backward(self, g: Any) -> Any:
        return spread(g, self.shape, self.dims)


class Mean(Function):
    """Mean over `dims`; NaN where there is nothing to average."""

    fresh = False

    def __init__(self, dims: Dims, keepdim: bool) -> None:
        self.dims, self.keepdim = dims, keepdim

    def forward(self, x: Any) -> Any:
        self.shape = x.shape
        self.count = count(x.shape, self.dims)
        total = x.sum(self.dims, dtype=accumulator(x.dtype), keepdims=self.keepdim)
        return (total / self.count if self.count else total + math.nan).astype(x.dtype, copy=False)

    def backward(self, g: Any) -> Any:
        return spread(g / builtins.max(self.count, 1), self.shape, self.dims)


class Var(Function):
    """Mean squared distance to the mean, over ``count - correction`` degrees of freedom."""

    several_steps = True
    saves = (0,)

    def __init__(self, dims: Dims, correction: float, keepdim: bool) -> None:
        self.dims, self.correction, self.keepdim = dims, correction, keepdim

    def scale(self, shape: tuple[int, ...]) -> float:
        """Return one over the degrees of freedom."""
        freedom = count(shape, self.dims) - self.correction
        return 1.0 / freedom if freedom > 0 else math.inf

    @quietly
    def forward(self, x: Any) -> Any:
        return self.wide(x).astype(x.dtype, copy=False)

    def wide(self, x: Any) -> Any:
        """Return the variance in double precision, as PyTorch takes it on a CPU."""
        x = x.astype(np.float64, copy=False)
        centred: Any = Centre(self.dims)(x)  # an array: arrays in, array out
        total = (centred * centred).sum(self.dims, keepdims=self.keepdim)
        # no freedom and no distance: 0 * inf is NaN
        return total * self.scale(x.shape)

    @quietly
    def backward(self, g: Any, x: Any) -> Any:
        return spread(g, x.shape, self.dims) * (Centre(self.dims)(x) * (2.0 * self.scale(x.shape)))


class Std(Var):
    """Square root of `Var`; its derivative is 0 where all values are equal."""

    saves_output = True

    def forward(self, x: Any) -> Any:
        return get_xp(x).sqrt(self.wide(x)).astype(x.dtype, copy=False)

    def backward(self, g: Any, x: Any, out: Any) -> Any:  # type: ignore[override]
        return super().backward(g * (0.5 * reciprocal_or_zero(out)), x)


class Centre(Function):
    """Distance to the mean over `dims`: linear, and its own adjoint."""

    def __init__(self, dims: Dims) -> None:
        self.dims = dims

    def forward(self, x: Any) -> Any:
        return x - Mean(self.dims, True)(x)

    def backward(self, g: Any) -> Any:
        return Centre(self.dims)(g)


@operation(autocast=FLOAT32)
def sum(x: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Add the elements over `dim`.

    Parameters
    ----------
    x : Tensor
        Any shape and dtype.
    dim : int or tuple of int, optional
        Axes to sum over; None (default) means all.
    keepdim : bool, default False
        Keep the summed axes with length 1.
    dtype : dtype, optional
        Convert to this type first. Integers and booleans are summed in int64.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.sum(mg.tensor([[1.0, 2.0], [3.0, 4.0]]), dim=0)
    tensor([4., 6.])
    """
    x = check_tensor("sum", x)
    if dtype is None and state.autocast is not None:
        (x,) = obey("sum", x)
    if dtype is not None:
        x = cast(x, dtypes.to_dtype(dtype))
        if not dtypes.is_floating(x.dtype):
            return cast(Sum(check_dims("sum", dim, x.ndim), keepdim)(x), x.dtype)
    return Sum(check_dims("sum", dim, x.ndim), keepdim)(x)


@operation()
def mean(x: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Average the elements over `dim`; NaN over nothing.

    Raises
    ------
    DTypeError
        If `x` is not floating and no `dtype` is given.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.mean(mg.tensor([1.0, 2.0, 6.0]))
    tensor(3.)
    """
    x = check_tensor("mean", x)
    if dtype is not None:
        x = cast(x, dtypes.to_dtype(dtype))
    check_floating("mean", x)
    return Mean(check_dims("mean", dim, x.ndim), keepdim)(x)


@operation()
def var(
    x: Tensor,
    dim: Dim = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    r"""Variance over `dim`.

    .. math:: \frac{1}{\max(0,\, N - \mathrm{correction})} \sum_i (x_i - \bar x)^2

    Parameters
    ----------
    x : Tensor
        A floating tensor.
    dim : int or tuple of int, optional
        Axes to reduce; None (default) means all.
    unbiased : bool, optional
        PyTorch's older form: True is ``correction=1``, False is ``correction=0``.
    correction : float, default 1
        Subtracted from the number of elements: 1 (Bessel) estimates the variance of the population
        from a sample, 0 gives that of the values themselves.
    keepdim : bool, default False
        Keep the reduced axes with length 1.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.var(mg.tensor([1.0, 2.0, 3.0])), mg.var(mg.tensor([1.0, 3.0]), correction=0)
    (tensor(1.), tensor(1.))
    """
    x = check_tensor("var", x)
    check_floating("var", x)
    dim, correction = _corrected("var", dim, unbiased, correction)
    return Var(check_dims("var", dim, x.ndim), correction, keepdim)(x)


@operation()
def std(
    x: Tensor,
    dim: Dim = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> Tensor:
    """Return the standard deviation over `dim`, the root of `var`; its derivative is 0 at 0.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.std(mg.tensor([1.0, 2.0, 3.0]))
    tensor(1.)
    """
    x = check_tensor("std", x)
    check_floating("std", x)
    dim, correction = _corrected("std", dim, unbiased, correction)
    return Std(check_dims("std", dim, x.ndim), correction, keepdim)(x)


def _corrected(
    name: str, dim: Any, unbiased: bool | None, correction: float | None
) -> tuple[Any, float]:
    """Return the axes and the correction; PyTorch's older form says True or False instead."""
    if isinstance(dim, bool):  # x.var(False)
        dim, unbiased = None, dim
    if unbiased is None:
        return dim, 1 if correction is None else correction
    if correction is not None:
        raise OptionError(
            f"{name}: give one of unbiased={unbiased} and correction={correction}; unbiased=True "
            "is correction=1, unbiased=False is correction=0"
        )
    return dim, int(unbiased)


@operation("minigrad")
def var_mean(
    x: Tensor,
    dim: Dim = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Return `var` and `mean` over `dim`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.var_mean(mg.tensor([1.0, 2.0, 3.0]))
    (tensor(1.), tensor(2.))
    """
    dim, correction = _corrected("var_mean", dim, unbiased, correction)
    return var(x, dim, keepdim=keepdim, correction=correction), mean(x, dim, keepdim)


@operation("minigrad")
def std_mean(
    x: Tensor,
    dim: Dim = None,
    unbiased: bool | None = None,
    keepdim: bool = False,
    *,
    correction: float | None = None,
) -> tuple[Tensor, Tensor]:
    """Return `std` and `mean` over `dim`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.std_mean(mg.tensor([1.0, 2.0, 3.0]))
    (tensor(1.), tensor(2.))
    """
    dim, correction = _corrected("std_mean", dim, unbiased, correction)
    return std(x, dim, keepdim=keepdim, correction=correction), mean(x, dim, keepdim)


# ---- products -------------------------------------------------------------------------------


class Prod(Function):
    """Product over one axis; the gradient multiplies the other factors, zeros or not."""

    several_steps = True
    saves = (0,)

    def __init__(self, dim: int, keepdim: bool) -> None:
        self.dim, self.keepdim = dim, keepdim

    def forward(self, x: Any) -> Any:
        dtype = x.dtype if dtypes.is_floating(x.dtype) else dtypes.int64
        return x.prod(self.dim, dtype=dtype, keepdims=self.keepdim)

    def backward(self, g: Any, x: Any) -> Any:
        xp = get_xp(g)
        others = xp.moveaxis(_others(xp, xp.moveaxis(x, self.dim, 0)), 0, self.dim)
        return spread(g, x.shape, (self.dim,)) * others


def _others(xp: Any, x: Any) -> Any:
    """Multiply, for every element along axis 0, all the others, in O(n) without a division.

    Fold the axis in half; what element i misses is its partner times the others of their product.
    """
    n = x.shape[0]
    if n < 2:
        return xp.ones_like(x)
    half = n // 2
    a, b, rest = x[:half], x[half : 2 * half], x[2 * half :]
    outer = _others(xp, xp.concatenate([a * b, rest]))
    return xp.concatenate([outer[:half] * b, outer[:half] * a, outer[half:]])


@operation(autocast=FLOAT32)
def prod(x: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Multiply the elements along `dim`, or all of them.

    Integers and booleans are multiplied in int64. The gradient is right at zeros, to every order.

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.tensor([2.0, 0.0, 3.0], requires_grad=True)
    >>> mg.prod(x).backward()
    >>> x.grad
    tensor([0., 6., 0.])
    """
    x = check_tensor("prod", x)
    if dtype is None and state.autocast is not None:
        (x,) = obey("prod", x)
    if dtype is not None:
        x = cast(x, dtypes.to_dtype(dtype))
    if dim is None:
        out = Prod(0, False)(x.reshape((-1,)))
        return out.reshape((1,) * x.ndim) if keepdim else out
    dim = check_dim("prod", dim, x.ndim)
    return Prod(dim, keepdim)(x) if x.ndim else Prod(0, False)(x.reshape((1,)))


# ---- extremes -------------------------------------------------------------------------------


class Amax(Function):
    """Largest value over `dims`; equal largest values share the gradient.

    Where the result is NaN, PyTorch's `amax` has a gradient of NaN, but its `max` shares it among
    the NaNs (`nan_ties`).
    """

    saves = (0,)
    saves_output = True
    largest: ClassVar[bool] = True

    def __init__(self, dims: Dims, keepdim: bool, nan_ties: bool = False) -> None:
        self.dims, self.keepdim, self.nan_ties = dims, keepdim, nan_ties

    def forward(self, x: Any) -> Any:
        return (x.max if self.largest else x.min)(self.dims, keepdims=self.keepdim)

    def backward(self, g: Any, x: Any, out: Any) -> Any:
        xp = get_xp(g)
        out = out.reshape(keep(x.shape, self.dims))
        hit = x == out
        if self.nan_ties:
            hit = xp.where(out == out, hit, x != x)
        ones = xp.where(hit, xp.ones_like(x), xp.zeros_like(x))
        ties = xp.sum(ones, axis=self.dims, keepdims=True)
        return spread(g, x.shape, self.dims) * (ones / ties)


class Amin(Amax):
    """Smallest value over `dims`; equal smallest values share the gradient."""

    largest = False


class Median(Amax):
    """Middle value of all elements, the lower of two; elements equal to it share the gradient."""

    def forward(self, x: Any) -> Any:
        return median(constant(x.reshape(-1)), 0).values.array


def _nonempty(name: str, x: Tensor, dims: Dims) -> None:
    if not count(x.shape, dims):
        raise ShapeError(
            f"{name}: no value to choose from, the shape is {x.shape} and the reduced axes {dims} "
            "are empty; test x.numel() first"
        )


@operation()
def amax(x: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Largest value over `dim`; values that tie share the gradient evenly.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.amax(mg.tensor([[1.0, 5.0], [7.0, 2.0]]), dim=1)
    tensor([5., 7.])
    """
    x = check_tensor("amax", x)
    dims = check_dims("amax", dim, x.ndim)
    _nonempty("amax", x, dims)
    return Amax(dims, keepdim)(x)


@operation()
def amin(x: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Smallest value over `dim`; values that tie share the gradient evenly.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.amin(mg.tensor([[1.0, 5.0], [7.0, 2.0]]), dim=1)
    tensor([1., 2.])
    """
    x = check_tensor("amin", x)
    dims = check_dims("amin", dim, x.ndim)
    _nonempty("amin", x, dims)
    return Amin(dims, keepdim)(x)


@operation()
def argmax(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Index (int64) of the first largest value along `dim`, or in the flattened tensor.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.argmax(mg.tensor([[1.0, 5.0], [7.0, 2.0]]), dim=1)
    tensor([1, 0])
    """
    return _argument("argmax", x, dim, keepdim)


@operation()
def argmin(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Index (int64) of the first smallest value along `dim`, or in the flattened tensor.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.argmin(mg.tensor([3.0, 1.0, 2.0]))
    tensor(1)
    """
    return _argument("argmin", x, dim, keepdim)


def _argument(name: str, x: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    x = check_tensor(name, x)
    dims = check_dims(name, dim, x.ndim)
    _nonempty(name, x, dims)
    axis = dims[0] if dim is not None and x.ndim else None
    index = getattr(x.array, name)(axis)
    return constant(index.reshape(keep(x.shape, dims)) if keepdim else index)


@operation()
def max(x: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """Largest value, in one of three forms.

    Parameters
    ----------
    x : Tensor
        Any shape.
    dim : int or Tensor, optional
        None (default): the largest of all elements, whose gradient ties share evenly. An int: the
        largest along that axis and its index; the gradient goes to that index. A tensor: the
        elementwise `maximum` of the two.
    keepdim : bool, default False
        Keep the reduced axis with length 1.

    Returns
    -------
    Tensor, or ValuesIndices (values, indices) if `dim` is an int

    Examples
    --------
    >>> import minigrad as mg
    >>> values, indices = mg.max(mg.tensor([[1.0, 5.0], [7.0, 2.0]]), dim=1)
    >>> values, indices
    (tensor([5., 7.]), tensor([1, 0]))
    """
    x = check_tensor("max", x)
    if dim is None:
        _nonempty("max", x, tuple(range(x.ndim)))
        return Amax(tuple(range(x.ndim)), keepdim, nan_ties=True)(x)
    if isinstance(dim, Tensor):
        return get_xp(x).maximum(x, dim)
    return _chosen("max", x, check_dim("max", dim, x.ndim), keepdim)


@operation()
def min(x: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """Smallest value, in the three forms of `max`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.min(mg.tensor([3.0, 1.0, 2.0]))
    tensor(1.)
    """
    x = check_tensor("min", x)
    if dim is None:
        _nonempty("min", x, tuple(range(x.ndim)))
        return Amin(tuple(range(x.ndim)), keepdim, nan_ties=True)(x)
    if isinstance(dim, Tensor):
        return get_xp(x).minimum(x, dim)
    return _chosen("min", x, check_dim("min", dim, x.ndim), keepdim)


def _chosen(name: str, x: Tensor, dim: int, keepdim: bool) -> ValuesIndices:
    """Return the extreme along `dim` and where it is."""
    return select(x, _argument(f"arg{name}", x, dim, True), dim, keepdim)


def select(x: Tensor, index: Tensor, dim: int, keepdim: bool) -> ValuesIndices:
    """Take the values at `index` (whose axis `dim` has length 1)."""
    if not x.ndim:
        return ValuesIndices(x.reshape(()), index)
    values = get_xp(x).take_along_axis(x, index, axis=dim)
    if not keepdim:
        shape = x.shape[:dim] + x.shape[dim + 1 :]
        values, index = values.reshape(shape), index.reshape(shape)
    return ValuesIndices(values, index)


@operation()
def median(x: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """Middle value (the lower of two) of all elements, or with its index along `dim`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.median(mg.tensor([4.0, 1.0, 3.0, 2.0]))
    tensor(2.)
    """
    x = check_tensor("median", x)
    if dim is None:
        _nonempty("median", x, tuple(range(x.ndim)))
        return Median(tuple(range(x.ndim)), False, nan_ties=True)(x)
    dim = check_dim("median", dim, x.ndim)
    _nonempty("median", x, (dim,) if x.ndim else ())
    if not x.ndim:
        return select(x, constant(get_xp(x.array).zeros((), dtypes.int64)), dim, keepdim)
    xp, n = get_xp(x.array), x.shape[dim]
    order = xp.argsort(x.array, dim, kind="stable")
    nans = (x.array != x.array).sum(dim, keepdims=True)  # they sort last; the first is the answer
    place = xp.where(nans > 0, n - nans, (n - 1) // 2)
    return select(x, constant(xp.take_along_axis(order, place, dim)), dim, keepdim)


# ---- norms ----------------------------------------------------------------------------------


class Norm(Function):
    r"""The p-norm :math:`(\sum |x_i|^p)^{1/p}`; its derivative is 0 where the norm is 0."""

    several_steps = True
    saves = (0,)
    saves_output = True

    def __init__(self, p: float, dims: Dims, keepdim: bool) -> None:
        self.p, self.dims, self.keepdim = p, dims, keepdim

    @quietly
    def forward(self, x: Any) -> Any:
        total = self.powers(x).sum(self.dims, keepdims=self.keepdim)
        out = total ** (1.0 / self.p)
        if x.size and anywhere(lambda t: ~((t > 1e-30) & (t < math.inf)), total):
            return self.scaled(x)
        return out

    def powers(self, x: Any) -> Any:
        return x * x if self.p == 2 else abs(x) ** self.p

    def scaled(self, x: Any) -> Any:
        """Return the norm in units of the element that decides: no power leaves the range."""
        unit = (abs(x).max if self.p > 0 else abs(x).min)(self.dims, keepdims=True)
        unit = np.where((unit > 0) & (unit < math.inf), unit, 1).astype(x.dtype)
        total = self.powers(x / unit).sum(self.dims, keepdims=True)
        out = unit * total ** (1.0 / self.p)
        return out if self.keepdim else out.squeeze(self.dims)

    @quietly
    def backward(self, g: Any, x: Any, out: Any) -> Any:
        xp = get_xp(g)
        zero = out == 0
        direction = x / spread(xp.where(zero, 1.0, out), x.shape, self.dims)
        if self.p != 2:  # |x / norm|^(p-1) with the sign of x; 0 at 0, not an infinite power
            # a finite part of an infinite norm
            power = xp.where(x == 0, 1.0, abs(direction)) ** (self.p - 1.0)
            direction = xp.where(x == 0, direction, xp.where(x < 0, -power, power))
        direction = xp.where(spread(zero, x.shape, self.dims), 0.0, direction)
        return spread(g, x.shape, self.dims) * direction


@operation(autocast=FLOAT32)
def norm(
    x: Tensor, p: float | str = "fro", dim: Dim = None, keepdim: bool = False, dtype: Any = None
) -> Tensor:
    r"""Vector norm over `dim`: :math:`(\sum |x_i|^p)^{1/p}`.

    Parameters
    ----------
    x : Tensor
        A floating tensor.
    p : float or "fro", default "fro"
        The order; "fro" is 2. ``inf`` and ``-inf`` are the largest and the smallest absolute
        value, 0 counts the elements that are not 0.
    dim : int or tuple of int, optional
        Axes to reduce; None (default) means all.
    keepdim : bool, default False
        Keep the reduced axes with length 1.
    dtype : dtype, optional
        Convert to this type first.

    Returns
    -------
    Tensor
        Where the norm is 0 so is its derivative; with p < 0 that is where any element is 0.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.norm(mg.tensor([3.0, -4.0])), mg.norm(mg.tensor([3.0, -4.0]), p=1)
    (tensor(5.), tensor(7.))
    """
    x = check_tensor("norm", x)
    if dtype is None and state.autocast is not None:
        (x,) = obey("norm", x)
    if dtype is not None:
        x = cast(x, dtypes.to_dtype(dtype))
    check_floating("norm", x)
    dims = check_dims("norm", dim, x.ndim)
    if p == "fro":
        p = 2.0
    if isinstance(p, str):
        raise OptionError(f"norm: p is a number, inf or 'fro', not {p!r}")
    xp = get_xp(x)
    if p == 0:
        ones = Rounding(lambda xp, a: (a != 0).astype(a.dtype), "norm")(x)
        return Sum(dims, keepdim)(ones)
    if p == 1:
        return Sum(dims, keepdim)(xp.abs(x))
    if math.isinf(p):
        _nonempty("norm", x, dims)
        return (Amax if p > 0 else Amin)(dims, keepdim, nan_ties=True)(xp.abs(x))
    if p < 0:
        _nonempty("norm", x, dims)
    return Norm(float(p), dims, keepdim)(x)


class LogSumExp(Function):
    """``log(sum(exp(x)))``, shifted by the largest value so that nothing overflows."""

    several_steps = True
    name = "logsumexp"
    saves = (0,)
    saves_output = True

    def __init__(self, dims: Dims, keepdim: bool) -> None:
        self.dims, self.keepdim = dims, keepdim

    @quietly
    def forward(self, x: Any) -> Any:
        xp = get_xp(x)
        if not x.size:
            return xp.full_like(x.sum(self.dims, keepdims=self.keepdim), -math.inf)
        peak = x.max(self.dims, keepdims=True)
        peak = xp.where(xp.isfinite(peak), peak, 0.0)
        total = xp.exp(x - peak).sum(self.dims, dtype=accumulator(x.dtype), keepdims=True)
        # log(0) is -inf, as it should be
        out = (xp.log(total) + peak).astype(x.dtype, copy=False)
        return out if self.keepdim else out.squeeze(self.dims)

    def backward(self, g: Any, x: Any, out: Any) -> Any:
        xp = get_xp(g)
        shift = xp.where(out == -math.inf, 0.0, out)  # the softmax of nothing is 0, not NaN
        return spread(g, x.shape, self.dims) * xp.exp(x - spread(shift, x.shape, self.dims))


@operation()
def logsumexp(x: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    r"""Return :math:`\log \sum \exp x` over `dim`, without overflow.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.logsumexp(mg.tensor([100.0, 100.0], dtype=mg.float64), dim=0)
    tensor(100.6931, dtype=float64)
    """
    x = floating(check_tensor("logsumexp", x))
    return LogSumExp(check_dims("logsumexp", dim, x.ndim), keepdim)(x)


# ---- truth and counts -----------------------------------------------------------------------


@operation()
def any(x: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Return True where some element over `dim` is not zero.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.any(mg.tensor([[0, 1], [0, 0]]), dim=1)
    tensor([ True, False])
    """
    x = check_tensor("any", x)
    return constant((x.array != 0).any(check_dims("any", dim, x.ndim), keepdims=keepdim))


@operation()
def all(x: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Return True where every element over `dim` is not zero.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.all(mg.tensor([[1, 1], [0, 1]]), dim=1)
    tensor([ True, False])
    """
    x = check_tensor("all", x)
    return constant((x.array != 0).all(check_dims("all", dim, x.ndim), keepdims=keepdim))


@operation()
def count_nonzero(x: Tensor, dim: Dim = None) -> Tensor:
    """Count the elements over `dim` that are not zero.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.count_nonzero(mg.tensor([0.0, 2.0, 3.0]))
    tensor(2)
    """
    x = check_tensor("count_nonzero", x)
    dims = check_dims("count_nonzero", dim, x.ndim)
    return constant((x.array != 0).sum(dims, dtype=dtypes.int64))


# ---- running sums and products --------------------------------------------------------------


class CumSum(Function):
    """Running sum along `dim`; the adjoint runs from the other end."""

    name = "cumsum"

    def __init__(self, dim: int, backwards: bool = False) -> None:
        self.dim, self.backwards = dim, backwards

    def forward(self, x: Any) -> Any:
        if not x.ndim:
            return x.copy()
        turn = (slice(None),) * self.dim + (slice(None, None, -1),) if self.backwards else ...
        wide = accumulator(x.dtype)
        out = x[turn].cumsum(self.dim, dtype=wide)[turn]
        return out.astype(x.dtype) if dtypes.is_floating(x.dtype) and wide != x.dtype else out

    def backward(self, g: Any) -> Any:
        return CumSum(self.dim, not self.backwards)(g)


@operation(autocast=FLOAT32)
def cumsum(x: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Add up along `dim`, keeping every partial sum; integers and booleans are summed in int64.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.cumsum(mg.tensor([1.0, 2.0, 3.0]), dim=0)
    tensor([1., 3., 6.])
    """
    x = check_tensor("cumsum", x)
    if dtype is None and state.autocast is not None:
        (x,) = obey("cumsum", x)
    x = cast(x, accumulator_or(x, dtype))
    return CumSum(check_dim("cumsum", dim, x.ndim))(x)


def accumulator_or(x: Tensor, dtype: Any) -> dtypes.DType:
    """Return `dtype` if given, else int64 for integers and booleans and their own for floats."""
    if dtype is not None:
        return dtypes.to_dtype(dtype)
    return x.dtype if dtypes.is_floating(x.dtype) else dtypes.int64


@operation(autocast=FLOAT32)
def cumprod(x: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
    """Multiply along `dim`, keeping every partial product; the gradient is right at zeros.

    Every round multiplies each product with the one that ends where it begins, so log2(n)
    rounds of ordinary multiplications do (Hillis and Steele, 1986).

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.cumprod(mg.tensor([1.0, 2.0, 3.0]), dim=0)
    tensor([1., 2., 6.])
    """
    x = check_tensor("cumprod", x)
    if dtype is None and state.autocast is not None:
        (x,) = obey("cumprod", x)
    dim = check_dim("cumprod", dim, x.ndim)
    return rounded_once(lambda x: _cumprod(x, dim), cast(x, accumulator_or(x, dtype)))


def _cumprod(x: Tensor, dim: int) -> Tensor:
    xp, front, step = get_xp(x), (slice(None),) * dim, 1
    out = x
    while x.ndim and step < x.shape[dim]:
        head, tail = out[(*front, slice(step))], out[(*front, slice(step, None))]
        out = xp.concatenate([head, tail * out[(*front, slice(-step))]], axis=dim)
        step *= 2
    return xp.multiply(x, 1) if out is x else out
