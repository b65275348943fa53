"""Devices, streams, events, graphs, memory pools and kernels of the stand-in."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np

from tests.emulated.fake_cupy import runs
from tests.emulated.fake_cupy.runs import CUDARuntimeError, state

COUNT = [1]  # how many GPUs the machine claims to have; tests change it


class Device:
    """The stand-in of ``cupy.cuda.Device``."""

    compute_capability = "90"
    attributes: ClassVar[dict[str, int]] = {"MultiProcessorCount": 132, "WarpSize": 32}

    def __init__(self, device: Any = None) -> None:
        self.id = state.device if device is None else int(device)
        if not 0 <= self.id < COUNT[0]:
            raise CUDARuntimeError("cudaErrorInvalidDevice: invalid device ordinal")
        self._before: list[int] = []

    def __enter__(self) -> Device:
        self._before.append(state.device)
        state.device = self.id
        return self

    def __exit__(self, *error: object) -> None:
        state.device = self._before.pop()

    def __int__(self) -> int:
        return self.id

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device) and self.id == other.id

    def __hash__(self) -> int:
        return self.id

    def use(self) -> None:
        state.device = self.id

    def synchronize(self) -> None:
        runs.synchronise("Device.synchronize()")

    @property
    def mem_info(self) -> tuple[int, int]:
        return TOTAL - default_pool.used, TOTAL


TOTAL = 80 << 30


# ---- memory -----------------------------------------------------------------------------------


class MemoryPool:
    """Counts bytes; the memory is NumPy's."""

    def __init__(self, allocator: Any = None) -> None:
        self.used = self.top = 0

    def malloc(self, size: int) -> Memory:
        return Memory(self, size)

    def used_bytes(self) -> int:
        return self.used

    def total_bytes(self) -> int:
        return self.top

    def free_bytes(self) -> int:
        return self.top - self.used

    def free_all_blocks(self, stream: Any = None) -> None:
        self.top = self.used

    def get_limit(self) -> int:
        return 0


class Memory:
    """One piece of memory: gives itself back when the last array on it is gone."""

    __slots__ = ("device", "pool", "size")

    def __init__(self, pool: MemoryPool, size: int) -> None:
        self.pool, self.size, self.device = pool, size, state.device
        pool.used += size
        pool.top = max(pool.top, pool.used)

    def __del__(self) -> None:
        self.pool.used -= self.size


class MemoryPointer:
    """Where an array starts."""

    def __init__(self, values: Any, memory: Any) -> None:
        self.values, self.mem, self.ptr = values, memory, values.ctypes.data

    @property
    def device_id(self) -> int:
        return int(self.mem.device)

    def array(self, shape: Any, dtype: Any) -> Any:
        raise NotImplementedError("the stand-in makes no array from a bare pointer")

    def memset_async(self, value: int, size: int, stream: Any = None) -> None:
        raw = self.values.reshape(-1).view(np.uint8)
        runs.execute(lambda: raw[:size].fill(value))

    def copy_from_device_async(self, source: MemoryPointer, size: int, stream: Any = None) -> None:
        to, of = self.values.reshape(-1).view(np.uint8), source.values.reshape(-1).view(np.uint8)
        runs.execute(lambda: np.copyto(to[:size], of[:size]))


default_pool = MemoryPool()
_allocator: list[Callable[[int], Memory]] = [default_pool.malloc]


def allocate(size: int) -> Memory:
    """Take memory from the current allocator.

    In a capture the default pool is refused: it would hand the memory to others as soon as the
    capture is over, and every replay would write over their values.
    """
    if runs.capturing() is not None and _allocator[0] == default_pool.malloc:
        raise CUDARuntimeError(
            "memory of the default pool inside a capture; the pool gives it to others afterwards: "
            "capture under cupy.cuda.using_allocator(cupy.cuda.MemoryPool().malloc)"
        )
    return _allocator[0](size)


def set_allocator(allocator: Any = None) -> None:
    _allocator[0] = allocator or default_pool.malloc


def get_allocator() -> Any:
    return _allocator[0]


@contextmanager
def using_allocator(allocator: Any = None) -> Iterator[None]:
    before = _allocator[0]
    set_allocator(allocator)
    try:
        yield
    finally:
        _allocator[0] = before


# ---- streams, events, graphs --------------------------------------------------------------------

_pointers = itertools.count(1000, 8)


