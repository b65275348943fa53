"""What the kernels of this folder need to know of arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.backend import get_xp
from minigrad.kernels.declare import declare

__all__ = [
    "THREADS",
    "Array",
    "accumulator",
    "as_rows",
    "blocks",
    "contiguous",
    "empty",
    "fits",
    "flat",
    "in_memory_order",
    "takes",
    "vector",
    "zeros",
]

Array = Any
Kernel = Callable[..., Any]

FLOATS = {"float16", "bfloat16", "float32", "float64"}
THREADS = 256  # of a block: as in common.cuh
PACK = 16  # bytes that one thread reads at once


def empty(like: Array, shape: Sequence[int], dtype: Any = None) -> Array:
    """Return new memory on the device of `like`, in its dtype unless another is given."""
    xp = get_xp(like)
    with like.device:
        return xp.empty(tuple(shape), dtype=like.dtype if dtype is None else dtype)


def zeros(like: Array, shape: Sequence[int], dtype: Any = None) -> Array:
    """Return zeros on the device of `like`."""
    out = empty(like, shape, dtype)
    out.fill(0)
    return out


def contiguous(x: Array) -> Array:
    """Return x in C order: itself, or a copy."""
    return x if x.flags.c_contiguous else get_xp(x).ascontiguousarray(x)


def as_rows(x: Array) -> Array:
    """Return (..., C) as contiguous (rows, C)."""
    return contiguous(x).reshape(-1, x.shape[-1])


def flat(*arrays: Array) -> tuple[Array, ...]:
    """Return a new array of the shape of `arrays`, then itself and them contiguous.

    All run through the elements in the order in which the first array has them in memory.
    """
    first = arrays[0]
    order = sorted(range(first.ndim), key=lambda axis: -first.strides[axis])
    rows = [contiguous(a.transpose(order)) for a in arrays]
    result = empty(first, rows[0].shape)
    back = sorted(range(first.ndim), key=order.__getitem__)
    return result.transpose(back), result, *rows


def in_memory_order(*arrays: Array) -> list[Array] | None:
    """View arrays of one shape in C order, for kernels that change them; None if that needs a copy.

    They must lie in memory in the same order of axes, without gaps.
    """
    first = arrays[0]
    order = sorted(range(first.ndim), key=lambda axis: -first.strides[axis])
    views = [a.transpose(order) for a in arrays]
    fit = all(v.flags.c_contiguous and v.shape == views[0].shape for v in views)
    return views if fit else None


def vector(length: int, *arrays: Array | None) -> int:
    """Return how many neighbours a thread treats at once: 16 bytes of the narrowest, if all fits.

    Parameters
    ----------
    length : int
        Vectors must not reach over the end of a row of this length.
    *arrays : array or None
        What is read and written so: in packs of up to 16 bytes, whose addresses must be multiples
        of their size.
    """
    given = [a for a in arrays if a is not None]
    lanes: int = PACK // min(a.itemsize for a in given)
    while lanes > 1 and (
        length % lanes or any(a.data.ptr % min(PACK, lanes * a.itemsize) for a in given)
    ):
        lanes //= 2
    return lanes


def blocks(work: int, threads: int = THREADS) -> int:
    """Return how many blocks give each piece of work a thread."""
    return -(-work // threads)


def accumulator(dtype: Any) -> Any:
    """Return the dtype in which sums over `dtype` are taken."""
    return np.dtype(np.float64 if dtype == np.float64 else np.float32)


def takes(
    arrays: int | None = 1,
    when: Callable[..., bool] | None = None,
    *,
    keeps: bool = False,
    mixes: bool = False,
) -> Callable[[Kernel], Kernel]:
    """Say which arrays a CUDA kernel takes: `pick` asks, and gives all others to the formula.

    Parameters
    ----------
    arrays : int or None, default 1
        How many of the first arguments have the dtype of the first. The others, parameters, may be
        float32 beside two-byte types: so they are in mixed precision. None: `when` says all.
    when : callable, optional
        Takes the arguments; returns whether the kernel can treat them.
    keeps : bool, default False
        Whether the kernel keeps what its gradient needs.
    mixes : bool, default False
        Whether autocast may leave the types of the arguments to the kernel.
    """

    def known(x: Array, *args: Any, **options: Any) -> bool:
        return (arrays is None or fits(x, args[: arrays - 1], args[arrays - 1 :])) and (
            when is None or when(x, *args, **options)
        )

    return declare(takes=known, keeps=keeps, mixes=("float16", "bfloat16") if mixes else ())


def fits(x: Array, same: Sequence[Any], parameters: Sequence[Any]) -> bool:
    """Return True if the kernels know the dtype of x, and the others go with it."""
    if x.dtype.name not in FLOATS:
        return False
    given = {p.dtype for p in parameters if hasattr(p, "dtype")}
    known: list[set[Any]] = [set(), {x.dtype}]
    if x.itemsize == 2:
        known.append({np.dtype(np.float32)})
    return given in known and all(a.dtype == x.dtype for a in same if hasattr(a, "dtype"))
