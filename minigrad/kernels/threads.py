"""Threads for kernels in NumPy, which lets go of Python's lock while it computes.

Their number is that of BLAS, so whatever limits BLAS (``OPENBLAS_NUM_THREADS``, threadpoolctl, the
cores of the process) limits them; while they run, BLAS has one thread inside each. A task is the
same whoever runs it, so no result depends on the number.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import copy_context
from functools import cache
from itertools import product
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import Future, ThreadPoolExecutor

__all__ = ["alone", "openblas", "run_tasks"]

Controls = tuple[Callable[[], int], Callable[[int], None]]


@cache
def openblas() -> Controls | None:
    """Return the functions that get and set the number of threads of NumPy's OpenBLAS, or None."""
    extension = importlib.import_module("numpy._core._multiarray_umath")
    try:
        library = ctypes.CDLL(extension.__file__)  # finds the names of what it was linked with too
    except (OSError, TypeError):
        return None
    for prefix, suffix in product(("scipy_openblas", "openblas"), ("64_", "")):
        try:
            get = getattr(library, f"{prefix}_get_num_threads{suffix}")
            set_ = getattr(library, f"{prefix}_set_num_threads{suffix}")
        except AttributeError:
            continue
        get.restype, set_.restype, set_.argtypes = ctypes.c_int, None, [ctypes.c_int]
        return get, set_
    return None


_free = threading.Lock()  # held by the one who has the threads of BLAS


@cache
def _pool() -> ThreadPoolExecutor:
    from concurrent.futures import ThreadPoolExecutor  # takes a while, and not all need it

    return ThreadPoolExecutor(os.cpu_count(), "minigrad")


def _start_anew() -> None:
    """In a forked child there are no threads but the one that forked."""
    global _free
    _free = threading.Lock()
    _pool.cache_clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)


def alone(function: Callable[..., Any], *args: Any) -> Any:
    """Return ``function(*args)``; BLAS has one thread meanwhile."""
    return run_tasks(lambda given: function(*given), (args,))[0]


def run_tasks(work: Callable[[Any], Any], tasks: Sequence[Any]) -> list[Any]:
    """Return ``[work(task) for task in tasks]``, by as many threads as BLAS may use.

    One caller at a time has the threads; for others, and for tasks that run tasks themselves, this
    is the list comprehension above.

    Examples
    --------
    >>> run_tasks(len, ["a", "bc"])
    [1, 2]
    """
    controls, mine = openblas(), _free
    if controls is None or not mine.acquire(blocking=False):
        return [work(task) for task in tasks]
    get, set_ = controls
    threads = get()
    try:
        set_(1)
        return _run(work, tasks, min(threads, len(tasks)))
    finally:
        set_(threads)
        mine.release()


def _run(work: Callable[[Any], Any], tasks: Sequence[Any], threads: int) -> list[Any]:
    results: list[Any] = [None] * len(tasks)
    waiting = deque(enumerate(tasks))

    def some() -> None:
        while True:
            try:
                i, task = waiting.popleft()
            except IndexError:
                return
            results[i] = work(task)

    helpers: list[Future[None]] = []
    with suppress(RuntimeError):  # Python is ending and starts no thread any more
        for _ in range(threads - 1):
            helpers.append(_pool().submit(copy_context().run, some))
    try:
        some()
    finally:
        waiting.clear()
        for helper in helpers:
            helper.result()
    return results
