"""Which array library and which device: the only file that imports CuPy, and only on demand."""

from __future__ import annotations

import functools
import math
import operator
import os
import types
from collections.abc import Callable
from contextlib import nullcontext
from contextvars import copy_context
from functools import cache
from importlib.util import find_spec
from typing import Any, NamedTuple, TypeVar

import numpy as np

from minigrad.errors import DeviceError, MissingExtra, OptionError, missing_extra, unknown

F = TypeVar("F", bound=Callable[..., Any])

__all__ = [
    "Device",
    "MemoryInfo",
    "address",
    "allow_tf32",
    "anywhere",
    "at_hand",
    "cuda_is_available",
    "current_stream",
    "device_of",
    "finite",
    "free_memory",
    "from_cuda",
    "get_xp",
    "guard",
    "is_array",
    "is_writeable",
    "kernels_in_use",
    "memory_info",
    "namespace",
    "nccl",
    "new_stream",
    "quiet",
    "quietly",
    "register",
    "synchronize",
    "tf32_allowed",
    "to_device",
    "use_kernels",
    "why_no_cuda",
]

Array = Any  # numpy.ndarray or cupy.ndarray

_namespaces: dict[type, types.ModuleType] = {np.ndarray: np}


class Device(str):
    """``"cpu"`` or ``"cuda:i"``: a string with `type` and `index`.

    Examples
    --------
    >>> Device("cuda").type, Device("cuda").index, Device("cpu").index
    ('cuda', 0, None)
    """

    __slots__ = ()

    def __new__(cls, name: str | None = None) -> Device:
        if isinstance(name, Device):
            return name
        kind, _, index = ("cpu" if name is None else str(name) or "cpu").partition(":")
        if kind == "cpu" and index in ("", "0"):
            return super().__new__(cls, "cpu")
        if kind == "cuda" and (index or "0").isdecimal():
            return super().__new__(cls, f"cuda:{int(index or 0)}")
        raise OptionError(f"unknown device {name!r}; use 'cpu', 'cuda' or 'cuda:<number>'")

    @property
    def type(self) -> str:
        """``"cpu"`` or ``"cuda"``."""
        return self.partition(":")[0]

    @property
    def index(self) -> int | None:  # type: ignore[override]
        """Number of the GPU; None for the CPU."""
        return int(self.partition(":")[2]) if ":" in self else None


CPU = Device("cpu")


def register(array_type: type, xp: types.ModuleType) -> None:
    """Register the namespace that has NumPy's names for `array_type`."""
    _namespaces[array_type] = xp


def get_xp(x: Any) -> Any:
    """Return the namespace of `x`: numpy, cupy, or `minigrad.ops` for a Tensor.

    This is what lets one formula serve plain arrays and differentiable tensors alike.

    Examples
    --------
    >>> get_xp(np.zeros(1)) is np
    True
    """
    try:
        return _namespaces[x.__class__]
    except KeyError:
        for base in type(x).__mro__:
            if base in _namespaces:
                return _namespaces[base]
        if type(x).__module__.partition(".")[0] == "cupy":
            return _cupy()  # an array that was made outside minigrad
        return np  # NumPy scalars and Python numbers


def is_array(x: Any) -> bool:
    """Return whether `x` is an array of any library, or a tensor.

    Examples
    --------
    >>> is_array(np.zeros(1)), is_array([0.0])
    (True, False)
    """
    kind = type(x)
    return (
        kind in _namespaces
        or isinstance(x, tuple(_namespaces))
        or kind.__module__.partition(".")[0] == "cupy"
    )


def _cupy() -> Any:
    try:
        import cupy
    except ModuleNotFoundError as error:
        if error.name != "cupy":
            raise _unusable(error) from None
        raise MissingExtra(
            "device 'cuda' needs CuPy, which is not installed; run: pip install "
            "'minigrad[cuda12]' (or 'minigrad[cuda13]' for CUDA 13), or use device='cpu'"
        ) from None
    except ImportError as error:
        raise _unusable(error) from None
    if cupy.ndarray not in _namespaces:
        _namespaces[cupy.ndarray] = cupy
        if _tf32[0] is not None:
            _set_tf32(cupy, _tf32[0])
    return cupy


