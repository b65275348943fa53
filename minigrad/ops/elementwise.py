"""Elementwise functions, differentiable to any order; the operators are in `arithmetic`.

Every operation is a `Function` whose backward is written with operators and other Functions, so
the same lines run on arrays and on tensors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad import dtypes
from minigrad.autograd.node import Function, sum_to
from minigrad.backend import get_xp, quietly
from minigrad.errors import DTypeError, OptionError
from minigrad.kernels import pick
from minigrad.modes import state
from minigrad.ops.arguments import check_tensor
from minigrad.ops.arithmetic import Add as Add
from minigrad.ops.arithmetic import Binary, check_divisible, times, unbroadcast
from minigrad.ops.declare import operation
from minigrad.ops.operands import (
    Number,
    TensorLike,
    array_of,
    cast,
    floating,
    match,
    meet,
    operand,
    rounded_once,
)
from minigrad.ops.precision import FLOAT32, obey
from minigrad.tensor import Tensor, wrap

# ---- functions of two variables -------------------------------------------------------------


class Pow(Binary):
    """``x ** y``."""

    saves = (0, 1)

    def forward(self, x: Any, y: Any) -> Any:
        return x**y

    def backward(self, g: Any, x: Any, y: Any) -> Any:
        gx = gy = None
        if self.needs[0]:
            gx = g * _power_slope(x, y)
        if self.needs[1]:
            gy = g * x**y * _log_or_zero(get_xp(g), x, y)
        return unbroadcast(self, gx, gy)


def _power_slope(x: Any, y: Any) -> Any:
    """Return ``y * x ** (y - 1)``, which is 0 (not ``0 * inf``) where y is 0."""
    xp = get_xp(x)
    if isinstance(y, (int, float)):
        return y * x ** (y - 1) if y != 0 else xp.zeros_like(x)
    return xp.where(y == 0, 0.0, y * x ** xp.where(y == 0, 1.0, y - 1.0))


def _log_or_zero(xp: Any, x: Any, y: Any) -> Any:
    """Return ``log(x)``, and 0 where ``x ** y`` is 0 or 1 whatever y is: not ``0 * log(0)``."""
    if isinstance(x, (int, float)) and x != 0:
        return math.log(x) if x > 0 else math.nan
    dead = (x == 0) & (y >= 0)
    return xp.where(dead, 0.0, xp.log(xp.where(dead, xp.ones_like(y), x)))


class Maximum(Binary):
    """The larger of two; at a tie each side receives half of the gradient."""

    saves = (0, 1)

    def forward(self, x: Any, y: Any) -> Any:
        return get_xp(x).maximum(x, y)

    def backward(self, g: Any, x: Any, y: Any) -> Any:
        return unbroadcast(self, _winner(g, x, y, x < y), _winner(g, x, y, x > y))


class Minimum(Binary):
    """The smaller of two; at a tie each side receives half of the gradient."""

    saves = (0, 1)

    def forward(self, x: Any, y: Any) -> Any:
        return get_xp(x).minimum(x, y)

    def backward(self, g: Any, x: Any, y: Any) -> Any:
        return unbroadcast(self, _winner(g, x, y, x > y), _winner(g, x, y, x < y))


def _winner(g: Any, x: Any, y: Any, lost: Any) -> Any:
    """Return 0 for the loser, half of g at a tie, else g (for NaN too, as PyTorch does)."""
    xp = get_xp(g)
    return xp.where(lost, 0.0, xp.where(x == y, g * 0.5, g))


class Atan2(Binary):
    """Angle of the point (y, x): ``atan2(x, y)`` with x the ordinate, as the arguments come.

    The derivative at the origin is 0.
    """

    saves = (0, 1)
    floating = True

    def forward(self, x: Any, y: Any) -> Any:
        return get_xp(x).arctan2(x, y)

    def backward(self, g: Any, x: Any, y: Any) -> Any:
        xp, square = get_xp(g), x * x + y * y
        scale = xp.where(square == 0, 0.0, g / xp.where(square == 0, 1.0, square))
        return unbroadcast(self, scale * y, -scale * x)


class Fmod(Binary):
    """Remainder of the division, with the sign of the dividend (C's ``fmod``)."""

    saves = (0, 1)

    def forward(self, x: Any, y: Any) -> Any:
        return get_xp(x).fmod(x, y)

    def backward(self, g: Any, x: Any, y: Any) -> Any:
        gy = None
        if self.needs[1]:
            gy = -g * get_xp(g).trunc(x / y)
        return unbroadcast(self, g, gy)


class Logaddexp(Binary):
    """``log(exp(x) + exp(y))``, without overflow."""

    saves = (0, 1)
    floating = True

    def forward(self, x: Any, y: Any) -> Any:
        return get_xp(x).logaddexp(x, y)

    def backward(self, g: Any, x: Any, y: Any) -> Any:
        return unbroadcast(self, g * Sigmoid()(x - y), g * Sigmoid()(y - x))


# ---- functions of one variable --------------------------------------------------------------


class Exp(Function):
    """``e ** x``; its derivative is itself.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.exp(mg.tensor([0.0, 1.0]))
    tensor([1.    , 2.7183])
    """

    saves_output = True

    def forward(self, x: Any) -> Any:
        return get_xp(x).exp(x)

    def backward(self, g: Any, y: Any) -> Any:
        return g * y


class Exp2(Function):
    """``2 ** x``.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.exp2(mg.tensor([0.0, 3.0]))
    tensor([1., 8.])
    """

    saves_output = True

    def forward(self, x: Any) -> Any:
        return get_xp(x).exp2(x)

    def backward(self, g: Any, y: Any) -> Any:
        return g * y * math.log(2.0)


class Expm1(Function):
    """``e ** x - 1``, accurate near 0.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.expm1(mg.tensor([0.0, 1.0]))
    tensor([0.    , 1.7183])
    """

    saves_output = True

    def forward(self, x: Any) -> Any:
        return get_xp(x).expm1(x)

    def backward(self, g: Any, y: Any) -> Any:
        return g * (y + 1.0)


class Log(Function):
    """Natural logarithm.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.log(mg.tensor([1.0, 2.0]))
    tensor([0.    , 0.6931])
    """

    saves = (0,)

    def forward(self, x: Any) -> Any:
        return get_xp(x).log(x)

    def backward(self, g: Any, x: Any) -> Any:
        return g / x


class Log2(Function):
    """Logarithm to base 2.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.log2(mg.tensor([1.0, 8.0]))
    tensor([0., 3.])
    """

    saves = (0,)

    def forward(self, x: Any) -> Any:
        return get_xp(x).log2(x)

    def backward(self, g: Any, x: Any) -> Any:
        return g / (x * math.log(2.0))


class Log10(Function):
    """Logarithm to base 10.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.log10(mg.tensor([1.0, 1000.0]))
    tensor([0., 3.])
    """

    saves = (0,)

    def forward(self, x: Any) -> Any:
        return get_xp(x).log10(x)

    def backward(self, g: Any, x: Any) -> Any:
        return g / (x * math.log(10.0))


class Log1p(Function):
    """``log(1 + x)``, accurate near 0.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.log1p(mg.tensor([0.0, 1.0]))
    tensor([0.    , 0.6931])
    """

    saves = (0,)

    def forward(self, x: Any) -> Any:
        return get_xp(x).log1p(x)

    def backward(self, g: Any, x: Any) -> Any:
        return g / (x + 1.0)


class Sqrt(Function):
    """Square root.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.sqrt(mg.tensor([4.0, 9.0]))
    tensor([2., 3.])
    """

    saves_output = True

    def forward(self, x: Any) -> Any:
        return get_xp(x).sqrt(x)

    def backward(self, g: Any, y: Any) -> Any:
        return g * 0.5 / y


class Rsqrt(Function):
    """``1 / sqrt(x)``.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.rsqrt(mg.tensor([4.0, 16.0]))
    tensor([0.5 , 0.25])
    """

    several_steps = True
    saves_output = True

    def forward(self, x: Any) -> Any:
        return 1.0 / get_xp(x).sqrt(x)

    def backward(self, g: Any, y: Any) -> Any:
        return g * -0.5 * y * y * y


class Square(Function):
    """``x * x``."""

    saves = (0,)

    def forward(self, x: Any) -> Any:
        return x * x

    def backward(self, g: Any, x: Any) -> Any:
        return g * (2.0 * x)


class Reciprocal(Function):
    """``1 / x``.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.reciprocal(mg.tensor([2.0, 4.0]))
    tensor([0.5 , 0.25])
    """

    saves_output = True

    def forward(self, x: Any) -> Any:
        return 1.0 / x

    def backward(self, g: Any, y: Any) -> Any:
        return -g * y * y


def sign_of(x: Any, dtype: dtypes.DType) -> Any:
    """Return -1, 0 or 1 as `dtype`; 0 for NaN, as PyTorch has it (NumPy's is NaN)."""
    return (x > 0).astype(dtype) - (x < 0).astype(dtype)


class Abs(Function):
    """Absolute value; derivative 0 at 0 and at NaN.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.abs(mg.tensor([-1.5, 2.0]))
    tensor([1.5, 2. ])
    """

    saves = (0,)

    def forward(self, x: Any) -> Any:
        return get_xp(x).abs(x)

    def backward(self, g: Any, x: Any) -> Any:
        return g * sign_of(x, g.dtype)


class Sin(Function):
    """Sine (radians).

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.sin(mg.tensor([0.0, 1.0]))
    tensor([0.    , 0.8415])
    """

    saves = (0,)

    def forward(self, x: Any) -> Any:
        return get_xp(x).sin(x)

    def backward(self, g: Any, x: Any) -> Any:
        return g * get_xp(g).cos(x)


class Cos(Function):
    """Cosine (radians).

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.cos(mg.tensor([0.0, 1.0]))
    tensor([1.    , 0.5403])
    """

    saves = (0,)

    def forward(self, x: Any) -> Any:
        return get_xp(x).cos(x)

    def backward(self, g: Any, x: Any) -> Any:
        return -g * get_xp(g).sin(x)


class Tan(Function):
    """Tangent (radians).

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.tan(mg.tensor([0.0, 1.0]))
    tensor([0.    , 1.5574])
    """

    saves_output = True

    def forward(self, x: Any) -> Any:
        return get_xp(x).tan(x)

    def backward(self, g: Any, y: Any) -> Any:
        return g * (y * y + 1.0)


class Asin(Function):
    """Inverse sine.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.asin(mg.tensor([0.0, 1.0]))
    tensor([0.    , 1.5708])
    """

    saves = (0,)

    def forward(self, x: Any) -> Any:
        return get_xp(x).arcsin(x)

    def backward(self, g: Any, x: Any) -> Any:
        return g / get_xp(g).sqrt(1.0 - x * x)


class Acos(Function):
    """Inverse cosine.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.acos(mg.tensor([0.0, 1.0]))
    tensor([1.5708, 0.    ])
    """

    saves = (0,)

    def forward(self, x: Any) -> Any:
        return get_xp(x).arccos(x)

    def backward(self, g: Any, x: Any) -> Any:
        return -g / get_xp(g).sqrt(1.0 - x * x)


class Atan(Function):
    """Inverse tangent.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.atan(mg.tensor([0.0, 1.0]))
    tensor([0.    , 0.7854])
    """

    saves = (0,)

    def forward(self, x: Any) -> Any:
        return get_xp(x).arctan(x)

    def backward(self, g: Any, x: Any) -> Any:
        return g / (x * x + 1.0)


class Sinh(Function):
    """Hyperbolic sine.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.sinh(mg.tensor([0.0, 1.0]))
    tensor([0.    , 1.1752])
    """

    saves = (0,)

    def forward(self, x: Any) -> Any:
        return get_xp(x).sinh(x)

    def backward(self, g: Any, x: Any) -> Any:
        return g * get_xp(g).cosh(x)


class Cosh(Function):
    """Hyperbolic cosine.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.cosh(mg.tensor([0.0, 1.0]))
    tensor([1.    , 1.5431])
    """

    saves = (0,)

    def forward(self, x: Any) -> Any:
        return get_xp(x).cosh(x)

    def backward(self, g: Any, x: Any) -> Any:
        return g * get_xp(g).sinh(x)


class Tanh(Function):
    """Hyperbolic tangent.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.tanh(mg.tensor([0.0, 1.0]))
    tensor([0.    , 0.7616])
    """

    saves_output = True

    def forward(self, x: Any) -> Any:
        return get_xp(x).tanh(x)

    def backward(self, g: Any, y: Any) -> Any:
        return g * (1.0 - y * y)


class Sigmoid(Function):
    """Logistic function ``1 / (1 + exp(-x))``, without overflow for any x.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.sigmoid(mg.tensor([0.0, 2.0]))
    tensor([0.5   , 0.8808])
    """

    several_steps = True
    saves_output = True

    def forward(self, x: Any) -> Any:
        xp = get_xp(x)
        e = xp.exp(-xp.abs(x))
        return xp.where(x < 0, e, 1.0) / (1.0 + e)

    def backward(self, g: Any, y: Any) -> Any:
        return g * (y * (1.0 - y))


class Erf(Function):
    """Error function ``2 / sqrt(pi) * integral of exp(-t**2) from 0 to x``.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.erf(mg.tensor([0.0, 1.0]))
    tensor([0.    , 0.8427])
    """

    saves = (0,)

    def forward(self, x: Any) -> Any:
        return pick("erf", x)(x)

    def backward(self, g: Any, x: Any) -> Any:
        return g * (get_xp(g).exp(-(x * x)) * (2.0 / math.sqrt(math.pi)))


class Asinh(Function):
    """Inverse hyperbolic sine.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.asinh(mg.tensor([0.0, 1.0]))
    tensor([0.    , 0.8814])
    """

    several_steps = True
    saves = (0,)

    def forward(self, x: Any) -> Any:
        return get_xp(x).arcsinh(x)

    def backward(self, g: Any, x: Any) -> Any:
        return g / get_xp(g).sqrt(x * x + 1.0)


class Acosh(Function):
    """Inverse hyperbolic cosine.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.acosh(mg.tensor([1.0, 2.0]))
    tensor([0.   , 1.317])
    """

    several_steps = True
    saves = (0,)

    def forward(self, x: Any) -> Any:
        return get_xp(x).arccosh(x)

    def backward(self, g: Any, x: Any) -> Any:
        return g / get_xp(g).sqrt(x * x - 1.0)


class Atanh(Function):
    """Inverse hyperbolic tangent.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.atanh(mg.tensor([0.0, 0.5]))
    tensor([0.    , 0.5493])
    """

    several_steps = True
    saves = (0,)

    def forward(self, x: Any) -> Any:
        return get_xp(x).arctanh(x)

    def backward(self, g: Any, x: Any) -> Any:
        return g / (1.0 - x * x)


class Erfinv(Function):
    """Inverse of the error function, on (-1, 1).

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.erfinv(mg.tensor([0.0, 0.5]))
    tensor([0.    , 0.4769])
    """

    several_steps = True
    saves_output = True

    def forward(self, x: Any) -> Any:
        return erfinv_of(get_xp(x), x)

    def backward(self, g: Any, y: Any) -> Any:
        return g * (get_xp(g).exp(y * y) * (math.sqrt(math.pi) / 2.0))


@quietly
def erfinv_of(xp: Any, x: Any) -> Any:
    """Return erf⁻¹(x): Winitzki's approximation, then Newton's steps.

    The steps are ``(erf(y) - x) / erf'(y)``, with Halley's correction; three of them reach the last
    bit or two of float64.
    """
    wide = x.astype(np.float64)
    log = xp.log1p(-wide * wide)
    a = 2.0 / (math.pi * 0.147) + log / 2.0
    y = xp.sign(wide) * xp.sqrt(xp.sqrt(a * a - log / 0.147) - a)
    for _ in range(3):
        step = (pick("erf", y)(y) - wide) / (2.0 / math.sqrt(math.pi) * xp.exp(-y * y))
        y = y - step / (1.0 + y * step)
    y = xp.where(xp.abs(wide) == 1.0, wide * math.inf, xp.where(xp.abs(wide) > 1.0, math.nan, y))
    return xp.where(wide == 0.0, wide, y).astype(x.dtype)


class Clip(Function):
    """Limit to numbers; the gradient passes where the value was inside, ends included."""

    saves = (0,)

    def __init__(self, low: float | None, high: float | None) -> None:
        self.low, self.high = low, high

    def forward(self, x: Any) -> Any:
        return get_xp(x).clip(x, self.low, self.high)

    def backward(self, g: Any, x: Any) -> Any:
        inside = (x >= (-math.inf if self.low is None else self.low)) & (
            x <= (math.inf if self.high is None else self.high)
        )
        return get_xp(g).where(inside, g, 0.0)  # not g * 0: g may be infinite


class Where(Function):
    """Choose by a condition, which gets no gradient."""

    saves = (0,)

    def forward(self, condition: Any, x: Any, y: Any) -> Any:
        self.sides = getattr(x, "shape", ()), getattr(y, "shape", ())
        return get_xp(condition).where(condition, x, y)

    def backward(self, g: Any, condition: Any) -> Any:
        where = get_xp(g).where
        gx = sum_to(where(condition, g, 0.0), self.sides[0]) if self.needs[1] else None
        gy = sum_to(where(condition, 0.0, g), self.sides[1]) if self.needs[2] else None
        return None, gx, gy


# ---- the functions users call ---------------------------------------------------------------


def _unary(
    op: type[Function],
    homes: str = "minigrad Tensor",
    keeps_integers: bool = False,
    **declared: Any,
) -> Callable[[TensorLike], Tensor]:
    """Make and declare the public function of an operation on one tensor."""
    ruled = "autocast" in declared

    def function(x: TensorLike) -> Tensor:
        if not isinstance(x, Tensor):
            x = check_tensor(op.name, x)
        if ruled and state.autocast is not None:
            (x,) = obey(op.name, x)
        return op()(x if keeps_integers else floating(x))

    function.__name__ = function.__qualname__ = op.name
    summary, _, example = (op.__doc__ or "").rstrip().partition("\n\n    Examples\n")
    function.__doc__ = f"""{summary}

    Parameters
    ----------
    x : Tensor
        Any shape{"" if keeps_integers else "; integers become the default floating dtype"}.

    Returns
    -------
    Tensor
        Of the shape of `x`.

    Examples
{example}
    """
    return operation(homes, **declared)(function)


exp = _unary(Exp, "minigrad Tensor numpy", inplace=True, autocast=FLOAT32)
exp2 = _unary(Exp2, "minigrad Tensor numpy")
expm1 = _unary(Expm1, "minigrad Tensor numpy", autocast=FLOAT32)
log = _unary(Log, "minigrad Tensor numpy", inplace=True, autocast=FLOAT32)
log2 = _unary(Log2, "minigrad Tensor numpy", autocast=FLOAT32)
log10 = _unary(Log10, "minigrad Tensor numpy", autocast=FLOAT32)
log1p = _unary(Log1p, "minigrad Tensor numpy", autocast=FLOAT32)
sqrt = _unary(Sqrt, "minigrad Tensor numpy", inplace=True)
rsqrt = _unary(Rsqrt, autocast=FLOAT32)
reciprocal = _unary(Reciprocal, "minigrad Tensor numpy", autocast=FLOAT32)
abs = _unary(Abs, "minigrad Tensor numpy", keeps_integers=True, also="absolute")
sin = _unary(Sin, "minigrad Tensor numpy")
cos = _unary(Cos, "minigrad Tensor numpy")
tan = _unary(Tan, "minigrad Tensor numpy", autocast=FLOAT32)
asin = _unary(Asin, numpy="arcsin", autocast=FLOAT32)
acos = _unary(Acos, numpy="arccos", autocast=FLOAT32)
atan = _unary(Atan, numpy="arctan")
asinh = _unary(Asinh, numpy="arcsinh")
acosh = _unary(Acosh, numpy="arccosh")
atanh = _unary(Atanh, numpy="arctanh")
erfinv = _unary(Erfinv, inplace=True, autocast=FLOAT32)
sinh = _unary(Sinh, "minigrad Tensor numpy", autocast=FLOAT32)
cosh = _unary(Cosh, "minigrad Tensor numpy", autocast=FLOAT32)
tanh = _unary(Tanh, "minigrad functional Tensor numpy", inplace=True)
sigmoid = _unary(Sigmoid, "minigrad functional Tensor numpy", inplace=True)
erf = _unary(Erf, "minigrad Tensor numpy")


@operation("minigrad Tensor numpy")
def square(x: TensorLike) -> Tensor:
    """Return ``x * x``.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.square(mg.tensor([2.0, -3.0]))
    tensor([4., 9.])
    """
    x = x if isinstance(x, Tensor) else Tensor(x)
    return Square()(cast(x, dtypes.int64) if x.dtype == dtypes.bool_ else x)


@operation(inplace=True, numpy="power", autocast=FLOAT32)
def pow(x: TensorLike, exponent: TensorLike) -> Tensor:
    """Return ``x ** exponent``, broadcast.

    The derivative with respect to x is 0 where the exponent is 0, and that with respect to the
    exponent is 0 where x is 0 and the exponent not negative.

    Raises
    ------
    DTypeError
        If an integer tensor is raised to a negative integer.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.pow(mg.tensor([2.0, 3.0]), 3)
    tensor([ 8., 27.])
    """
    if state.autocast is not None:
        x, exponent = obey("pow", x, exponent)
    if isinstance(x, Tensor) and exponent.__class__ in (int, float):
        # the usual cases, without a general power
        if exponent == 2 and (exponent.__class__ is int or x.is_floating_point()):
            return square(x)
        if exponent == 0.5:
            return sqrt(x)
    x, exponent, dtype = meet(x, exponent)
    if not dtypes.is_floating(dtype):
        if dtype == dtypes.bool_:
            raise DTypeError("pow: booleans have no power; convert with x.int()")
        below = array_of(exponent) < 0
        if below if isinstance(below, bool) else below.any():
            raise DTypeError(
                "pow: an integer tensor has no negative power; convert it with x.float()"
            )
    return Pow()(x, exponent)


@operation("minigrad Tensor numpy")
def maximum(x: TensorLike, y: TensorLike) -> Tensor:
    """Return the elementwise larger of two; NaN wins; ties share the gradient.

    Examples
    --------
    >>> import minigrad as mg
    >>> x, y = mg.tensor([1.0, 4.0]), mg.tensor([3.0, 2.0])
    >>> mg.maximum(x, y)
    tensor([3., 4.])
    """
    return Maximum()(x, y)


@operation("minigrad Tensor numpy")
def minimum(x: TensorLike, y: TensorLike) -> Tensor:
    """Return the elementwise smaller of two; NaN wins; ties share the gradient.

    Examples
    --------
    >>> import minigrad as mg
    >>> x, y = mg.tensor([1.0, 4.0]), mg.tensor([3.0, 2.0])
    >>> mg.minimum(x, y)
    tensor([1., 2.])
    """
    return Minimum()(x, y)


@operation(numpy="arctan2")
def atan2(y: TensorLike, x: TensorLike) -> Tensor:
    """Return the angle of the point (x, y) in (-pi, pi].

    Examples
    --------
    >>> import minigrad as mg
    >>> x, y = mg.tensor([1.0, 4.0]), mg.tensor([3.0, 2.0])
    >>> mg.atan2(x, y)
    tensor([0.3218, 1.1071])
    """
    return Atan2()(y, x)


@operation(inplace=True, numpy="clip", also="clip")
def clamp(x: Tensor, min: TensorLike | None = None, max: TensorLike | None = None) -> Tensor:
    """Limit every element to [min, max].

    Parameters
    ----------
    x : Tensor
        Any shape.
    min, max : number or Tensor, optional
        The limits; at least one. With ``min > max`` the result is `max`.

    Returns
    -------
    Tensor

    Raises
    ------
    OptionError
        If both limits are missing.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.clamp(mg.tensor([-1.0, 0.5, 2.0]), 0, 1)
    tensor([0. , 0.5, 1. ])
    """
    if min is None and max is None:
        raise OptionError("clamp: give min, max or both")
    if not isinstance(x, Tensor):
        x = check_tensor("clamp", x)
    min, max = [None if v is None else operand(v) for v in (min, max)]
    if isinstance(min, Tensor) or isinstance(max, Tensor):
        # At a tie x receives the whole gradient, unlike with maximum. A limit that is NaN wins.
        if min is not None:
            x = where((x < min) | (min != min), min, x)
        if max is not None:
            x = where((x > max) | (max != max), max, x)
        return x
    x = cast(x, dtypes.result_type(x.array, *[v for v in (min, max) if v is not None]))
    for limit in (min, max):
        if limit is not None:
            dtypes.check_fits("clamp", limit, x.dtype)
    return Clip(min, max)(x)


@operation("minigrad numpy")
def where(condition: Tensor, x: TensorLike = None, y: TensorLike = None) -> Any:
    """Take from `x` where `condition` is true and from `y` elsewhere, all three broadcast.

    With the condition alone, return the indices of its true elements, one tensor per axis.

    Raises
    ------
    DTypeError
        If the condition is not boolean.

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.tensor([-1.0, 2.0])
    >>> mg.where(x > 0, x, 0.0)
    tensor([0., 2.])
    """
    if not isinstance(condition, Tensor):
        condition = check_tensor("where", condition)
    if x is None and y is None:
        array = condition.array
        return tuple(wrap(i) for i in (array if array.ndim else array.reshape(1)).nonzero())
    if condition.dtype != dtypes.bool_:
        raise DTypeError(
            f"where: the condition must be boolean, not {condition.dtype}; compare first"
        )
    if isinstance(x, (int, float)) and isinstance(y, (int, float)):
        x, y = operand(x), operand(y)
        x = wrap(get_xp(condition.array).full((), x, dtypes.result_type(x, y)))
    x, y = match(x, y)
    return Where()(condition, x, y)


@operation(inplace=True)
def lerp(start: Tensor, end: Tensor, weight: TensorLike) -> Tensor:
    """Return ``start + weight * (end - start)``, exact at both ends.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.lerp(mg.tensor([0.0, 10.0]), mg.tensor([4.0, 20.0]), 0.25)
    tensor([ 1. , 12.5])
    """
    return rounded_once(_lerp, start, end, weight)


def _lerp(start: Any, end: Any, weight: Any) -> Tensor:
    if isinstance(weight, Tensor):
        near = square(weight) < 0.25
        base, share = where(near, start, end), where(near, weight, weight - 1)
    else:
        base, share = (start, weight) if -0.5 < weight < 0.5 else (end, weight - 1)
    return base + share * (end - start)  # type: ignore[no-any-return]


@operation()
def addcmul(x: Tensor, a: Tensor, b: Tensor, *, value: Number = 1) -> Tensor:
    """Return ``x + value * a * b``.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.addcmul(mg.ones(1), mg.tensor([2.0]), mg.tensor([3.0]), value=0.5)
    tensor([4.])
    """
    return rounded_once(lambda x, a, b: x + times(a, value) * b, x, a, b)


@operation()
def addcdiv(x: Tensor, a: Tensor, b: Tensor, *, value: Number = 1) -> Tensor:
    """Return ``x + value * a / b``.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.addcdiv(mg.ones(1), mg.tensor([6.0]), mg.tensor([3.0]), value=0.5)
    tensor([2.])
    """
    return rounded_once(lambda x, a, b: x + times(a, value) / b, x, a, b)


@operation()
def fmod(x: TensorLike, y: TensorLike) -> Tensor:
    """Return the remainder with the sign of the dividend (C's ``fmod``); see `remainder`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.fmod(mg.tensor([-5.0, 5.0]), 3)
    tensor([-2.,  2.])
    """
    x, y, dtype = meet(x, y)
    check_divisible("fmod", y, dtype)
    return Fmod()(x, y)


@operation()
def logaddexp(x: TensorLike, y: TensorLike) -> Tensor:
    """Return ``log(exp(x) + exp(y))``, broadcast, without overflow.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.logaddexp(mg.tensor(1000.0), mg.tensor(1000.0))
    tensor(1000.6932)
    """
    return Logaddexp()(x, y)


@operation(inplace=True)
def clamp_min(x: Tensor, min: TensorLike) -> Tensor:
    """Return `x`, and `min` where it is smaller; see `clamp`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.clamp_min(mg.tensor([1.0, 4.0]), 2.0)
    tensor([2., 4.])
    """
    return clamp(x, min=min)


@operation(inplace=True)
def clamp_max(x: Tensor, max: TensorLike) -> Tensor:
    """Return `x`, and `max` where it is larger; see `clamp`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.clamp_max(mg.tensor([1.0, 4.0]), 2.0)
    tensor([1., 2.])
    """
    return clamp(x, max=max)


@operation(inplace=True)
def nan_to_num(
    x: Tensor, nan: float = 0.0, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """Return `x` with numbers for NaN, inf and -inf; their gradient is 0.

    Parameters
    ----------
    x : Tensor
        Any shape.
    nan : float, default 0
        What stands for NaN.
    posinf, neginf : float, optional
        What stands for inf and -inf; by default the largest and the smallest finite number.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nan_to_num(mg.tensor([float("nan"), float("-inf"), 2.0]), neginf=-1.0)
    tensor([ 0., -1.,  2.])
    """
    if not isinstance(x, Tensor):
        x = check_tensor("nan_to_num", x)
    if not x.is_floating_point():
        return x
    least, largest = dtypes.limits(x.dtype)
    given = (nan, largest if posinf is None else posinf, least if neginf is None else neginf)
    for bad, value in zip((x != x, x == math.inf, x == -math.inf), given, strict=True):
        x = where(bad, value, x)
    return x
