"""How many threads BLAS, the library behind NumPy's matrix products, may use.

More are not always faster: the products of a small model take less time than it takes to wake the
threads, and where other programs use the cores, waiting for each other costs many times the work.
The number also decides the last bits of the results, so a run that is to be repeated on another
machine must fix it.
"""

from __future__ import annotations

import ctypes
import importlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from itertools import product

__all__ = ["blas_threads"]


@contextmanager
def blas_threads(count: int) -> Iterator[None]:
    """Let matrix products use `count` threads inside the block; 0 leaves them as they are.

    Works for the OpenBLAS that NumPy's wheels bring, and with ``threadpoolctl`` for other
    libraries. Where neither is found nothing changes.

    Examples
    --------
    >>> import minigrad as mg
    >>> with blas_threads(1):
    ...     product = mg.ones(64, 64) @ mg.ones(64, 64)
    """
    controls = _openblas() if count else None
    if controls is None:
        with _threadpool_limits(count):
            yield
        return
    get, set_ = controls
    before = get()
    set_(count)
    try:
        yield
    finally:
        set_(before)


def _openblas() -> tuple[Callable[[], int], Callable[[int], None]] | None:
    """Return the functions that get and set the number of threads, or None."""
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


def _threadpool_limits(count: int) -> AbstractContextManager[object]:
    if count:
        try:
            from threadpoolctl import threadpool_limits
        except ImportError:
            pass
        else:
            return threadpool_limits(limits=count, user_api="blas")  # type: ignore[no-any-return]
    return nullcontext()
