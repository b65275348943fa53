"""What the kernels of this folder need to know of arrays."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numba.core.errors import NumbaError

from minigrad.kernels import pick
from minigrad.kernels.arrays.layout import channels_first, channels_last
from minigrad.kernels.constants import laid_out
from minigrad.kernels.cpu.bfloat16 import is_bfloat16
from minigrad.kernels.cpu.buffers import empty
from minigrad.kernels.cpu.simd import VECTOR_BYTES
from minigrad.kernels.declare import declare

__all__ = [
    "Array",
    "are_rows",
    "as_rows",
    "channels_first",
    "channels_last",
    "contiguous",
    "empty",
    "flat",
    "in_float32",
    "lanes",
    "narrowed",
    "one_type",
    "spatial",
    "takes",
    "three",
    "volume",
    "widened",
]

Array = Any
Kernel = Callable[..., Any]


def lanes(dtype: np.dtype[Any]) -> int:
    """Return how many elements a vector register holds."""
    return VECTOR_BYTES // dtype.itemsize


def are_rows(x: Array, *parameters: Array | None) -> bool:
    """Return whether each of the parameters has one number per channel of x (..., C)."""
    if not x.ndim:
        return False
    row = x.shape[-1:]
    return all(p is None or p.shape == row for p in parameters)


def one_type(*lists: list[Array] | float) -> bool:
    """Return whether all arrays in `lists` have one element type."""
    dtype = lists[0][0].dtype  # type: ignore[index]
    return all(a.dtype == dtype for arrays in lists if arrays.__class__ is list for a in arrays)


def contiguous(x: Array) -> Array:
    """Return x in C order, its elements where their type may stand: itself, or a copy."""
    flags = x.flags
    if flags.c_contiguous and flags.aligned:
        return x
    y = empty(x.shape, x.dtype)
    y[...] = x
    return y


def as_rows(x: Array) -> Array:
    """Return (..., C) as contiguous (rows, C)."""
    return contiguous(x).reshape(-1, x.shape[-1])


def three(values: Sequence[int], missing: int) -> tuple[int, ...]:
    """Put one to three spatial numbers on three axes."""
    return (missing,) * (3 - len(values)) + tuple(values)


def spatial(x: Array) -> Array:
    """View channels-last (N, *spatial, C) as (N, D, H, W, C)."""
    return x.reshape(x.shape[0], *three(x.shape[1:-1], 1), x.shape[-1])


def volume(x: Array) -> Array:
    """Return (N, C, *spatial) as contiguous (N, D, H, W, C)."""
    return spatial(contiguous(channels_last(x)))


def flat(*arrays: Array, dtype: np.dtype[Any] | None = None) -> tuple[Array, ...]:
    """Return a new array of the shape of `arrays`, then itself and them as one long row each.

    All rows run through the elements in the order in which the first array has them in memory.
    The new array has the element type of the first, or `dtype`.
    """
    first = arrays[0]
    order = sorted(range(first.ndim), key=lambda axis: -first.strides[axis])
    result = empty(tuple(first.shape[axis] for axis in order), dtype or first.dtype)
    rows = (contiguous(a.transpose(order)).reshape(-1) for a in arrays)
    back = sorted(range(first.ndim), key=order.__getitem__)
    return result.transpose(back), result.reshape(-1), *rows


def takes(
    fits: Callable[..., bool] | None = None,
    *,
    keeps: bool = False,
    bfloat16: bool = False,
    widening: Callable[[Kernel], Kernel] | None = None,
) -> Callable[[Kernel], Kernel]:
    """Say which arrays a compiled kernel takes: `pick` asks, and gives all others to the formula.

    A compiled loop goes where addresses lead, so this is the door that all arrays go through: of
    element types and shapes for which the kernel was not written NumPy finds what is wrong.

    Parameters
    ----------
    fits : callable, optional
        Takes the arguments; returns whether their shapes belong together. Left out where there is
        only one array, or the kernel asks by itself.
    keeps : bool, default False
        Whether the kernel keeps what its gradient needs.
    bfloat16 : bool, default False
        Whether the kernel takes bfloat16 itself, beside float32. Else `pick` is given one more
        version, which widens such arrays and narrows the results.
    widening : callable, optional
        Makes that version of a kernel whose arguments are not just arrays.
    """

    def known(x: Array, *args: Any, **options: Any) -> bool:
        dtype = (x[0] if x.__class__ is list else x).dtype
        if dtype.char not in "fd" or not dtype.isnative:  # Numba takes one byte order for another
            return bfloat16 and narrow(x, *args, **options)
        for a in args:
            if a.__class__ is np.ndarray and a.dtype is not dtype:
                if a.dtype not in (dtype, np.int64):
                    return bfloat16 and narrow(x, *args, **options)
        return fits is None or fits(x, *args, **options)

    def narrow(x: Array, *args: Any, **options: Any) -> bool:
        arrays = [a for a in (x, *args) if a.__class__ is np.ndarray]
        others = (np.float32, np.int64)
        return (
            x.__class__ is np.ndarray
            and any(is_bfloat16(a.dtype) for a in arrays)
            and all(is_bfloat16(a.dtype) or a.dtype in others for a in arrays)
            and (fits is None or fits(x, *args, **options))
        )

    def note(kernel: Kernel) -> Kernel:
        failures = (NumbaError, OSError)
        facts: dict[str, Any] = {"keeps": keeps, "mixes": ("bfloat16",)}
        if not bfloat16:
            wide = (widening or in_float32)(kernel)
            facts["others"] = (declare(takes=narrow, failures=failures)(wide),)
        return declare(takes=known, failures=failures, **facts)(kernel)

    return note


def in_float32(kernel: Kernel) -> Kernel:
    """Widen arrays of bfloat16 for a kernel, and narrow its results."""

    @functools.wraps(kernel)
    def run(x: Array, *args: Any, **options: Any) -> Any:
        results = kernel(*[laid_out(widened, (v,)) for v in (x, *args)], **options)
        if isinstance(results, tuple):
            return tuple([narrowed(r, x.dtype) for r in results])
        return narrowed(results, x.dtype)

    return run


def widened(value: Any) -> Any:
    """Return arrays of bfloat16, also those in a named tuple, as float32, all else as it is."""
    if isinstance(value, tuple) and hasattr(value, "_make"):
        return value._make(map(widened, value))
    if value.__class__ is np.ndarray and is_bfloat16(value.dtype):
        return pick("cast", value)(value, np.dtype(np.float32))
    return value


def narrowed(value: Any, dtype: np.dtype[Any]) -> Any:
    """Return an array as `dtype`, and what is none as it is."""
    if value.__class__ is np.ndarray and value.dtype != dtype:
        return pick("cast", value)(value, dtype)
    return value
