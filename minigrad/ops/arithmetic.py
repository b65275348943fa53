"""The operators: ``+ - * / // %`` and the sign.

Every operation is a `Function` whose backward is written with operators and other Functions, so
the same lines run on arrays and on tensors.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from minigrad import dtypes
from minigrad.autograd.node import Function, record, sum_to, watch
from minigrad.autograd.refusals import explain, serves_once
from minigrad.backend import get_xp
from minigrad.errors import DTypeError, OptionError
from minigrad.modes import GRAD, current
from minigrad.ops.arguments import check_tensor, constant
from minigrad.ops.declare import operation
from minigrad.ops.operands import (
    Number,
    TensorLike,
    array_of,
    cast,
    match_wide,
    meet,
    rounded_once,
)
from minigrad.tensor import Tensor, wrap

_generic = np.generic

# ---- operations on two operands -------------------------------------------------------------


class Binary(Function):
    """An operation on two operands that broadcast and meet in one dtype.

    `backward` gives the gradients in the broadcast shape.
    """

    __slots__ = ("seq",)

    floating: ClassVar[bool] = False  # integers become the default floating dtype

    def __call__(self, x: Any, y: Any) -> Tensor:
        if getattr(self, "seq", 0):
            raise serves_once(self)
        return self.of(x, y)

    def of(self, x: Any, y: Any) -> Tensor:
        """Run the operation; `self` is fresh."""
        return self.meet(x, y)

    def meet(self, x: Any, y: Any) -> Tensor:
        """Bring the operands to one dtype first."""
        if not (isinstance(x, Tensor) or isinstance(y, Tensor)):
            return self.forward(x, y)  # type: ignore[no-any-return]
        x, y, dtype = meet(x, y, self.floating)
        x, y = match_wide(x, y, dtype)
        self.seq = 0
        return cast(super().__call__(x, y), dtype)

    def release(self) -> None:
        """Drop the operands; nothing else is kept."""
        if self.arrays:
            self.saved, self.arrays = None, ()


class Arithmetic(Binary):
    """A `Binary` that is right for every dtype as it comes, bfloat16 included.

    Two tensors of one dtype take the steps of `Function.__call__` written out for two inputs: this
    is the path whose overhead the benchmark measures.
    """

    __slots__ = ()

    def of(self, x: Any, y: Any) -> Tensor:
        """Run the operation; `self` is fresh."""
        try:
            a, b = x.array, y.array
            alike = a.dtype is b.dtype
        except AttributeError:
            alike = False
        if not alike:
            return self.meet(x, y)
        try:
            out = self.forward(a, b)
        except (ValueError, TypeError) as error:
            raise explain(self, [a, b], error) from None
        if isinstance(out, _generic):
            out = np.asarray(out)
        result = wrap(out)
        flags = current().flags
        if flags & GRAD:
            p, q = x._node, y._node
            if p is not None or q is not None:
                if self.saves:
                    v, w = x._version, y._version
                    record(self, result, (p, q), (x, y), (a, b), ((v, v[0]), (w, w[0])))
                    if (p is None or q is None) and self.saves_for:
                        self.forget()
                else:
                    record(self, result, (p, q))
        if flags > GRAD:
            watch(self, (x, y), result, flags)
        return result


def unbroadcast(node: Any, gx: Any, gy: Any) -> tuple[Any, Any]:
    """Undo the broadcasting of a binary operation on the gradients that are needed."""
    shape = node.out_shape
    p, q = node.next
    if p is not None and p.out_shape != shape:
        gx = sum_to(gx, p.out_shape)
    if q is not None and q.out_shape != shape:
        gy = sum_to(gy, q.out_shape)
    return gx, gy


class Add(Arithmetic):
    """``x + y``."""

    def forward(self, x: Any, y: Any) -> Any:
        return x + y

    def backward(self, g: Any) -> Any:
        return unbroadcast(self, g, g)


class Sub(Arithmetic):
    """``x - y``."""

    def forward(self, x: Any, y: Any) -> Any:
        return x - y

    def backward(self, g: Any) -> Any:
        return unbroadcast(self, g, None if self.next[1] is None else -g)


class Mul(Arithmetic):
    """``x * y``."""

    saves = (0, 1)
    saves_for = (1, 0)

    def forward(self, x: Any, y: Any) -> Any:
        return x * y

    def backward(self, g: Any, x: Any, y: Any) -> Any:
        p, q = self.next
        return unbroadcast(self, None if p is None else g * y, None if q is None else g * x)


class Div(Arithmetic):
    """``x / y``."""

    floating = True
    saves = (0, 1)
    saves_for = (1, None)

    def forward(self, x: Any, y: Any) -> Any:
        return x / y

    def backward(self, g: Any, x: Any, y: Any) -> Any:
        p, q = self.next
        gx = None if p is None else g / y
        return unbroadcast(self, gx, None if q is None else -g * (x / y / y))


class Remainder(Binary):
    """Remainder of the division, with the sign of the divisor (Python's ``%``)."""

    saves = (0, 1)

    def forward(self, x: Any, y: Any) -> Any:
        return x % y

    def backward(self, g: Any, x: Any, y: Any) -> Any:
        gy = None
        if self.needs[1]:
            gy = -g * (x // y)
        return unbroadcast(self, g, gy)


class Neg(Function):
    """``-x``."""

    def forward(self, x: Any) -> Any:
        return -x

    def backward(self, g: Any) -> Any:
        return -g


# ---- the functions users call ---------------------------------------------------------------


@operation("minigrad Tensor numpy")
def add(x: TensorLike, y: TensorLike, *, alpha: Number = 1) -> Tensor:
    """Return ``x + alpha * y``, broadcast.

    Parameters
    ----------
    x, y : Tensor or number
        Operands; shapes broadcast, dtypes promote as PyTorch's do.
    alpha : number, default 1
        Multiplier of `y`.

    Returns
    -------
    Tensor

    Raises
    ------
    ShapeError
        If the shapes do not broadcast.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.add(mg.tensor([1, 2]), 0.5)
    tensor([1.5, 2.5])
    """
    return Add().of(x, y) if alpha == 1 else rounded_once(lambda x, y: x + times(y, alpha), x, y)


@operation(numpy="subtract", also="subtract")
def sub(x: TensorLike, y: TensorLike, *, alpha: Number = 1) -> Tensor:
    """Return ``x - alpha * y``, broadcast; see `add`."""
    if _is_bool(x) and _is_bool(y):
        raise DTypeError("sub: booleans have no difference; use x ^ y or convert with x.int()")
    return Sub().of(x, y) if alpha == 1 else rounded_once(lambda x, y: x - times(y, alpha), x, y)


def _is_bool(x: Any) -> bool:
    return getattr(x, "dtype", None) == dtypes.bool_


def times(x: Any, number: Number) -> Any:
    """Return ``x * number``; `x` itself for 1."""
    return x if number == 1 else x * number


@operation(numpy="multiply", also="multiply")
def mul(x: TensorLike, y: TensorLike) -> Tensor:
    """Return ``x * y``, broadcast; see `add`."""
    return Mul().of(x, y)


@operation(numpy="divide", also="divide")
def div(x: TensorLike, y: TensorLike, *, rounding_mode: str | None = None) -> Tensor:
    """Return ``x / y``, broadcast; integers are divided as floats.

    Parameters
    ----------
    x, y : Tensor or number
        Operands; a float result is of the default dtype where both are integers.
    rounding_mode : {None, 'floor', 'trunc'}
        Round the quotient down or towards zero; the dtype is then that of the operands.

    Returns
    -------
    Tensor

    Raises
    ------
    OptionError
        If `rounding_mode` is something else.
    """
    if rounding_mode is None:
        if isinstance(x, Tensor) and dtypes.is_floating(x.array.dtype):
            return Div().of(x, y)
        x, y, _ = meet(x, y, floating=True)
        return Div().meet(x, y)
    if rounding_mode not in ("floor", "trunc"):
        raise OptionError(f"div: rounding_mode is None, 'floor' or 'trunc', not {rounding_mode!r}")
    x, y, dtype = meet(x, y)
    check_divisible("div", y, dtype)
    x, y = match_wide(x, y, dtype)
    a, b = array_of(x), array_of(y)
    xp = get_xp(a if isinstance(x, Tensor) else b)
    if rounding_mode == "floor":
        return cast(constant(xp.floor_divide(a, b)), dtype)
    if not dtypes.is_floating(dtype):
        q = xp.floor_divide(a, b)
        return constant(q + ((q < 0) & (q * b != a)).astype(q.dtype))
    return cast(constant(xp.trunc(a / b)), dtype)


def check_divisible(name: str, y: Any, dtype: dtypes.DType) -> None:
    """Refuse what NumPy would answer with 0, and booleans."""
    if dtype == dtypes.bool_:
        raise DTypeError(f"{name}: booleans cannot be divided; convert with x.int()")
    zero = array_of(y) == 0
    if not dtypes.is_floating(dtype) and bool(zero if isinstance(zero, bool) else zero.any()):
        raise OptionError(
            f"{name}: integer division by zero; divide floating tensors (x.float()) to get inf"
        )


@operation(inplace=True)
def floor_divide(x: TensorLike, y: TensorLike) -> Tensor:
    """Return the quotient rounded down (Python's ``//``); not differentiable."""
    return div(x, y, rounding_mode="floor")


@operation(inplace=True)
def remainder(x: TensorLike, y: TensorLike) -> Tensor:
    """Return the remainder with the sign of the divisor (Python's ``%``)."""
    x, y, dtype = meet(x, y)
    check_divisible("remainder", y, dtype)
    return Remainder()(x, y)


@operation(inplace=True, numpy="negative")
def neg(x: TensorLike) -> Tensor:
    """Return ``-x``.

    Parameters
    ----------
    x : Tensor
        Any shape.

    Returns
    -------
    Tensor
        Of the shape of `x`.
    """
    return Neg()(x if isinstance(x, Tensor) else check_tensor("neg", x))


def positive(x: Tensor) -> Tensor:
    """Return `x` itself (unary plus)."""
    return x
