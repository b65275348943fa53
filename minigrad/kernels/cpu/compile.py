"""How the loops of this folder are compiled and run.

`compiled` is for loops that other loops call, `parallel` for those that Python calls: they share
one pool of threads, Numba's. What was compiled is kept on disk next to the sources.
"""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba import types
from numba.core import event
from numba.core.registry import cpu_target
from numba.extending import intrinsic
from numba.np.ufunc import parallel as numba_pool

from minigrad.backend import use_kernels
from minigrad.kernels.waiting import listeners

__all__ = [
    "OPTIONS",
    "compiled",
    "has_feature",
    "in_order",
    "parallel",
    "serial",
    "threads",
    "whole_vectors",
]


# Sums may be vectorised and products contracted; on one processor that gives the same result in
# every run. NaN and infinity keep their meaning.
OPTIONS: dict[str, Any] = {
    "nogil": True,
    "error_model": "numpy",  # division by zero is no exception, or loops with one stay scalar
    "fastmath": {"contract", "reassoc", "nsz", "arcp"},
}


def compiled(function: Callable[..., Any]) -> Any:
    """Compile a loop that other compiled loops call."""
    return numba.njit(**OPTIONS)(function)


def in_order(function: Callable[..., Any]) -> Any:
    """Compile as `compiled` does, but leave sums in the order in which they are written."""
    return numba.njit(**{**OPTIONS, "fastmath": {"nsz"}})(function)


def serial(function: Callable[..., Any]) -> Any:
    """Compile a loop that Python calls for little work; keep the result on disk."""
    return _cached(function)


@intrinsic
def whole_vectors(typing: Any) -> Any:
    """Let the loops of a function fill registers of 64 bytes where the processor has them.

    Left to itself LLVM takes half of one on Intel, for older ones became slower by wide arithmetic.
    It pays where a loop calculates; most wait for memory.
    """

    def write(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        # llvmlite's set of attributes knows those by name alone; LLVM is told in words.
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.void(), write


def has_feature(name: str) -> bool:
    """Return whether Numba compiles for processors that have a feature, by LLVM's name of it."""
    features: str = cpu_target.target_context.codegen().magic_tuple()[2]
    return f"+{name}" in features.split(",")


def parallel(function: Callable[..., Any]) -> Any:
    """Compile a loop with ``prange`` that Python calls; keep the result on disk."""
    loop = _cached(function, parallel=True)

    @functools.wraps(function)
    def run(*args: Any) -> Any:
        if _pool_is_simple():
            with _pool:
                return loop(*args)
        return loop(*args)

    return run


def _cached(function: Callable[..., Any], **options: Any) -> Any:
    try:
        return numba.njit(cache=True, **options, **OPTIONS)(function)
    except RuntimeError:
        raise RuntimeError(
            "no folder to keep them in, so every process would compile them anew; set "
            "NUMBA_CACHE_DIR to one that can be written to"
        ) from None


# ---- the pool ---------------------------------------------------------------------------------

_pool = threading.RLock()


@functools.cache
def _pool_is_simple() -> bool:
    """Return True for Numba's own pool: two Python threads in it at once would end the process."""
    numba_pool._launch_threads()
    return bool(numba.threading_layer() == "workqueue")


def threads() -> int:
    """Return how many threads a loop with ``prange`` has.

    `numba.get_num_threads` takes a lock each time. An interrupt in there, Ctrl-C for one, may leave
    it taken, and the next thread to ask would wait for ever. Here the pool's start alone takes it.
    """
    _pool_is_simple()
    return int(numba_pool._get_num_threads())


def _leave_the_pool() -> None:
    """Continue with NumPy in a forked child of a process that has used the pool.

    Its threads are not there any more, GNU OpenMP ends a child that asks for them, and a lock, also
    the one of the compiler, may be held by a thread that was not copied.
    """
    if _pool_is_simple.cache_info().currsize:
        use_kernels("reference")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_the_pool)


# ---- the cache --------------------------------------------------------------------------------


def _drop_outdated() -> None:
    """Remove compiled kernels older than any source here, for they contain each other's code."""
    folder = Path(__file__).parent
    newest = max(path.stat().st_mtime for path in folder.glob("*.py"))
    for path in (folder / "__pycache__").glob("*.nb[ic]"):
        try:
            if path.stat().st_mtime < newest:
                path.unlink()
        except OSError:  # another process was faster, or the folder is read-only
            pass


_drop_outdated()


class _Progress(event.Listener):  # type: ignore[misc]
    """Says which kernel is being compiled while one waits for it the first time.

    Whoever listens says it in a way of their own; else it stands on the terminal, if there is one.
    """

    def on_start(self, what: Any) -> None:
        if not what.data["dispatcher"].targetoptions.get("parallel"):
            return
        name = what.data["dispatcher"].py_func.__name__.strip("_")
        for tell in listeners:
            tell(name)
        if not listeners and sys.stderr.isatty():
            print(f"\r\033[Kminigrad: compiling {name} (once)", end="", file=sys.stderr, flush=True)

    def on_end(self, what: Any) -> None:
        parallel = what.data["dispatcher"].targetoptions.get("parallel")
        if parallel and not listeners and sys.stderr.isatty():
            print("\r\033[K", end="", file=sys.stderr, flush=True)


event.register("numba:compile", _Progress())
