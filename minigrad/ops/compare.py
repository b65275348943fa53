"""Comparisons, logic and rounding: operations whose derivative is zero or does not exist.

Comparisons return booleans outside the graph. Rounding stays in the graph with a zero gradient,
as in PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from minigrad import dtypes
from minigrad.autograd.node import Function
from minigrad.autograd.refusals import explain
from minigrad.backend import get_xp
from minigrad.errors import DTypeError
from minigrad.ops.arguments import check_tensor, constant
from minigrad.ops.declare import operation
from minigrad.ops.elementwise import sign_of
from minigrad.ops.operands import TensorLike, match
from minigrad.tensor import Tensor


def _comparing(ufunc: str, fits: bool = False) -> Callable[[TensorLike, TensorLike], Tensor]:
    def function(x: TensorLike, y: TensorLike) -> Tensor:
        x, y = match(x, y, fits)
        dtype = x.dtype if isinstance(x, Tensor) else y.dtype
        # a number is rounded like the elements it is compared with; bfloat16 would not do so
        a, b = (v.array if isinstance(v, Tensor) else _element(v, dtype) for v in (x, y))
        xp = get_xp(x.array if isinstance(x, Tensor) else b)
        try:
            return constant(getattr(xp, ufunc)(a, b))
        except (ValueError, TypeError) as error:
            node = Function()
            node.name = ufunc  # type: ignore[misc]
            raise explain(node, [a, b], error) from None

    return function


def _element(number: float, dtype: dtypes.DType) -> Any:
    return dtype.type(number) if dtype.kind == "V" else number


def _comparison(
    name: str, symbol: str, homes: str = "minigrad Tensor", **declared: Any
) -> Callable[[TensorLike, TensorLike], Tensor]:
    function = _comparing(declared.get("numpy", name))
    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"""Return ``x {symbol} y`` elementwise and broadcast, as booleans."""
    return operation(homes, **declared)(function)


eq = _comparison("eq", "==", numpy="equal")
ne = _comparison("ne", "!=", numpy="not_equal")
lt = _comparison("lt", "<", numpy="less")
le = _comparison("le", "<=", numpy="less_equal")
gt = _comparison("gt", ">", numpy="greater")
ge = _comparison("ge", ">=", numpy="greater_equal")
logical_and = _comparison("logical_and", "and", "minigrad Tensor numpy")
logical_or = _comparison("logical_or", "or", "minigrad Tensor numpy")
logical_xor = _comparison("logical_xor", "xor")


@operation("minigrad Tensor numpy")
def logical_not(x: Tensor) -> Tensor:
    """Return ``not x`` elementwise, as booleans.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.logical_not(mg.tensor([0, 3]))
    tensor([ True, False])
    """
    array = check_tensor("logical_not", x).array
    return constant(get_xp(array).logical_not(array))


def _bitwise(
    name: str, symbol: str, homes: str = "minigrad Tensor", **declared: Any
) -> Callable[[TensorLike, TensorLike], Tensor]:
    compare = _comparing(name, fits=True)

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
    return operation(homes, **declared)(function)


bitwise_and = _bitwise("bitwise_and", "&", inplace=True)
bitwise_or = _bitwise("bitwise_or", "|", inplace=True)
bitwise_xor = _bitwise("bitwise_xor", "^", inplace=True)


@operation()
def bitwise_not(x: Tensor) -> Tensor:
    """Return ``~x``, for booleans and integers.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.bitwise_not(mg.tensor([True, False]))
    tensor([False,  True])
    """
    x = check_tensor("bitwise_not", x)
    if x.is_floating_point():
        raise DTypeError(f"bitwise_not: ~x takes booleans or integers, not {x.dtype}")
    return constant(~x.array)


def _test(
    name: str, what: str, homes: str = "minigrad Tensor", **declared: Any
) -> Callable[[Tensor], Tensor]:
    def function(x: Tensor) -> Tensor:
        array = check_tensor(name, x).array
        return constant(getattr(get_xp(array), name)(array))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Return True where an element is {what}."
    return operation(homes, **declared)(function)


isnan = _test("isnan", "NaN", "minigrad Tensor numpy")
isinf = _test("isinf", "infinite")
isfinite = _test("isfinite", "neither NaN nor infinite", "minigrad Tensor numpy")


class Rounding(Function):
    """A step function: its gradient is zero."""

    def __init__(self, step: Callable[[Any, Any], Any], name: str) -> None:
        self.step = step
        self.name = name  # type: ignore[misc]

    def forward(self, x: Any) -> Any:
        return self.step(get_xp(x), x)

    def backward(self, g: Any) -> Any:
        return get_xp(g).zeros_like(g)


def _number(name: str, x: Tensor) -> Tensor:
    x = check_tensor(name, x)
    if x.dtype == dtypes.bool_:
        raise DTypeError(f"{name}: a boolean is no number; convert it with x.int()")
    return x


def _rounding(
    name: str, what: str, homes: str = "minigrad Tensor", **declared: Any
) -> Callable[[Tensor], Tensor]:
    def function(x: Tensor) -> Tensor:
        return Rounding(lambda xp, a: getattr(xp, name)(a), name)(_number(name, x))

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"Return {what}; its gradient is zero."
    return operation(homes, **declared)(function)


floor = _rounding(
    "floor", "the largest integer not above every element", "minigrad Tensor numpy", inplace=True
)
ceil = _rounding("ceil", "the smallest integer not below every element", "minigrad Tensor numpy")
trunc = _rounding("trunc", "every element without its fraction", "minigrad Tensor numpy")


@operation("minigrad Tensor numpy")
def sign(x: Tensor) -> Tensor:
    """Return -1, 0 or 1, the sign of every element, 0 for NaN; its gradient is zero.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.sign(mg.tensor([-3.0, 0.0, 2.0]))
    tensor([-1.,  0.,  1.])
    """
    x = check_tensor("sign", x)
    if x.dtype == dtypes.bool_:
        return constant(x.array.copy())
    return Rounding(lambda xp, a: sign_of(a, a.dtype), "sign")(x)


@operation(inplace=True)
def round(x: Tensor, decimals: int = 0) -> Tensor:
    """Return every element rounded to `decimals` places, halves to even; its gradient is zero.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.round(mg.tensor([0.5, 1.5, 2.4]))
    tensor([0., 2., 2.])
    """
    return Rounding(lambda xp, a: xp.round(a, decimals), "round")(_number("round", x))


@operation()
def frac(x: Tensor) -> Tensor:
    """Return the fractional part of every element.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.frac(mg.tensor([-0.5, 1.25]))
    tensor([-0.5 ,  0.25])
    """
    x = check_tensor("frac", x)
    return x - trunc(x)


@operation()
def isclose(
    x: Tensor, y: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> Tensor:
    """Return True where ``|x - y| <= atol + rtol * |y|``.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.isclose(mg.tensor([1.0, 2.0]), mg.tensor([1.0, 2.1]))
    tensor([ True, False])
    """
    a, b = check_tensor("isclose", x).array, check_tensor("isclose", y).array
    return constant(get_xp(a).isclose(a, b, rtol, atol, equal_nan=equal_nan))


@operation()
def allclose(
    x: Tensor, y: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False
) -> bool:
    """Return True if `isclose` holds everywhere.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.allclose(mg.ones(2), mg.ones(2) + 1e-7)
    True
    """
    return bool(isclose(x, y, rtol, atol, equal_nan).array.all())


@operation()
def equal(x: Tensor, y: Tensor) -> bool:
    """Return True if both have the same shape and the same elements.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.equal(mg.ones(2), mg.ones(2)), mg.equal(mg.ones(2), mg.ones(3))
    (True, False)
    """
    a, b = check_tensor("equal", x).array, check_tensor("equal", y).array
    return a.shape == b.shape and bool((a == b).all())