def _unusable(error: Exception) -> DeviceError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return DeviceError(
        f"device 'cuda': CuPy is installed but cannot be loaded ({reason}); install one CuPy that "
        "fits the CUDA version that nvidia-smi shows: pip install 'minigrad[cuda12]' or "
        "'minigrad[cuda13]', or use device='cpu'"
    )


def cuda_is_available() -> bool:
    """Return True if CuPy is installed and sees a GPU."""
    return why_no_cuda() is None


def why_no_cuda() -> str | None:
    """Return what is missing for ``device="cuda"`` and how to get it; None if nothing is."""
    try:
        _cuda(Device("cuda"))
    except (DeviceError, MissingExtra) as error:
        return str(error)
    return None


def _cuda(device: Device) -> Any:
    """Return cupy after checking that `device` is really there."""
    cupy = _cupy()
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:  # CuPy raises its own types for a missing driver
        count, reason = 0, f" ({error})"
    else:
        reason = ""
    if not count:
        raise DeviceError(
            f"device {str(device)!r}: CuPy is installed but finds no usable GPU{reason}; "
            "check the driver with nvidia-smi, or use device='cpu'"
        )
    if device.index is not None and device.index >= count:
        there = (
            "one GPU, 'cuda:0'" if count == 1 else f"{count} GPUs, 'cuda:0' to 'cuda:{count - 1}'"
        )
        raise DeviceError(f"device {str(device)!r}: this machine has {there}")
    return cupy


def namespace(device: str | None) -> Any:
    """Return numpy or cupy for a device name, or raise a clear error where CUDA is missing."""
    device = Device(device)
    return np if device == CPU else _cuda(device)


def device_of(array: Array) -> Device:
    """Return where `array` lives.

    Examples
    --------
    >>> device_of(np.zeros(1))
    'cpu'
    """
    if isinstance(array, np.ndarray):
        return CPU
    return Device(f"cuda:{array.device.id}")


def to_device(array: Array, device: str | None) -> Array:
    """Return `array` on `device`, without a copy where it is there already.

    The order of its axes in memory is kept (CuPy by itself would write C order), so channels-last
    images stay channels-last.

    Examples
    --------
    >>> a = np.zeros(1)
    >>> to_device(a, "cpu") is a
    True
    """
    device = Device(device)
    place = device_of(array)
    if place == device:
        return array
    axes = _memory_order(array)
    if axes is not None:
        moved = to_device(array.transpose(axes), device)
        return moved.transpose([axes.index(i) for i in range(len(axes))])
    if device == CPU:
        with guard(place):
            return array.get()
    cupy = _cuda(device)
    with guard(device):
        return cupy.asarray(array) if place == CPU else array.copy()


def _memory_order(array: Array) -> list[int] | None:
    """Return the axes from the largest step to the smallest; None for C order or gaps."""
    if array.ndim < 2 or array.flags.c_contiguous or not array.size:
        return None
    axes = sorted(range(array.ndim), key=lambda i: -array.strides[i])
    return axes if array.transpose(axes).flags.c_contiguous else None


def is_writeable(array: Array) -> bool:
    """Return whether the elements of `array` may be changed.

    CuPy has no read-only arrays; there the answer is no if several elements share memory,
    as after expand.
    """
    if isinstance(array, np.ndarray):
        return array.flags.writeable
    steps = zip(array.shape, array.strides, strict=True)
    return not array.size or all(step or n == 1 for n, step in steps)


def address(array: Array) -> int:
    """Return where the first element of `array` lies in memory."""
    return int(array.ctypes.data if isinstance(array, np.ndarray) else array.data.ptr)


def from_cuda(source: Any) -> Array:
    """Return the CuPy array on the memory of any object with ``__cuda_array_interface__``.

    CuPy waits, on the GPU, for the stream that the object names.
    """
    return _cupy().asarray(source)


def add(x: Any, y: Any) -> Any:
    """Return ``x + y`` in the memory order of `x`.

    NumPy does that by itself. CuPy would write C order, and a gradient that two branches of a
    channels-last network add up would be transposed in every block.
    """
    if x.__class__ is np.ndarray or getattr(x, "flags", None) is None or x.flags.c_contiguous:
        return x + y
    return _along_memory(operator.add, x, y)


def astype(x: Array, dtype: Any) -> Array:
    """Return `x` as `dtype`, in its order in memory; itself if it has that dtype."""
    if x.__class__ is np.ndarray or x.dtype == dtype:
        return x.astype(dtype, copy=False)
    return _along_memory(lambda v: v.astype(dtype), x)


