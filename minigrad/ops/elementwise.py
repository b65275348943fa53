"""Elementwise arithmetic and functions, differentiable to any order.

Every operation is a `Function` whose backward is written with operators and other Functions, so
the same lines run on arrays and on tensors. Operands meet in the dtype that
`minigrad.dtypes.result_type` names; integers become the default floating type where the result
cannot be an integer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from minigrad import dtypes
from minigrad.autograd.node import Function, explain, next_seq, sum_to, watch
from minigrad.backend import get_xp
from minigrad.errors import DTypeError, OptionError
from minigrad.kernels import pick
from minigrad.modes import GRAD, state
from minigrad.tensor import Tensor, wrap

Number = float | int | bool
_new_tensor = Tensor.__new__
_generic = np.generic
TensorLike = Any  # Tensor, array or Python number

# ---- dtypes ---------------------------------------------------------------------------------


class Cast(Function):
    """Change of dtype; the gradient is cast back."""

    def __init__(self, dtype: dtypes.DType) -> None:
        self.dtype = dtype

    def forward(self, x: Any) -> Any:
        self.source = x.dtype
        return x.astype(self.dtype, copy=False)

    def backward(self, g: Any) -> Any:
        return Cast(self.source)(g)


def cast(x: Tensor, dtype: dtypes.DType) -> Tensor:
    """Return `x` with elements of type `dtype`; `x` itself where it has it already."""
    if x.array.dtype == dtype:
        return x
    if not dtypes.is_floating(dtype):
        return wrap(x.array.astype(dtype))
    return Cast(dtype)(x)  # type: ignore[no-any-return]


def _operand(x: Any) -> Any:
    """Accept a tensor, an array or a number; refuse anything else by name."""
    if isinstance(x, (Tensor, int, float)):
        return x
    if hasattr(x, "dtype"):
        return Tensor(x)
    raise DTypeError(f"an operand must be a Tensor, an array or a number, not {type(x).__name__}")


def match(x: TensorLike, y: TensorLike, floating: bool = False) -> tuple[Any, Any]:
    """Bring two operands to their common dtype; Python numbers stay what they are."""
    a = x.array if isinstance(x, Tensor) else None
    b = y.array if isinstance(y, Tensor) else None
    if a is None or b is None:
        x, y = _operand(x), _operand(y)
        a = x.array if isinstance(x, Tensor) else x
        b = y.array if isinstance(y, Tensor) else y
    dtype = dtypes.result_type(a, b)
    if floating and not dtypes.is_floating(dtype):
        dtype = dtypes.default_dtype[0]
    if isinstance(x, Tensor):
        x = cast(x, dtype)
    elif isinstance(y, Tensor) and isinstance(x, float) and not dtypes.is_floating(dtype):
        x = int(x)
    if isinstance(y, Tensor):
        y = cast(y, dtype)
    elif not isinstance(x, Tensor):
        x = wrap(get_xp(x).asarray(x, dtype))
    return x, y


def floating(x: TensorLike) -> Tensor:
    """Return `x` as a floating tensor: integers become the default dtype."""
    if not isinstance(x, Tensor):
        x = Tensor(x)
    return x if dtypes.is_floating(x.array.dtype) else cast(x, dtypes.default_dtype[0])


# ---- arithmetic -----------------------------------------------------------------------------


class Binary(Function):
    """An operation on two operands that broadcast and meet in one dtype.

    The same steps as `Function.__call__`, written out for two inputs: this is the path whose
    overhead the benchmark measures. `backward` gives the gradients in the broadcast shape.
    """

    floating: ClassVar[bool] = False

    def __call__(self, x: Any, y: Any) -> Any:
        try:
            a, b = x.array, y.array
            same = a.dtype is b.dtype
        except AttributeError:
            same = False
        if not same or self.floating:
            if not (isinstance(x, Tensor) or isinstance(y, Tensor)):
                return self.forward(x, y)
            x, y = match(x, y, self.floating)
            a = x.array if isinstance(x, Tensor) else x
            b = y.array if isinstance(y, Tensor) else y
        try:
            out = self.forward(a, b)
        except (ValueError, TypeError) as error:
            raise explain(self, [a, b], error) from None
        if isinstance(out, _generic):
            out = np.asarray(out)
        result = _new_tensor(Tensor)
        result.array = out
        result.grad = None
        result._node = None
        result._version = [0, None]
        flags = state.flags
        if flags & GRAD:
            p = x._node if isinstance(x, Tensor) else None
            q = y._node if isinstance(y, Tensor) else None
            if p is not None or q is not None:
                self.next = (p, q)
                self.needs = (p is not None, q is not None)
                if self.saves:
                    self.saved = (x, y)
                    self.versions = (
                        x._version[0] if isinstance(x, Tensor) else None,
                        y._version[0] if isinstance(y, Tensor) else None,
                    )
                else:
                    self.saved = self.versions = ()
                self.shapes = getattr(a, "shape", ()), getattr(b, "shape", ())
                self.out_shape = out.shape
                self.out_dtype = out.dtype
                self.seq = next_seq()
                result._node = self
        if flags > GRAD:
            watch(self, result, flags)
        return result


class Add(Binary):
    """``x + y``."""

    def forward(self, x: Any, y: Any) -> Any:
        return x + y

    def backward(self, g: Any) -> Any:
        return _both(self, g, g)


class Sub(Binary):
    """``x - y``."""

    def forward(self, x: Any, y: Any) -> Any:
        return x - y

    def backward(self, g: Any) -> Any:
        return _both(self, g, -g if self.needs[1] else None)


class Mul(Binary):
    """``x * y``."""

    saves = (0, 1)

    def forward(self, x: Any, y: Any) -> Any:
        return x * y

    def backward(self, g: Any, x: Any, y: Any) -> Any:
        return _both(self, g * y if self.needs[0] else None, g * x if self.needs[1] else None)


class Div(Binary):
    """``x / y``."""

    saves = (0, 1)

    def forward(self, x: Any, y: Any) -> Any:
        return x / y

    def backward(self, g: Any, x: Any, y: Any) -> Any:
        gx = g / y
        return _both(self, gx, -gx * x / y if self.needs[1] else None)


def _both(node: Any, gx: Any, gy: Any) -> tuple[Any, Any]:
    """Undo the broadcasting of a binary operation on the gradients that are needed."""
    need_x, need_y = node.needs
    shape_x, shape_y = node.shapes
    return (
        sum_to(gx, shape_x) if need_x else None,
        sum_to(gy, shape_y) if need_y else None,
    )
