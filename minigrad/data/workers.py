"""Workers that make batches: threads, or processes whose batches come by shared memory."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from concurrent.futures import BrokenExecutor, CancelledError, Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from minigrad.data.collate import rebuild
from minigrad.errors import DataError
from minigrad.tensor import Tensor

__all__ = ["Processes", "Threads"]

ALIGNED = 64  # bytes at which an array begins


class Slot(NamedTuple):
    """Where in the shared memory an array of the batch lies."""

    start: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


class Parcel(NamedTuple):
    """A batch on its way: the name of the shared memory, and the batch with slots for arrays."""

    name: str
    batch: Any


class Threads:
    """A pool of threads that call a function."""

    def __init__(self, function: Callable[..., Any], count: int) -> None:
        self._function = function
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="DataLoader")

    def submit(self, *args: Any) -> Future[Any]:
        """Start a call; `result` takes what it gave."""
        return self._pool.submit(self._function, *args)

    def result(self, future: Future[Any]) -> Any:
        """Return the batch of a call."""
        return future.result()

    def shutdown(self, left: list[Future[Any]]) -> None:
        """End the threads, without waiting for what is left."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class Processes:
    """A pool of processes that each hold a copy of a function, and call it.

    They are started anew (spawned), not forked, so nothing of the threads of this process is lost
    on the way; a script that starts them keeps its own doings under ``if __name__ == "__main__"``.

    Parameters
    ----------
    function : callable
        Makes a batch; it travels once, by pickle.
    count : int
        How many processes.
    """

    def __init__(self, function: Callable[..., Any], count: int) -> None:
        # Few need them, and `import minigrad` need not wait.
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context

        try:
            packed = pickle.dumps(function)
        except Exception as error:  # what a stranger's class raises when it is pickled
            raise DataError(
                f"DataLoader: processes get copies of the data set and its transforms by pickle, "
                f"which failed: {error}; define functions at the top of a module, or use threads"
            ) from None
        # Not in the pipe that starts a process: who dies before reading it would be waited for.
        self._packed = _memory(create=True, size=len(packed))
        self._packed.buf[: len(packed)] = packed
        given = self._packed.name, len(packed)
        self._pool = ProcessPoolExecutor(count, get_context("spawn"), _begin, given)

    def submit(self, *args: Any) -> Future[Any]:
        """Start a call; `result` takes what it gave."""
        return self._pool.submit(_call, *args)

    def result(self, future: Future[Any]) -> Any:
        """Return the batch of a call, as tensors in memory of their own."""
        try:
            return _unpack(future.result())
        except BrokenExecutor:
            raise DataError(
                "DataLoader: a worker process ended before its batch was made: for want of memory "
                "(take fewer workers, or smaller batches), or because it reads the script anew, "
                'which keeps its own doings under if __name__ == "__main__"'
            ) from None

    def shutdown(self, left: list[Future[Any]]) -> None:
        """End the processes; what they have made and nobody will take is thrown away."""
        for future in left:
            future.add_done_callback(_discard)
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._packed.close()
        self._packed.unlink()


# ---- in a worker ------------------------------------------------------------------------------

_function: list[Callable[..., Any]] = []


def _begin(name: str, size: int) -> None:
    try:
        memory = _memory(name)
    except FileNotFoundError:  # nobody wants a batch any more
        return
    _function[:] = [pickle.loads(bytes(memory.buf[:size]))]
    memory.close()


def _call(*args: Any) -> Parcel:
    return _pack(_function[0](*args))


def _pack(batch: Any) -> Parcel:
    arrays: list[tuple[int, Any]] = []
    end = 0

    def place(array: Any) -> Slot:
        nonlocal end
        start = -(-end // ALIGNED) * ALIGNED
        end = start + array.nbytes
        arrays.append((start, array))
        return Slot(start, array.shape, array.dtype)

    slots = _each(batch, Tensor, lambda tensor: place(tensor.array))
    memory = _memory(create=True, size=max(end, 1))
    for start, array in arrays:
        np.ndarray(array.shape, array.dtype, memory.buf, start)[...] = array
    memory.close()
    return Parcel(memory.name, slots)


# ---- where it came from -----------------------------------------------------------------------


def _unpack(parcel: Parcel) -> Any:
    memory = _memory(parcel.name)
    try:
        return _each(
            parcel.batch,
            Slot,
            lambda s: Tensor(np.ndarray(s.shape, s.dtype, memory.buf, s.start).copy()),
        )
    finally:
        memory.close()
        memory.unlink()


def _discard(future: Future[Any]) -> None:
    try:
        parcel = future.result()
    except (Exception, CancelledError):
        return  # nothing was made
    memory = _memory(parcel.name)
    memory.close()
    memory.unlink()


def _memory(*args: Any, **options: Any) -> Any:
    from multiprocessing.shared_memory import SharedMemory

    return SharedMemory(*args, **options)


def _each(batch: Any, kind: type, change: Callable[[Any], Any]) -> Any:
    """Return a batch with everything of a kind in it changed."""
    if isinstance(batch, kind):
        return change(batch)
    if isinstance(batch, Mapping):
        return {key: _each(value, kind, change) for key, value in batch.items()}
    if isinstance(batch, tuple | list):
        return rebuild(batch, [_each(value, kind, change) for value in batch])
    return batch