def _along_memory(f: Callable[..., Array], *arrays: Array) -> Array:
    """Compute elementwise with the axes in the order in which the first array has them in memory.

    So neighbouring threads of the GPU meet neighbouring numbers; CuPy's own order is that of the
    axes, and walks through channels-last memory in steps as long as there are channels.
    """
    axes = _memory_order(arrays[0])
    if axes is None:
        return f(*arrays)
    result = f(*(a.transpose(axes) for a in arrays))
    return result.transpose([axes.index(i) for i in range(len(axes))])


# ---- the GPU: devices, streams, memory, arithmetic ----------------------------------------------


def guard(device: str | None) -> Any:
    """Make `device` the current one inside ``with``; what CuPy creates or runs there lands on it.

    Only programs that use several GPUs need it. For the CPU it does nothing.

    Examples
    --------
    >>> with guard("cpu"):
    ...     pass
    """
    device = Device(device)
    return nullcontext() if device == CPU else _cuda(device).cuda.Device(device.index)


def synchronize(device: str | None = None) -> None:
    """Wait until a device has done all the work it was given.

    The GPU works through a queue while Python goes on, so measure time between two calls of this.

    Parameters
    ----------
    device : str, optional
        Default: the current GPU where there is one. For ``"cpu"`` there is nothing to do.
    """
    if device is None:
        device = "cuda" if len(_namespaces) > 1 and cuda_is_available() else "cpu"
    device = Device(device)
    if device != CPU:
        _cuda(device).cuda.Device(device.index).synchronize()


def current_stream() -> Any:
    """Return CuPy's current stream: the queue to which operations on tensors go."""
    return _cuda(Device("cuda")).cuda.get_current_stream()


def new_stream() -> Any:
    """Return a new stream of the current GPU; ``with stream:`` sends operations to it.

    Work on two streams is not ordered; ``stream.wait_event(other.record())`` makes one wait for
    what the other was given so far.
    """
    return _cuda(Device("cuda")).cuda.Stream(non_blocking=True)


def nccl() -> Any:
    """Return CuPy's NCCL: sums over several GPUs."""
    return _cuda(Device("cuda")).cuda.nccl


class MemoryInfo(NamedTuple):
    """Bytes of a GPU's memory."""

    allocated: int  # in use by arrays
    reserved: int  # held by CuPy's pool, in use or ready for use
    free: int  # on the whole device, for anybody
    total: int


def memory_info(device: str | None = "cuda") -> MemoryInfo:
    """Return how much memory of a GPU is in use."""
    device = Device(device)
    if device == CPU:
        raise DeviceError("memory_info: the CPU has no pool to ask; use device='cuda'")
    cupy = _cuda(device)
    with guard(device):
        pool = cupy.get_default_memory_pool()
        free, total = cupy.cuda.Device(device.index).mem_info
        return MemoryInfo(pool.used_bytes(), pool.total_bytes(), free, total)


def free_memory(device: str | None = "cuda") -> None:
    """Give the unused memory of CuPy's pool back to the GPU."""
    device = Device(device)
    if device != CPU:
        with guard(device):
            _cuda(device).get_default_memory_pool().free_all_blocks()


_tf32: list[bool | None] = [None]  # None: nobody has asked; CuPy looks at CUPY_TF32
_DEFAULT, _TF32 = 1, 7  # cupy._core._routines_linalg.COMPUTE_TYPE_…


class allow_tf32:
    """Let matrix products in float32 round their operands to 10 bits, as fast GPUs can.

    Takes effect at once and for all threads; ``with`` undoes it at the end of the block. Results
    are still float32; sums are taken in float32. Without a GPU there is no effect. It is off by
    default, unless the environment has ``CUPY_TF32=1``.

    Parameters
    ----------
    enabled : bool, default True
        Whether it is allowed.

    Examples
    --------
    >>> import minigrad as mg
    >>> with mg.backend.allow_tf32():
    ...     mg.backend.tf32_allowed()
    True
    >>> mg.backend.tf32_allowed()
    False
    """

    def __init__(self, enabled: bool = True) -> None:
        self._before = tf32_allowed()
        self._set(enabled)

    @staticmethod
    def _set(enabled: bool) -> None:
        _tf32[0] = bool(enabled)
        for kind, xp in _namespaces.items():
            if kind is not np.ndarray and xp.__name__ == "cupy":
                _set_tf32(xp, bool(enabled))

    def __enter__(self) -> None:
        """Do nothing: the choice took effect when it was made."""

    def __exit__(self, *error: object) -> None:
        self._set(self._before)


