"""What the kernels of this folder need to know of arrays."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numba.core.errors import NumbaError

from minigrad.kernels import fall_back
from minigrad.kernels.arrays.running import channels_first, channels_last
from minigrad.kernels.cpu.buffers import empty
from minigrad.kernels.cpu.simd import VECTOR_BYTES

__all__ = [
    "Array",
    "are_rows",
    "channels_first",
    "channels_last",
    "contiguous",
    "empty",
    "flat",
    "instead_of",
    "lanes",
    "spatial",
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


def contiguous(x: Array) -> Array:
    """Return x in C order, its elements where their type may stand: itself, or a copy."""
    flags = x.flags
    if flags.c_contiguous and flags.aligned:
        return x
    y = empty(x.shape, x.dtype)
    y[...] = x
    return y


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


def instead_of(
    formula: Kernel, fits: Callable[..., bool] | None = None
) -> Callable[[Kernel], Kernel]:
    """Say which formula a compiled kernel stands for, and which arrays it takes.

    A compiled loop goes where addresses lead, so this is the door that all arrays go through:
    what the kernel was not written for, element types or shapes, goes to the formula instead, and
    NumPy finds what is wrong with it. Where Numba cannot compile the kernel or keep the result,
    all formulas take over, after one warning.

    Parameters
    ----------
    formula : callable
        The kernel of the same name in `minigrad.kernels.formulas` or `.arrays`.
    fits : callable, optional
        Takes the arguments; returns whether their shapes belong together. Left out where there is
        only one array, or the kernel asks by itself.
    """

    def decorate(kernel: Kernel) -> Kernel:
        @functools.wraps(kernel)
        def run(x: Array, *args: Any, **options: Any) -> Any:
            dtype = (x[0] if x.__class__ is list else x).dtype
            known = dtype.char in "fd"
            for a in args:
                if a.__class__ is np.ndarray and a.dtype is not dtype:
                    known = known and a.dtype in (dtype, np.int64)
            if not (known and (fits is None or fits(x, *args, **options))):
                return formula(np, x, *args, **options)
            try:
                return kernel(x, *args, **options)
            except (NumbaError, OSError) as error:
                fall_back(f"Numba could not make {kernel.__name__} ({error})")
                return formula(np, x, *args, **options)

        return run

    return decorate
