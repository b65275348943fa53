"""Which array library and which device: the only file that imports CuPy, and only on demand."""

from __future__ import annotations

import types
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np

from minigrad.errors import DeviceError, MissingExtra, OptionError, missing_extra, unknown

__all__ = [
    "Device",
    "cuda_is_available",
    "device_of",
    "get_xp",
    "kernels_in_use",
    "namespace",
    "register",
    "to_device",
    "use_kernels",
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
        kind, _, index = (name or "cpu").partition(":")
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
    """Say which namespace speaks NumPy's names for `array_type`."""
    _namespaces[array_type] = xp


def get_xp(x: Any) -> Any:
    """Return the namespace of `x`: numpy, cupy, or `minigrad.ops` for a Tensor.

    This is what lets one formula serve plain arrays and differentiable tensors alike.
    """
    try:
        return _namespaces[x.__class__]
    except KeyError:
        for base in type(x).__mro__:
            if base in _namespaces:
                return _namespaces[base]
        return np  # NumPy scalars and Python numbers


def _cupy() -> Any:
    try:
        import cupy
    except ImportError:
        raise MissingExtra(
            "device 'cuda' needs CuPy, which is not installed; run: pip install "
            "'minigrad[cuda12]' (or 'minigrad[cuda13]' for CUDA 13), or use device='cpu'"
        ) from None
    _namespaces.setdefault(cupy.ndarray, cupy)
    return cupy


def cuda_is_available() -> bool:
    """Return True if CuPy is installed and sees a GPU."""
    try:
        return int(_cupy().cuda.runtime.getDeviceCount()) > 0
    except Exception:  # CuPy raises its own types for a missing driver
        return False


def _cuda(device: Device) -> Any:
    """Return cupy after checking that `device` is really there."""
    cupy = _cupy()
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except Exception as error:
        raise DeviceError(
            f"device {str(device)!r}: CuPy is installed but finds no usable GPU ({error}); "
            "check the driver with nvidia-smi, or use device='cpu'"
        ) from None
    if device.index is not None and device.index >= count:
        raise DeviceError(
            f"device {str(device)!r}: this machine has {count} GPU(s), 0 to {count - 1}"
        )
    return cupy


def namespace(device: str | None) -> Any:
    """Return numpy or cupy for a device name, or raise a clear error where CUDA is missing."""
    device = Device(device)
    return np if device == CPU else _cuda(device)


def device_of(array: Array) -> Device:
    """Return where `array` lives."""
    if isinstance(array, np.ndarray):
        return CPU
    return Device(f"cuda:{array.device.id}")


def to_device(array: Array, device: str | None) -> Array:
    """Return `array` on `device`, without a copy where it is there already."""
    device = Device(device)
    if device_of(array) == device:
        return array
    if device == CPU:
        return array.get()
    cupy = _cuda(device)
    with cupy.cuda.Device(device.index):
        return cupy.asarray(array)


# ---- which kernels --------------------------------------------------------------------------

_wanted = ["fast"]
kernel_cache: dict[tuple[str, type], Any] = {}  # what `kernels.pick` found; a switch empties it


@cache
def _has_compiler() -> bool:
    return find_spec("numba") is not None


def kernels_in_use() -> str:
    """Return ``"fast"`` if the CPU kernels are compiled ones, ``"reference"`` if they are NumPy."""
    return "fast" if _wanted[0] == "fast" and _has_compiler() else "reference"


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
