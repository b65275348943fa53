"""Compiled kernels on memory that ends, or begins, at a page that nobody may touch.

A pytest plugin: whatever compiled kernel a test calls is called a second time with all its arrays
moved, inputs as well as those that it makes itself, and must say the same bit for bit. One element
too far ends the process, and the last line of the log names kernel and case.

    MINIGRAD_GUARD=end MINIGRAD_GUARD_LOG=calls.txt \
        python -m pytest -n0 -p tests.kernels.guard tests/kernels/cpu/test_formulas.py

``end`` puts the last byte of every array before the page, ``begin`` the first byte behind it. What
a kernel gets to write on is full of ones, NaN for floats: what it forgets to write shows.
"""

from __future__ import annotations

import ctypes
import importlib
import mmap
import os
import pkgutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial, wraps
from typing import Any
from unittest import mock

import numpy as np

PAGE = mmap.PAGESIZE
_libc = ctypes.CDLL(None, use_errno=True)


def memory(size: int, side: str = "end") -> Any:
    """Return `size` bytes, all ones, with a protected page on either side and no gap on one."""
    pages = -(-max(size, 1) // PAGE) * PAGE
    whole = np.frombuffer(mmap.mmap(-1, pages + 2 * PAGE), np.uint8)
    for at in (0, PAGE + pages):
        if _libc.mprotect(ctypes.c_void_p(whole.ctypes.data + at), PAGE, 0):
            raise OSError(ctypes.get_errno(), "mprotect")
    start = PAGE + (pages - size if side == "end" else 0)
    part = whole[start : start + size]
    part[...] = 255
    return part


def empty(side: str, shape: Any, dtype: Any = np.float64) -> Any:
    """Return a guarded array, like `numpy.empty`."""
    dtype = np.dtype(dtype)
    shape = (shape,) if isinstance(shape, (int, np.integer)) else tuple(shape)
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    return memory(size, side).view(dtype).reshape(shape)


def move(side: str, value: Any, known: dict[int, Any] | None = None) -> Any:
    """Return arrays, also those in tuples and lists, on guarded memory in the same layout.

    What is one array stays one array.
    """
    known = {} if known is None else known
    if isinstance(value, tuple):
        parts = [move(side, v, known) for v in value]
        return value._make(parts) if hasattr(value, "_make") else tuple(parts)
    if isinstance(value, list):
        return [move(side, v, known) for v in value]
    if not isinstance(value, np.ndarray):
        return value
    if id(value) in known:
        return known[id(value)]
    low = sum((n - 1) * s for n, s in zip(value.shape, value.strides, strict=True) if s < 0)
    high = sum((n - 1) * s for n, s in zip(value.shape, value.strides, strict=True) if s > 0)
    if not value.size:
        low, high = 0, -value.itemsize
    place = memory(high - low + value.itemsize, side)
    moved: Any = np.ndarray(value.shape, value.dtype, place, -low, value.strides)
    moved[...] = value
    moved.flags.writeable = value.flags.writeable
    known[id(value)] = moved
    return moved


class _NumPy:
    """NumPy, but what it makes lies on guarded memory."""

    def __init__(self, side: str) -> None:
        self.empty = partial(empty, side)
        for name in ("zeros", "ones", "full", "zeros_like", "ascontiguousarray", "array"):
            setattr(self, name, partial(self._moved, side, getattr(np, name)))

    @staticmethod
    def _moved(side: str, make: Callable[..., Any], *args: Any, **options: Any) -> Any:
        return move(side, make(*args, **options))

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)


def modules() -> list[Any]:
    """Return the modules with compiled kernels and what they need."""
    from minigrad.kernels import cpu

    names = [m.name for m in pkgutil.iter_modules(cpu.__path__)]
    return [importlib.import_module(f"{cpu.__name__}.{name}") for name in names]


@contextmanager
def guarded_outputs(side: str) -> Iterator[None]:
    """Let the kernels get their own arrays on guarded memory: `buffers.empty` and NumPy's."""
    with ExitStack() as stack:
        for module in modules():
            if module.__name__.rpartition(".")[2] in ("buffers", "compile", "simd"):
                continue
            for name, new in (("empty", partial(empty, side)), ("np", _NumPy(side))):
                if hasattr(module, name):
                    stack.enter_context(mock.patch.object(module, name, new))
        yield


def describe(value: Any) -> str:
    """Say in a few words what an argument is."""
    if isinstance(value, np.ndarray):
        steps = tuple(s // value.itemsize for s in value.strides)
        return f"{value.dtype}{value.shape} steps {steps}"
    if isinstance(value, (tuple, list)):
        return f"({', '.join(map(describe, value))})"
    return repr(value)


def guard(name: str, kernel: Callable[..., Any], side: str, log: int) -> Callable[..., Any]:
    """Return the kernel with a second call on guarded memory."""

    @wraps(kernel)
    def run(*args: Any, **options: Any) -> Any:
        os.write(log, f"{name} {' '.join(map(describe, args))} {options or ''}\n".encode())
        mine = move(side, list(args))
        result = kernel(*args, **options)  # compiles, where that has to be
        with guarded_outputs(side):
            second = kernel(*mine, **options)
        _same(name, [result, *args], [second, *mine])  # args as well: some are changed
        return result

    return run


def _same(name: str, one: Any, two: Any) -> None:
    if isinstance(one, (tuple, list)):
        for a, b in zip(one, two, strict=True):
            _same(name, a, b)
    elif isinstance(one, np.ndarray):
        if one.dtype.name == "bfloat16":  # of which NumPy does not know that NaN may equal NaN
            one, two = one.view(np.uint16), two.view(np.uint16)
        np.testing.assert_array_equal(one, two, err_msg=f"{name}: on guarded memory")


def pytest_configure(config: Any) -> None:
    """Guard every compiled kernel that `pick` hands out."""
    from minigrad import kernels

    log = os.open(os.environ["MINIGRAD_GUARD_LOG"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    side, find = os.environ["MINIGRAD_GUARD"], kernels._find

    def find_guarded(name: str, xp: Any) -> Any:
        kernel = find(name, xp)
        if isinstance(kernel, partial) or xp.__name__ != "numpy":
            return kernel
        return guard(name, kernel, side, log)

    kernels._find = find_guarded
    kernels.kernel_cache.clear()
