"""Comparisons, logic and rounding: operations whose derivative is zero or does not exist.

Comparisons return booleans outside the graph. Rounding stays in the graph with a zero gradient,
as in PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minigrad import dtypes
from minigrad.autograd.node import Function, explain
from minigrad.backend import get_xp
from minigrad.errors import DTypeError
from minigrad.ops.arguments import check_tensor, constant
from minigrad.ops.elementwise import TensorLike, match
from minigrad.tensor import Tensor


def _comparison(
    name: str, symbol: str, fits: bool = False
) -> Callable[[TensorLike, TensorLike], Tensor]:
    def function(x: TensorLike, y: TensorLike) -> Tensor:
        x, y = match(x, y, fits=fits)
        a = x.array if isinstance(x, Tensor) else x
        b = y.array if isinstance(y, Tensor) else y
        xp = get_xp(a if isinstance(x, Tensor) else b)
        try:
            return constant(getattr(xp, name)(a, b))
        except (ValueError, TypeError) as error:
            node = Function()
            node.name = name  # type: ignore[misc]
            raise explain(node, [a, b], error) from None

    function.__name__ = function.__qualname__ = _torch_names.get(name, name)
    function.__doc__ = f"""Return ``x {symbol} y`` elementwise and broadcast, as booleans."""
    return function


_torch_names = {
    "equal": "eq", "not_equal": "ne", "less": "lt", "less_equal": "le", "greater": "gt",
    "greater_equal": "ge",
}  # fmt: skip

eq = _comparison("equal", "==")
ne = _comparison("not_equal", "!=")
lt = _comparison("less", "<")
le = _comparison("less_equal", "<=")
gt = _comparison("greater", ">")
ge = _comparison("greater_equal", ">=")
logical_and = _comparison("logical_and", "and")
logical_or = _comparison("logical_or", "or")
logical_xor = _comparison("logical_xor", "xor")


def logical_not(x: Tensor) -> Tensor:
    """Return ``not x`` elementwise, as booleans."""
    array = check_tensor("logical_not", x).array
    return constant(get_xp(array).logical_not(array))


def _bitwise(name: str, symbol: str) -> Callable[[TensorLike, TensorLike], Tensor]:
    compare = _comparison(name, symbol, fits=True)

    def function(x: TensorLike, y: TensorLike) -> Tensor:
        for value in (x, y):
            dtype = getattr(value, "dtype", None)
            if isinstance(value, float) or (dtype is not None and dtypes.is_floating(dtype)):
                raise DTypeError(
                    f"{name}: x {symbol} y takes booleans or integers, not {dtype or 'float'}; "
                    "compare first, e.g. x > 0, or convert with x.long()"
                )
        return compare(x, y)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Return ``x {symbol} y`` bit by bit, for booleans and integers."
    return function


bitwise_and = _bitwise("bitwise_and", "&")
bitwise_or = _bitwise("bitwise_or", "|")
bitwise_xor = _bitwise("bitwise_xor", "^")


def bitwise_not(x: Tensor) -> Tensor:
    """Return ``~x``, for booleans and integers."""
    x = check_tensor("bitwise_not", x)
    if x.is_floating_point():
        raise DTypeError(f"bitwise_not: ~x takes booleans or integers, not {x.dtype}")
    return constant(~x.array)


def _test(name: str, what: str) -> Callable[[Tensor], Tensor]:
    def function(x: Tensor) -> Tensor:
        array = check_tensor(name, x).array
        return constant(getattr(get_xp(array), name)(array))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Return True where an element is {what}."
    return function


isnan = _test("isnan", "NaN")
isinf = _test("isinf", "infinite")
isfinite = _test("isfinite", "neither NaN nor infinite")


class Rounding(Function):
    """A step function: its gradient is zero."""

    def __init__(self, step: Callable[[Any, Any], Any], name: str) -> None:
        self.step = step
        self.name = name  # type: ignore[misc]

    def forward(self, x: Any) -> Any:
        return self.step(get_xp(x), x)

    def backward(self, g: Any) -> Any:
        return g * 0.0


def _number(name: str, x: Tensor) -> Tensor:
    x = check_tensor(name, x)
    if x.dtype == dtypes.bool_:
        raise DTypeError(f"{name}: a boolean is no number; convert it with x.int()")
    return x


def _rounding(name: str, what: str) -> Callable[[Tensor], Tensor]:
    def function(x: Tensor) -> Tensor:
        return Rounding(lambda xp, a: getattr(xp, name)(a), name)(_number(name, x))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Return {what}; its gradient is zero."
    return function


floor = _rounding("floor", "the largest integer not above every element")
ceil = _rounding("ceil", "the smallest integer not below every element")
trunc = _rounding("trunc", "every element without its fraction")


def sign(x: Tensor) -> Tensor:
    """Return -1, 0 or 1, the sign of every element; its gradient is zero."""
    x = check_tensor("sign", x)
    if x.dtype == dtypes.bool_:
        return constant(x.array.copy())
    return Rounding(lambda xp, a: xp.sign(a), "sign")(x)


def round(x: Tensor, decimals: int = 0) -> Tensor:
    """Return every element rounded to `decimals` places, halves to even; its gradient is zero."""
    return Rounding(lambda xp, a: xp.round(a, decimals), "round")(_number("round", x))


def frac(x: Tensor) -> Tensor:
    """Return the fractional part of every element."""
    x = check_tensor("frac", x)
    return x - trunc(x)


def isclose(
    x: Tensor, y: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    """Return True where ``|x - y| <= atol + rtol * |y|``."""
    a, b = check_tensor("isclose", x).array, check_tensor("isclose", y).array
    return constant(get_xp(a).isclose(a, b, rtol, atol, equal_nan=equal_nan))


def allclose(
    x: Tensor, y: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Return True if `isclose` holds everywhere."""
    return bool(isclose(x, y, rtol, atol, equal_nan).array.all())


def equal(x: Tensor, y: Tensor) -> bool:
    """Return True if both have the same shape and the same elements."""
    a, b = check_tensor("equal", x).array, check_tensor("equal", y).array
    return a.shape == b.shape and bool((a == b).all())
