"""What the kernels of this folder need to know of arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numba.core.errors import NumbaError

from minigrad.kernels.arrays.layout import channels_first, channels_last
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
    "lanes",
    "one_type",
    "spatial",
    "takes",
    "three",
    "volume",
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


def flat(*arrays: Array) -> tuple[Array, ...]:
    """Return a new array of the shape of `arrays`, then itself and them as one long row each.

    All rows run through the elements in the order in which the first array has them in memory.
    """
    first = arrays[0]
    order = sorted(range(first.ndim), key=lambda axis: -first.strides[axis])
    result = empty(tuple(first.shape[axis] for axis in order), first.dtype)
    rows = (contiguous(a.transpose(order)).reshape(-1) for a in arrays)
    back = sorted(range(first.ndim), key=order.__getitem__)
    return result.transpose(back), result.reshape(-1), *rows


def takes(
    fits: Callable[..., bool] | None = None, *, keeps: bool = False
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
    """

    def known(x: Array, *args: Any, **options: Any) -> bool:
        dtype = (x[0] if x.__class__ is list else x).dtype
        if dtype.char not in "fd" or not dtype.isnative:  # Numba takes one byte order for another
            return False
        for a in args:
            if a.__class__ is np.ndarray and a.dtype is not dtype:
                if a.dtype not in (dtype, np.int64):
                    return False
        return fits is None or fits(x, *args, **options)

    return declare(takes=known, keeps=keeps, failures=(NumbaError, OSError))
