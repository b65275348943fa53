"""How many threads BLAS, the library behind NumPy's matrix products, may use.

More are not always faster: the products of a small model take less time than it takes to wake the
threads, and where other programs use the cores, waiting for each other costs many times the work.
The number also decides the last bits of the results, so a run that is to be repeated on another
machine must fix it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from minigrad.kernels.threads import openblas as _openblas

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


def _threadpool_limits(count: int) -> AbstractContextManager[object]:
    if count:
        try:
            from threadpoolctl import threadpool_limits
        except ImportError:
            pass
        else:
            return threadpool_limits(limits=count, user_api="blas")  # type: ignore[no-any-return]
    return nullcontext()
