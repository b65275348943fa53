"""Element types, their names, and PyTorch's promotion rule.

A dtype is NumPy's own ``np.dtype``; the names here are PyTorch's. bfloat16 exists where the
``ml_dtypes`` package is installed.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad.errors import DTypeError

__all__ = [
    "bool_",
    "default_dtype",
    "float16",
    "float32",
    "float64",
    "get_default_dtype",
    "int8",
    "int16",
    "int32",
    "int64",
    "is_floating",
    "promote_types",
    "result_type",
    "set_default_dtype",
    "to_dtype",
    "uint8",
]

DType = np.dtype[Any]

float16: DType = np.dtype(np.float16)
float32: DType = np.dtype(np.float32)
float64: DType = np.dtype(np.float64)
uint8: DType = np.dtype(np.uint8)
int8: DType = np.dtype(np.int8)
int16: DType = np.dtype(np.int16)
int32: DType = np.dtype(np.int32)
int64: DType = np.dtype(np.int64)
bool_: DType = np.dtype(np.bool_)

_names: dict[str, DType] = {
    "float16": float16, "half": float16, "float32": float32, "float": float32,
    "float64": float64, "double": float64, "uint8": uint8, "int8": int8, "int16": int16,
    "short": int16, "int32": int32, "int": int32, "int64": int64, "long": int64, "bool": bool_,
}  # fmt: skip
_python: dict[type, DType] = {bool: bool_, int: int64}
_numpys = frozenset([float16, float32, float64, uint8, int8, int16, int32, int64, bool_])

default_dtype = [float32]  # one cell, so that every reader sees a change


def bfloat16() -> DType:
    """Return the bfloat16 dtype, or raise where `ml_dtypes` is not installed."""
    try:
        import ml_dtypes
    except ImportError:
        raise DTypeError(
            "bfloat16 needs the ml_dtypes package; run: pip install 'minigrad[bfloat16]'"
        ) from None
    found: DType = np.dtype(ml_dtypes.bfloat16)
    return found


def get_default_dtype() -> DType:
    """Return the dtype of tensors made from Python floats (float32 unless changed)."""
    return default_dtype[0]


def set_default_dtype(dtype: Any) -> None:
    """Set the dtype of tensors made from Python floats.

    Raises
    ------
    DTypeError
        If `dtype` is not a floating type.
    """
    dtype = to_dtype(dtype)
    if not is_floating(dtype):
        raise DTypeError(f"set_default_dtype: the default must be a floating type, not {dtype}")
    default_dtype[0] = dtype


def is_floating(dtype: DType) -> bool:
    """Return True for float16, bfloat16, float32 and float64.

    Examples
    --------
    >>> is_floating(np.dtype("float16")), is_floating(np.dtype("int64"))
    (True, False)
    """
    try:
        return dtype.kind == "f" or (dtype.kind == "V" and dtype.name == "bfloat16")
    except AttributeError:
        raise DTypeError(
            f"is_floating: a dtype is needed, got {type(dtype).__name__}; a tensor is asked by "
            "x.is_floating_point()"
        ) from None


def to_dtype(dtype: Any) -> DType:
    """Turn a dtype, a name ('float32', 'long') or a Python type into one of our dtypes.

    Raises
    ------
    DTypeError
        If minigrad has no such type (complex, longdouble, uint64, object, strings …).
    """
    if isinstance(dtype, str):
        dtype = bfloat16() if dtype == "bfloat16" else _names.get(dtype, dtype)
    elif dtype is float:
        return default_dtype[0]
    elif isinstance(dtype, type) and dtype in _python:
        return _python[dtype]
    try:
        found: DType = np.dtype(dtype)
    except TypeError:
        found = np.dtype(object)
    if found.newbyteorder("=") in _numpys or (found.kind == "V" and found.name == "bfloat16"):
        return np.dtype(found.type)  # the one object of this type, in native byte order
    raise DTypeError(
        f"no tensor can have dtype {dtype!r}; use one of float16, bfloat16, float32, float64, "
        "uint8, int8, int16, int32, int64, bool"
    )


def is_narrow(dtype: DType) -> bool:
    """Return True for the floating types of two bytes, whose arithmetic is done in float32."""
    return dtype.itemsize == 2 and dtype.kind in "fV"


def limits(dtype: DType) -> tuple[float, float]:
    """Return the smallest and the largest finite number of an integer or floating dtype."""
    if dtype.kind in "iu":
        return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)
    # bfloat16 has the exponents of float32 and 8 bits of precision
    largest = float(np.finfo(dtype).max) if dtype.kind == "f" else (2.0 - 2.0**-7) * 2.0**127
    return -largest, largest


def spacing(dtype: DType) -> float:
    """Return the distance from 1 to the next number of a floating dtype."""
    return float(np.finfo(dtype).eps) if dtype.kind == "f" else 2.0**-7


def check_fits(where: str, number: float, dtype: DType) -> None:
    """Refuse a number that `dtype` cannot hold: outside its limits, or NaN among integers.

    Infinity and NaN fit into floating types, and everything is true or false.

    Raises
    ------
    DTypeError
        Names the number and the limits.
    """
    if dtype.kind == "b":
        return
    least, most = limits(dtype)
    unbounded = isinstance(number, float) and not math.isfinite(number) and is_floating(dtype)
    if not (least <= number <= most or unbounded):
        raise DTypeError(
            f"{where}: {number} does not fit into {dtype}, which holds {least} to {most}; "
            "use another dtype, or convert the tensor first: x.long(), x.float()"
        )


def check_operand(where: str, number: float, dtype: DType) -> None:
    """Refuse a Python integer that cannot meet a tensor of `dtype` in arithmetic.

    Floating types take whatever becomes a float: arithmetic may well lead to infinity.
    """
    if number.__class__ is int:
        check_fits(where, number, float64 if is_floating(dtype) else dtype)


def promote_types(a: DType, b: DType) -> DType:
    """Return the smallest dtype of the higher category (bool < integer < float), as PyTorch does.

    Examples
    --------
    >>> promote_types(int64, float16), promote_types(uint8, int8)
    (dtype('float16'), dtype('int16'))
    """
    if a == b:
        return a
    float_a, float_b = is_floating(a), is_floating(b)
    if float_a and float_b:
        return float32 if a.itemsize == b.itemsize == 2 else (a if a.itemsize > b.itemsize else b)
    if float_a or float_b:
        return a if float_a else b
    return np.promote_types(a, b)


def result_type(*operands: Any) -> DType:
    """Return the dtype in which `operands` (arrays, 0-d arrays, Python numbers) meet.

    Dimensioned arrays decide; a 0-d array, and after it a Python number, only counts when it is
    of a higher category. This is PyTorch's ``torch.result_type``.

    Examples
    --------
    >>> import numpy as np
    >>> floats, integers = np.ones(2, np.float32), np.ones(2, np.int32)
    >>> result_type(floats, np.float64(1)), result_type(integers, 0.5)
    (dtype('float32'), dtype('float32'))
    """
    levels: list[DType | None] = [None, None, None]  # dimensioned, 0-d, Python number
    for value in operands:
        dtype = getattr(value, "dtype", None)
        if dtype is None:
            level, dtype = 2, _python.get(type(value), default_dtype[0])
        else:
            level = 0 if value.ndim else 1
        known = levels[level]
        levels[level] = dtype if known is None else promote_types(known, dtype)
    result: DType | None = None
    for lower in reversed(levels):
        result = lower if result is None else _combine(lower, result)
    assert result is not None
    return result


def _combine(higher: DType | None, lower: DType) -> DType:
    if higher is None:
        return lower
    if not is_floating(higher) and (higher.kind == "b" or is_floating(lower)):
        return promote_types(higher, lower)
    return higher
