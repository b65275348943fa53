"""How formulas are run on plain arrays: in cache-sized blocks, two-byte floats in float32."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from minigrad.backend import quietly
from minigrad.kernels.threads import alone, run_tasks

__all__ = [
    "add_up",
    "channels_first",
    "channels_last",
    "constant",
    "elementwise",
    "in_blocks",
    "in_float32",
    "inverse_deviation",
    "mean_last",
    "sum_positions",
    "sum_rows",
    "unit_of",
]

Array = Any
Kernel = Callable[..., Any]

# A formula makes a handful of temporaries. In blocks they stay in the cache; and the blocks are
# large enough for several threads: between two NumPy functions each wants the lock of Python.
BLOCK = 1 << 17
SMALL = 1 << 13  # up to here BLAS takes no second thread by itself


def in_float32(kernel: Kernel) -> Kernel:
    """Compute two-byte floats in float32 and round the results once."""

    @functools.wraps(kernel)
    def run(xp: Any, x: Array, *args: Any) -> Any:
        if not _is_narrow(x) or xp.__name__ == "minigrad.ops":
            return kernel(xp, x, *args)
        results = kernel(xp, _widen(x), *map(_widen, args))
        if isinstance(results, tuple):
            return tuple(_narrow(r, x.dtype) for r in results)
        return _narrow(results, x.dtype)

    return run


def in_blocks(arrays: int, row_axes: int) -> Callable[[Kernel], Kernel]:
    """Run a formula on blocks of rows when its arguments are NumPy arrays.

    The first result is put together from rows. Further results are sums over rows (gradients of
    parameters): they are added up over the blocks, in order. Two-byte floats go through float32.

    Parameters
    ----------
    arrays : int
        How many of the first arguments are split; the others go whole to every block.
    row_axes : int
        How many trailing axes make one row; rows do not depend on each other.
    """

    def decorate(formula: Kernel) -> Kernel:
        whole = in_float32(formula)

        @functools.wraps(formula)
        def run(xp: Any, *args: Any) -> Any:
            size = max(a.size for a in args[:arrays]) if xp is np else 0
            if size <= BLOCK:
                return alone(whole, xp, *args) if size > SMALL else whole(xp, *args)
            x, narrow = args[0], _is_narrow(args[0])
            lead = x.shape[: x.ndim - row_axes]
            rows = math.prod(lead)
            split = [a.reshape(rows, *a.shape[len(lead) :]) for a in args[:arrays]]
            shared = [_widen(a) for a in args[arrays:]] if narrow else args[arrays:]
            step = max(1, BLOCK * rows // size)
            out: Array = None

            def block(start: int) -> list[Array | None]:
                nonlocal out
                part = [a[start : start + step] for a in split]
                results = formula(np, *(map(_widen, part) if narrow else part), *shared)
                first, *more = results if isinstance(results, tuple) else (results,)
                if out is None:
                    out = np.empty((rows, *first.shape[1:]), x.dtype)
                out[start : start + step] = first
                return more

            sums = block(0)
            for more in run_tasks(np, block, range(step, rows, step)):
                sums = [None if s is None else s + m for s, m in zip(sums, more, strict=True)]
            out = out.reshape(lead + out.shape[1:])
            return (out, *(_narrow(s, x.dtype) for s in sums)) if sums else out

        return run

    return decorate


def elementwise(formula: Kernel) -> Kernel:
    """Run an elementwise formula (arguments of one shape) in blocks, whatever the memory layout."""
    whole = in_float32(formula)

    @functools.wraps(formula)
    def run(xp: Any, *arrays: Array) -> Array:
        x = arrays[0]
        if xp is not np or x.size <= BLOCK:
            return whole(xp, *arrays)
        out = np.empty_like(x)  # keeps the order of the axes in memory
        order = sorted(range(x.ndim), key=lambda axis: -out.strides[axis])
        flat = [a.transpose(order).reshape(-1) for a in arrays]
        result = out.transpose(order).reshape(-1)  # a view, for `out` has no gaps

        def block(start: int) -> None:
            part = slice(start, start + BLOCK)
            result[part] = whole(np, *(a[part] for a in flat))

        run_tasks(np, block, range(0, x.size, BLOCK))
        return out

    return run


_on_device: dict[Any, Array] = {}


def constant(xp: Any, values: Any, dtype: Any = None) -> Array:
    """Return a constant NumPy array in namespace `xp`.

    A GPU keeps it: it is copied there once and not at every call, which a CUDA graph could not do.
    """
    if xp.__name__ != "cupy":
        return xp.asarray(values, dtype=dtype)
    values = np.asarray(values, dtype)
    key = (xp.cuda.runtime.getDevice(), values.dtype, values.shape, values.tobytes())
    found = _on_device.get(key)
    if found is None:
        if len(_on_device) > 1000:  # sizes of images that never come again
            _on_device.clear()
        found = _on_device[key] = xp.asarray(values)
    return found


def add_up(xp: Any, places: Array, values: Array, size: int) -> Array:
    """Return float64 zeros (size,) to which each of `values` is added at its place.

    NumPy counts faster than it adds; CuPy's count would wait for the GPU to know the largest place.
    """
    if xp.__name__ != "cupy":
        return xp.bincount(places, values, size)
    out = xp.zeros(size, np.float64)
    xp.add.at(out, places, values.astype(np.float64))
    return out


# Sums as products with a vector of ones: BLAS adds two to ten times faster than np.sum.


def mean_last(xp: Any, x: Array) -> Array:
    """Mean over the last axis, kept."""
    if xp.__name__ == "minigrad.ops":
        return xp.mean(x, axis=-1, keepdims=True)
    return xp.matmul(x, xp.full((x.shape[-1], 1), 1.0 / x.shape[-1], dtype=x.dtype))


def sum_positions(xp: Any, x: Array) -> Array:
    """Sum of (N, L, C) over L, kept."""
    if xp.__name__ == "minigrad.ops":
        return xp.sum(x, axis=1, keepdims=True)
    return xp.matmul(xp.ones((1, x.shape[1]), dtype=x.dtype), x)


def sum_rows(xp: Any, x: Array) -> Array:
    """Sum over all axes but the last; on NumPy in blocks, which keeps float32 sums accurate."""
    lead = tuple(range(x.ndim - 1))
    if not lead:
        return x
    if xp is not np:
        return xp.sum(x, axis=lead)
    rows = x.reshape(math.prod(x.shape[:-1]), x.shape[-1])
    step = max(1, BLOCK // max(1, x.shape[-1]))
    blocks = [rows[i : i + step] for i in range(0, max(1, len(rows)), step)]
    sums = [np.ones(len(b), dtype=x.dtype) @ b for b in blocks]
    return sums[0] if len(sums) == 1 else np.sum(sums, axis=0)


@quietly
def inverse_deviation(
    xp: Any, centred: Array, mean: Callable[[Array], Array], eps: float
) -> tuple[Array, Array]:
    """Return ``1 / sqrt(var + eps)`` and ``var = mean(centred**2)``, also where that is infinite.

    From 2e19 on a square is infinite. There the numbers are squared in a smaller unit, next to
    which eps is nothing. (Not on a GPU, which would have to wait for the answer whether there are
    such: its kernels look row by row.)
    """
    var = mean(centred * centred)
    scale = 1.0 / xp.sqrt(var + eps)
    array = getattr(var, "array", var)
    if not isinstance(array, np.ndarray) or not np.isinf(array).any():
        return scale, var
    unit = unit_of(array.dtype)
    small = centred * unit
    return xp.where(var == math.inf, unit / xp.sqrt(mean(small * small)), scale), var


def unit_of(dtype: Any) -> float:
    """Return 1 over a number whose square is out of range, while all of its smaller ones are in."""
    return 2.0**-70 if dtype.itemsize == 4 else 2.0**-540


def channels_last(x: Array) -> Array:
    """View (N, C, *spatial) as (N, *spatial, C)."""
    return x.transpose(0, *range(2, x.ndim), 1)


def channels_first(x: Array) -> Array:
    """View (N, *spatial, C) as (N, C, *spatial)."""
    return x.transpose(0, x.ndim - 1, *range(1, x.ndim - 1))


def _is_narrow(value: Any) -> bool:
    dtype = getattr(value, "dtype", None)
    return dtype is not None and dtype.itemsize == 2 and dtype.kind in "fV"


def _widen(value: Any) -> Any:
    return value.astype(np.float32) if _is_narrow(value) else value


def _narrow(value: Any, dtype: Any) -> Any:
    return value.astype(dtype) if value is not None and value.dtype == np.float32 else value
