"""Operands meet: what an operation takes, and the dtype in which it computes.

Two operands meet in the dtype that `minigrad.dtypes.result_type` names; integers become the default
floating type where the result cannot be an integer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad import dtypes
from minigrad.autograd.node import Cast
from minigrad.backend import get_xp
from minigrad.construct import as_tensor
from minigrad.errors import DTypeError
from minigrad.tensor import Tensor, wrap

Number = float | int | bool
TensorLike = Any  # Tensor, array or Python number


def cast(x: Tensor, dtype: dtypes.DType) -> Tensor:
    """Return `x` with elements of type `dtype`; `x` itself where it has it already."""
    if x.array.dtype == dtype:
        return x
    if not dtypes.is_floating(dtype):
        return wrap(x.array.astype(dtype))
    return Cast(dtype)(x)


def operand(x: Any) -> Any:
    """Accept a tensor, an array or a number; refuse anything else by name."""
    if isinstance(x, np.generic):
        x = x.item()  # a NumPy scalar is a number, or float64 would win over float32
    if isinstance(x, (Tensor, int, float)):
        return x
    if hasattr(x, "dtype"):
        return Tensor(x)
    raise DTypeError(f"an operand must be a Tensor, an array or a number, not {type(x).__name__}")


def meet(
    x: TensorLike, y: TensorLike, floating: bool = False, fits: bool = True
) -> tuple[Any, Any, dtypes.DType]:
    """Return two operands, at least one of them a tensor, and the dtype of their result.

    With `floating`, integers become the default floating type. With `fits`, a Python integer that
    the dtype cannot hold is refused (a comparison does without that).
    """
    a = x.array if isinstance(x, Tensor) else None
    b = y.array if isinstance(y, Tensor) else None
    if a is None or b is None:
        x, y = operand(x), operand(y)
        a = x.array if isinstance(x, Tensor) else x
        b = y.array if isinstance(y, Tensor) else y
    dtype = dtypes.result_type(a, b)
    if floating and not dtypes.is_floating(dtype):
        dtype = dtypes.default_dtype[0]
    if fits or dtypes.is_floating(dtype):
        dtypes.check_operand("operand", x, dtype)
        dtypes.check_operand("operand", y, dtype)
    if not (isinstance(x, Tensor) or isinstance(y, Tensor)):
        x = wrap(get_xp(x).asarray(x, dtype))
    return x, y, dtype


def match(x: TensorLike, y: TensorLike, fits: bool = True) -> tuple[Any, Any]:
    """Bring two operands to their common dtype; Python numbers stay what they are."""
    return _convert(*meet(x, y, fits=fits))


def match_wide(x: Any, y: Any, dtype: dtypes.DType) -> tuple[Any, Any]:
    """Bring two operands to the dtype in which a result of type `dtype` is computed.

    A two-byte tensor and a number, or a wider 0-d tensor, meet in float32: as float16 1e5 would
    be infinite before it is multiplied.
    """
    alike = _is_of(dtype, x) and _is_of(dtype, y)
    return _convert(x, y, dtypes.float32 if dtypes.is_narrow(dtype) and not alike else dtype)


def _is_of(dtype: dtypes.DType, x: Any) -> bool:
    return isinstance(x, Tensor) and x.array.dtype == dtype


def _convert(x: Any, y: Any, dtype: dtypes.DType) -> tuple[Any, Any]:
    x, y = (cast(v, dtype) if isinstance(v, Tensor) else v for v in (x, y))
    return x, y


def floating(x: TensorLike) -> Tensor:
    """Return `x` as a floating tensor: integers become the default dtype."""
    if not isinstance(x, Tensor):
        x = as_tensor(x)
    return x if dtypes.is_floating(x.array.dtype) else cast(x, dtypes.default_dtype[0])


def rounded_once(compute: Callable[..., Any], *operands: Any) -> Tensor:
    """Return ``compute(*operands)``, of two-byte floats in float32 with one rounding at the end."""
    operands = tuple([operand(v) for v in operands])
    dtype = dtypes.result_type(*map(array_of, operands))
    if not dtypes.is_narrow(dtype):
        return compute(*operands)  # type: ignore[no-any-return]
    wide = [
        cast(v, dtypes.float32) if isinstance(v, Tensor) and v.is_floating_point() else v
        for v in operands
    ]
    return cast(compute(*wide), dtype)


def array_of(x: Any) -> Any:
    """Return the array of a tensor; a number is itself."""
    return x.array if isinstance(x, Tensor) else x
