"""The ``xp`` of a formula: NumPy's names in one library, and those whose best way differs.

A formula is written once, ``name(xp, …)``, and asks nobody where it runs. What tensors, NumPy and
CuPy do differently stands here, one small class each. Another formula is a name of `xp` as well:
``xp.gelu(h)`` is carried out as that library does it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial, update_wrapper
from typing import Any, ClassVar

import numpy as np

from minigrad.backend import anywhere, finite, quietly
from minigrad.kernels.arrays import running
from minigrad.kernels.arrays.erf import erf
from minigrad.kernels.table import FILE_OF, IN_FLOAT32, QUIET, WAYS, written
from minigrad.kernels.threads import run_tasks

__all__ = ["CuPy", "Namespace", "NumPy", "namespace"]

Array = Any
Kernel = Callable[..., Any]


class Namespace:
    """Tensors: every name is an operation that can be differentiated.

    Parameters
    ----------
    library : module
        `minigrad.ops`; for the subclasses, `numpy` and `cupy`.

    Examples
    --------
    >>> xp = NumPy(np)
    >>> xp.sqrt(np.array([4.0])), xp.mean_last(np.array([[1.0, 3.0]]))
    (array([2.]), array([[2.]]))
    """

    def __init__(self, library: Any) -> None:
        self._library = library

    def __getattr__(self, name: str) -> Any:
        try:
            found = getattr(self._library, name)
        except AttributeError:
            if name not in FILE_OF:
                raise
            found = self.kernel(name)
        setattr(self, name, found)  # the next time it is found at once
        return found

    def kernel(self, name: str) -> Kernel:
        """Return kernel `name` as it is written in `formulas` or `arrays`, without ``xp``."""
        function = written(name)
        return update_wrapper(partial(self._carried_out(name, function), self), function)

    def _carried_out(self, name: str, function: Kernel) -> Kernel:
        return quietly(function) if name in QUIET else function

    def product(self, x: Array, y: Array) -> Array:
        """Product of two matrices."""
        return x @ y

    def mean_last(self, x: Array) -> Array:
        """Mean over the last axis, kept."""
        return self.mean(x, axis=-1, keepdims=True)

    def sum_positions(self, x: Array) -> Array:
        """Sum of (N, L, C) over L, kept."""
        return self.sum(x, axis=1, keepdims=True)

    def sum_rows(self, x: Array) -> Array:
        """Sum over all axes but the last."""
        lead = tuple(range(x.ndim - 1))
        return self.sum(x, axis=lead) if lead else x

    def mean_rows(self, x: Array) -> Array:
        """Mean over all axes but the last."""
        share = 1.0 / math.prod(x.shape[:-1])
        mean = self.sum_rows(x) * share
        if not finite(mean):  # the sum was too large, the mean need not be
            return self.sum_rows(x * share)
        return mean

    @quietly
    def inverse_deviation(
        self, centred: Array, mean: Callable[[Array], Array], eps: float
    ) -> tuple[Array, Array]:
        """Return ``1 / sqrt(var + eps)`` and ``var = mean(centred**2)``, even if that is infinite.

        From 2e19 on a square is infinite. There the numbers are squared in a smaller unit, next to
        which eps is nothing. (The compiled kernels of a GPU look row by row.)
        """
        var = mean(centred * centred)
        scale = 1.0 / self.sqrt(var + eps)
        if not anywhere(np.isinf, var):
            return scale, var
        unit = running.unit_of(var.dtype)
        small = centred * unit
        return self.where(var == math.inf, unit / self.sqrt(mean(small * small)), scale), var

    @quietly
    def squares_in_range(self, x: Array, total: Callable[[Array], Array]) -> tuple[Array, Any]:
        """Return ``total((x * unit)**2)`` and the unit: 1, or a small one where that is infinite.

        (The compiled kernels of a GPU sum up in both units.)
        """
        squares = total(x * x)
        if not anywhere(np.isinf, squares):
            return squares, 1.0
        far = squares == math.inf
        unit = running.unit_of(squares.dtype)
        small = x * unit
        return (
            self.where(far, total(small * small), squares),
            self.where(far, unit, self.ones_like(squares)),
        )


class Arrays(Namespace):
    """What NumPy and CuPy do alike."""

    def _carried_out(self, name: str, function: Kernel) -> Kernel:
        if name in IN_FLOAT32:
            function = running.in_float32(function)
        return super()._carried_out(name, function)

    @cached_property
    def product(self) -> Kernel:
        """Product of two matrices, as the kernel makes it."""
        return self.kernel("matmul")

    def erf(self, z: Array) -> Array:
        """Error function, which not every library has."""
        return erf(self, z)

    # Sums as products with a vector of ones: BLAS adds two to ten times faster than np.sum.

    def mean_last(self, x: Array) -> Array:
        return self.matmul(x, self.full((x.shape[-1], 1), 1.0 / x.shape[-1], dtype=x.dtype))

    def sum_positions(self, x: Array) -> Array:
        return self.matmul(self.ones((1, x.shape[1]), dtype=x.dtype), x)


class CuPy(Arrays):
    """Arrays of a GPU, which is never waited for."""

    _constants: ClassVar[dict[Any, Array]] = {}

    def run_tasks(self, work: Callable[[Any], Any], tasks: Sequence[Any]) -> list[Any]:
        """Return ``[work(task) for task in tasks]``: on NumPy by threads."""
        return [work(task) for task in tasks]

    def chunks(self, *arrays: Array) -> Iterator[tuple[Array, ...]]:
        """Yield matching pieces of arrays of one shape, and two pieces of scratch memory."""
        yield *arrays, self.empty_like(arrays[0]), self.empty_like(arrays[0])

    def constant(self, values: Any, dtype: Any = None) -> Array:
        """Return a constant NumPy array in this library.

        A GPU keeps it: it is copied there once and not at every call, which a CUDA graph could not
        do.
        """
        values = np.asarray(values, dtype)
        key = (self.cuda.runtime.getDevice(), values.dtype, values.shape, values.tobytes())
        found = self._constants.get(key)
        if found is None:
            if len(self._constants) > 1000:  # sizes of images that never come again
                self._constants.clear()
            found = self._constants[key] = self.asarray(values)
        return found

    def add_up(self, places: Array, values: Array, size: int) -> Array:
        """Return float64 zeros (size,) to which each of `values` is added at its place.

        NumPy counts faster than it adds; CuPy's count would wait to know the largest place.
        """
        out = self.zeros(size, np.float64)
        self.add.at(out, places, values.astype(np.float64))
        return out


class NumPy(Arrays):
    """Arrays of the CPU: by threads, in pieces that fit in the cache."""

    def _carried_out(self, name: str, function: Kernel) -> Kernel:
        if name in WAYS:
            return Namespace._carried_out(self, name, WAYS[name](function))
        return super()._carried_out(name, function)

    def sum_rows(self, x: Array) -> Array:
        return running.sum_rows(x)

    def run_tasks(self, work: Callable[[Any], Any], tasks: Sequence[Any]) -> list[Any]:
        return run_tasks(work, tasks)

    def chunks(self, *arrays: Array) -> Iterator[tuple[Array, ...]]:
        return running.chunks(*arrays)

    def constant(self, values: Any, dtype: Any = None) -> Array:
        return np.asarray(values, dtype)

    def add_up(self, places: Array, values: Array, size: int) -> Array:
        return np.bincount(places.astype(np.intp, copy=False), values, size)


_KINDS: dict[str, type[Namespace]] = {"numpy": NumPy, "cupy": CuPy}


def namespace(library: Any) -> Namespace:
    """Return the namespace of formulas in `library`: numpy, cupy or `minigrad.ops`."""
    return _KINDS.get(library.__name__, Namespace)(library)