class Stream:
    """The stand-in of ``cupy.cuda.Stream``: work happens at once, order is written down."""

    null: ClassVar[Stream]
    captures: ClassVar[int] = 0  # how many streams capture now
    known: ClassVar[dict[int, Stream]] = {}

    def __init__(
        self, null: bool = False, non_blocking: bool = False, ptds: bool = False, priority: int = 0
    ) -> None:
        self.ptr = 0 if null else next(_pointers)
        self.is_null, self.is_non_blocking = null, non_blocking
        self.nodes: list[Callable[[], None]] | None = None
        self.waits: list[Event] = []
        self._before: list[Stream] = []
        Stream.known[self.ptr] = self

    def __enter__(self) -> Stream:
        self._before.append(state.stream)
        state.stream = self
        return self

    def __exit__(self, *error: object) -> None:
        state.stream = self._before.pop()

    def use(self) -> Stream:
        state.stream = self
        return self

    def synchronize(self) -> None:
        runs.synchronise("Stream.synchronize()")

    @property
    def done(self) -> bool:
        return True

    def record(self, event: Event | None = None) -> Event:
        event = Event() if event is None else event
        event.record(self)
        return event

    def wait_event(self, event: Event) -> None:
        self.waits.append(event)

    def is_capturing(self) -> bool:
        return self.nodes is not None

    def begin_capture(self, mode: Any = None) -> None:
        if self.is_null:
            raise RuntimeError("cannot capture on the default (legacy) stream")
        if self.nodes is not None:
            raise CUDARuntimeError("cudaErrorIllegalState: the stream captures already")
        self.nodes = []
        Stream.captures += 1

    def end_capture(self) -> Graph:
        if self.nodes is None:
            raise CUDARuntimeError("cudaErrorIllegalState: the stream does not capture")
        nodes, self.nodes = self.nodes, None
        Stream.captures -= 1
        graph = Graph.__new__(Graph)
        graph.nodes = nodes
        return graph


class ExternalStream(Stream):
    """A stream of another library."""

    def __init__(self, ptr: int, device_id: int = -1) -> None:
        super().__init__()
        self.ptr = ptr


Stream.null = type(state).null = state.stream = Stream(null=True)  # where threads start


def stream_at(ptr: int) -> Stream:
    """Return the stream of another library by its number."""
    return Stream.null if ptr in (0, 1) else Stream.known.get(ptr) or ExternalStream(ptr)


def get_current_stream(device_id: int = -1) -> Stream:
    found: Stream = state.stream
    return found


class Event:
    """The stand-in of ``cupy.cuda.Event``."""

    def __init__(
        self, block: bool = False, disable_timing: bool = False, interprocess: bool = False
    ) -> None:
        self.time: float | None = None
        self.stream: Stream | None = None

    def record(self, stream: Stream | None = None) -> None:
        self.stream, self.time = stream or get_current_stream(), time.perf_counter()

    def synchronize(self) -> None:
        runs.synchronise("Event.synchronize()")

    @property
    def done(self) -> bool:
        return True


def get_elapsed_time(start: Event, end: Event) -> float:
    """Milliseconds between two events."""
    if start.time is None or end.time is None:
        raise CUDARuntimeError("cudaErrorInvalidResourceHandle: the event was not recorded")
    return (end.time - start.time) * 1e3


class Graph:
    """What a capture wrote down; `launch` does all of it again, on the same memory."""

    nodes: list[Callable[[], None]]

    def __init__(self) -> None:
        raise NotImplementedError("graphs come from stream capture")

    def launch(self, stream: Stream | None = None) -> None:
        for counts in state.counting:
            counts.launches += 1
        for node in self.nodes:
            node()

    def upload(self, stream: Stream | None = None) -> None:
        """Do nothing: there is nowhere to send it."""


class Capsule:
    """What ``__dlpack__`` hands over here."""

    def __init__(self, array: Any) -> None:
        self.array = array


# ---- kernels ------------------------------------------------------------------------------------


class RawKernel:
    """A kernel that the shim of `tests.emulated.shim` compiles for the CPU."""

    def __init__(self, code: str, name: str, options: Any = (), **other: Any) -> None:
        self.name, self.code, self.options = name, code, tuple(options)
        self._module = RawModule(code=code, options=options)
        self._kernel: Any = None

    def __call__(self, grid: Any, block: Any, args: Any, *, shared_mem: int = 0) -> None:
        if self._kernel is None:
            self._kernel = self._module.program().get_function(self.name)
        kernel, plain = self._kernel, tuple([_argument(a) for a in args])
        runs.execute(lambda: kernel(grid, block, plain, shared_mem=shared_mem))


def _argument(value: Any) -> Any:
    """Return a kernel argument for the shim: an array's values, or the number as it is."""
    values = getattr(value, "_values", None)
    if values is not None:
        return values
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)}")
    return value


class RawModule:
    """Source code of kernels, compiled at the first use."""

    def __init__(
        self,
        code: str | None = None,
        *,
        path: str | None = None,
        options: Any = (),
        backend: str = "nvrtc",
        translate_cucomplex: bool = False,
        enable_cooperative_groups: bool = False,
        name_expressions: Any = None,
        jitify: Any = None,
    ) -> None:
        if code is None:
            raise TypeError("the stand-in takes source code only")
        self.code, self.options, self.name_expressions = code, options, name_expressions
        self._program: Any = None

    def program(self) -> Any:
        """Return the compiled program of the shim."""
        if self._program is None:
            from tests.emulated.shim.program import Program

            self._program = Program(self.code, self.options, self.name_expressions)
        return self._program

    def compile(self, log_stream: Any = None) -> None:
        self.program()

    def get_function(self, name: str) -> RawKernel:
        if self.name_expressions is not None and name not in self.name_expressions:
            raise CUDARuntimeError(f"CUDA_ERROR_NOT_FOUND: named symbol not found ({name})")
        kernel = RawKernel.__new__(RawKernel)
        kernel.name, kernel.code, kernel.options = name, self.code, tuple(self.options)
        kernel._module, kernel._kernel = self, None
        return kernel
