"""How NumPy takes a formula through large arrays: in pieces that fit in the cache, by threads."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from minigrad.kernels.threads import alone, run_tasks

__all__ = ["chunks", "elements", "in_float32", "rows", "sum_rows", "unit_of", "widen"]

Array = Any
Kernel = Callable[..., Any]

# A formula makes a handful of temporaries. In blocks they stay in the cache; and the blocks are
# large enough for several threads: between two NumPy functions each wants the lock of Python.
BLOCK = 1 << 17
SMALL = 1 << 13  # up to here BLAS takes no second thread by itself
# Elements at a time of arrays that are changed in place: pieces of this size stay in the
# second-level cache, so that a dozen operations read a parameter from memory once.
CHUNK = 1 << 15


def in_float32(kernel: Kernel) -> Kernel:
    """Compute two-byte floats in float32 and round the results once."""

    @functools.wraps(kernel)
    def run(xp: Any, x: Array, *args: Any) -> Any:
        if not _is_narrow(x):
            return kernel(xp, x, *args)
        results = kernel(xp, widen(x), *map(widen, args))
        if isinstance(results, tuple):
            return tuple(_narrow(r, x.dtype) for r in results)
        return _narrow(results, x.dtype)

    return run


def rows(arrays: int, axes: int) -> Callable[[Kernel], Kernel]:
    """Run a formula on blocks of rows.

    The first result is put together from rows. Further results are sums over rows (gradients of
    parameters): they are added up over the blocks, in order. Two-byte floats go through float32.

    Parameters
    ----------
    arrays : int
        How many of the first arguments are split; the others go whole to every block.
    axes : int
        How many trailing axes make one row; rows do not depend on each other.
    """

    def decorate(formula: Kernel) -> Kernel:
        whole = in_float32(formula)

        @functools.wraps(formula)
        def run(xp: Any, *args: Any) -> Any:
            size = max(a.size for a in args[:arrays])
            if size <= BLOCK:
                return alone(whole, xp, *args) if size > SMALL else whole(xp, *args)
            x, narrow = args[0], _is_narrow(args[0])
            lead = x.shape[: x.ndim - axes]
            count = math.prod(lead)
            split = [a.reshape(count, *a.shape[len(lead) :]) for a in args[:arrays]]
            shared = [widen(a) for a in args[arrays:]] if narrow else args[arrays:]
            step = max(1, BLOCK * count // size)
            out: Array = None

            def block(start: int) -> list[Array | None]:
                nonlocal out
                part = [a[start : start + step] for a in split]
                results = formula(xp, *(map(widen, part) if narrow else part), *shared)
                first, *more = results if isinstance(results, tuple) else (results,)
                if out is None:
                    out = np.empty((count, *first.shape[1:]), x.dtype)
                out[start : start + step] = first
                return more

            sums = block(0)
            for more in run_tasks(block, range(step, count, step)):
                sums = [None if s is None else s + m for s, m in zip(sums, more, strict=True)]
            out = out.reshape(lead + out.shape[1:])
            return (out, *(_narrow(s, x.dtype) for s in sums)) if sums else out

        return run

    return decorate


def elements(formula: Kernel) -> Kernel:
    """Run an elementwise formula in blocks, whatever the layout; in one go if shapes differ."""
    whole = in_float32(formula)

    @functools.wraps(formula)
    def run(xp: Any, *arrays: Array) -> Array:
        x = arrays[0]
        if x.size <= BLOCK or any(np.shape(a) != x.shape for a in arrays):
            return whole(xp, *arrays)
        out = np.empty_like(x)  # keeps the order of the axes in memory
        order = sorted(range(x.ndim), key=lambda axis: -out.strides[axis])
        flat = [a.transpose(order).reshape(-1) for a in arrays]
        result = out.transpose(order).reshape(-1)  # a view, for `out` has no gaps

        def block(start: int) -> None:
            part = slice(start, start + BLOCK)
            result[part] = whole(xp, *(a[part] for a in flat))

        run_tasks(block, range(0, x.size, BLOCK))
        return out

    return run


def chunks(*arrays: Array) -> Iterator[tuple[Array, ...]]:
    """Yield matching pieces of arrays of one shape, and two pieces of scratch memory."""
    first = arrays[0]
    if not first.flags.c_contiguous:
        yield *arrays, np.empty_like(first), np.empty_like(first)
        return
    scratch = np.empty((2, min(CHUNK, first.size)), first.dtype)
    flat = [a.reshape(-1) for a in arrays]
    for start in range(0, first.size, CHUNK):
        pieces = [a[start : start + CHUNK] for a in flat]
        yield *pieces, *scratch[:, : pieces[0].size]


def sum_rows(x: Array) -> Array:
    """Sum over all axes but the last, in blocks, which keeps float32 sums accurate."""
    if x.ndim == 1:
        return x
    matrix = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    step = max(1, BLOCK // max(1, x.shape[-1]))
    blocks = [matrix[i : i + step] for i in range(0, max(1, len(matrix)), step)]
    sums = [np.ones(len(b), dtype=x.dtype) @ b for b in blocks]
    return sums[0] if len(sums) == 1 else np.sum(sums, axis=0)


def unit_of(dtype: Any) -> float:
    """Return 1 over a number whose square is out of range, while all of its smaller ones are in."""
    return 2.0**-70 if dtype.itemsize == 4 else 2.0**-540


def _is_narrow(value: Any) -> bool:
    dtype = getattr(value, "dtype", None)
    return dtype is not None and dtype.itemsize == 2 and dtype.kind in "fV"


def widen(value: Any) -> Any:
    """Return two-byte floats, also those in a tuple, as float32."""
    if isinstance(value, tuple) and hasattr(value, "_make"):
        return value._make(map(widen, value))
    return value.astype(np.float32) if _is_narrow(value) else value


def _narrow(value: Any, dtype: Any) -> Any:
    return value.astype(dtype) if value is not None and value.dtype == np.float32 else value