def _set_tf32(cupy: Any, enabled: bool) -> None:
    cupy._core.set_compute_type(np.dtype(np.float32), _TF32 if enabled else _DEFAULT)


def tf32_allowed() -> bool:
    """Return whether `allow_tf32` is on."""
    if _tf32[0] is None:
        return os.environ.get("CUPY_TF32", "0") not in ("", "0")
    return _tf32[0]


# ---- which kernels --------------------------------------------------------------------------

_wanted = ["fast"]
kernel_cache: dict[tuple[str, type], Any] = {}  # what `kernels.pick` found; a switch empties it


@cache
def _has_compiler() -> bool:
    return find_spec("numba") is not None


def kernels_in_use() -> str:
    """Return ``"fast"`` if the CPU kernels are compiled ones, ``"reference"`` if they are NumPy.

    Examples
    --------
    >>> with use_kernels("reference"):
    ...     kernels_in_use()
    'reference'
    """
    return "fast" if _wanted[0] == "fast" and _has_compiler() else "reference"


def anywhere(test: Callable[[Array], Array], x: Any, unasked: bool = False) -> bool:
    """Return whether ``test(x)`` is true somewhere in an array or Tensor.

    A GPU is not asked, since that would wait: there the answer is `unasked`.

    Examples
    --------
    >>> anywhere(np.isnan, np.array([1.0, np.nan]))
    True
    """
    return bool(test(getattr(x, "array", x)).any()) if at_hand(x) else unasked


def finite(x: Any) -> bool:
    """Return whether every number of an array or Tensor is finite. A GPU is not asked: True.

    Examples
    --------
    >>> finite(np.array([1e200, -1e200])), finite(np.array([1.0, np.inf]))
    (True, False)
    """
    if not at_hand(x):
        return True
    x = getattr(x, "array", x)
    # One product tells, for a few numbers in a third of the time, unless it is out of range.
    return math.isfinite(np.vdot(x, x)) or bool(np.isfinite(x).all())


def at_hand(x: Any) -> bool:
    """Return whether Python can look at the numbers of an array or Tensor without waiting.

    A GPU works through a queue: to ask it for a number is to wait until all before it is done.
    """
    return x.__class__ is np.ndarray or get_xp(getattr(x, "array", x)) is np


def quiet(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call `function` without NumPy's warnings about numbers.

    It has a context of its own, which is thrown away: unlike `numpy.errstate` this has nothing to
    undo, so an interrupt cannot leave it changed.
    """
    context = copy_context()
    context.run(np.seterr, all="ignore")
    return context.run(function, *args, **kwargs)


def quietly(function: F) -> F:
    """Let every call of a function be `quiet`: a decorator."""

    @functools.wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        return quiet(function, *args, **kwargs)

    return run  # type: ignore[return-value]


class use_kernels:
    """Choose between compiled CPU kernels and the formulas in NumPy.

    Takes effect at once and for all threads; ``with`` undoes it at the end of the block. Without
    a call the compiled kernels are used where they are installed.

    Parameters
    ----------
    name : {"fast", "reference"}
        Compiled with Numba, or NumPy alone.

    Raises
    ------
    OptionError
        If there are no such kernels.
    MissingExtra
        If ``"fast"`` is asked for without Numba.

    Examples
    --------
    >>> import minigrad as mg
    >>> with mg.backend.use_kernels("reference"):
    ...     mg.backend.kernels_in_use()
    'reference'
    """

    def __init__(self, name: str) -> None:
        if name not in ("fast", "reference"):
            raise unknown("kernels", name, ["fast", "reference"])
        if name == "fast" and not _has_compiler():
            raise missing_extra("Numba", "fast")
        self._before = _wanted[0]
        self._set(name)

    @staticmethod
    def _set(name: str) -> None:
        _wanted[0] = name
        kernel_cache.clear()

    def __enter__(self) -> None:
        """Do nothing: the choice took effect when it was made."""

    def __exit__(self, *error: object) -> None:
        self._set(self._before)
