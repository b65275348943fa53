"""Arrays from Python data and from what other libraries hold."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad import backend, dtypes
from minigrad.dtypes import DType
from minigrad.errors import DTypeError, ShapeError

__all__ = ["as_array", "from_arguments", "from_python"]


def as_array(data: Any) -> Any:
    """Return an ndarray or CuPy array as it is, and what can become an ndarray as one."""
    if type(data) is np.ndarray:
        return data
    if hasattr(data, "__cuda_array_interface__"):
        return backend.from_cuda(data)
    return np.asarray(data)  # subclasses too: for a matrix, `*` means something else


def from_arguments(given: tuple[Any, ...], requires_grad: bool) -> tuple[Any, bool]:
    """Return array and `requires_grad` from the arguments of ``Tensor(…)``."""
    values = list(given)
    if len(values) == 2 and isinstance(values[1], (bool, np.bool_)):
        requires_grad = bool(values.pop())
    dtype = dtypes.default_dtype[0]
    if len(values) != 1 or type(values[0]) is int:
        if any(type(n) is not int or n < 0 for n in values):
            raise ShapeError(f"Tensor{given}: integers are the lengths of axes, all >= 0")
        return np.zeros(values or 0, dtype), requires_grad
    data = values[0]
    if isinstance(data, (list, tuple)):
        data = np.array(from_python(data)[0], dtype)
    return data, requires_grad


def from_python(data: Any) -> tuple[np.ndarray[Any, Any], DType]:
    """Return Python data as an array, and the dtype that its tensor has by default."""
    plain = _plain(data)
    try:
        array = np.array(plain)
    except ValueError:
        raise ShapeError(
            "tensor(): the nested sequences are ragged; every row needs one length"
        ) from None
    if array.dtype.kind == "O" or (array.dtype.kind == "f" and (abs(array) >= 2.0**63).any()):
        if all(isinstance(value, int) for value in np.array(plain, object).flat):
            raise DTypeError("tensor(): an integer is too large for int64; write it as a float")
    if array.dtype.kind not in "fiub":
        raise DTypeError(
            f"tensor(): {type(data).__name__} data became {array.dtype}, which is no number type; "
            "give numbers, or sequences of numbers"
        )
    first = plain
    while isinstance(first, list) and first:
        first = first[0]
    if hasattr(first, "dtype") and first.dtype.kind == array.dtype.kind:
        return array, dtypes.to_dtype(first.dtype)  # a list of tensors or NumPy scalars
    if array.dtype.kind == "f" or not array.size:
        return array, dtypes.default_dtype[0]
    return array, dtypes.bool_ if array.dtype.kind == "b" else dtypes.int64


def _plain(data: Any) -> Any:
    """Replace tensors inside nested sequences by their arrays."""
    array = getattr(data, "array", None)
    if backend.is_array(array):
        return backend.to_device(array, "cpu")
    return [_plain(item) for item in data] if isinstance(data, (list, tuple)) else data
