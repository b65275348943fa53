"""A strict stand-in for CuPy, for machines without a GPU.

`cupy` is a module object that takes the place of CuPy in ``sys.modules``. NumPy does the
arithmetic; everything that CuPy does not have or refuses is refused, after a record of the real
one (`cupy_names.json`). `counting` and `synchronisations` tell what a GPU would have been asked.
"""

from __future__ import annotations

import importlib.machinery
import types
from typing import Any

import numpy as np

from tests.emulated.fake_cupy import devices, runs
from tests.emulated.fake_cupy.arrays import call, ndarray, unwrap, wrap_fresh
from tests.emulated.fake_cupy.record import NAMES, UFUNCS, VERSION, check_call
from tests.emulated.fake_cupy.runs import CUDARuntimeError, counting, synchronisations

__all__ = ["CUDARuntimeError", "counting", "cupy", "devices", "ndarray", "synchronisations"]


class Namespace(types.ModuleType):
    """A module with the names of the record; what is not defined here is NumPy's function."""

    def __init__(self, name: str, space: str, **members: Any) -> None:
        super().__init__(name)
        self._space = space
        self.__spec__ = importlib.machinery.ModuleSpec(name, None)
        self.__path__: list[str] = []
        for key, value in members.items():
            setattr(self, key, value)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name not in NAMES[self._space]:
            raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'")
        path = f"{self._space}.{name}".lstrip(".")
        place: Any = np
        for part in path.split("."):
            place = getattr(place, part)
        if isinstance(place, type) or not callable(place):
            return place
        found = ufunc(path) if path in UFUNCS else function(path)
        setattr(self, name, found)
        return found


def function(path: str) -> Any:
    """Return ``cupy.<path>``."""

    def f(*args: Any, **kwargs: Any) -> Any:
        return call(path, args, kwargs)

    f.__name__ = path
    return f


class ufunc:
    """An elementwise function; with CuPy's ``at`` only."""

    def __init__(self, path: str) -> None:
        self.__name__ = path

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return call(self.__name__, args, kwargs)

    def at(self, array: Any, indices: Any, b: Any = None) -> None:
        from tests.emulated.fake_cupy.arrays import ADD_AT, index, resolve

        if self.__name__ != "add":
            raise NotImplementedError(f"the stand-in has no {self.__name__}.at")
        if array.dtype.name not in ADD_AT:
            raise TypeError(f"cupy.add.at only supports {', '.join(ADD_AT)} as data type")
        key, _ = index(array, indices, reading=False)
        values, b = array._values, unwrap(b)
        runs.execute(lambda: np.add.at(values, resolve(key), b))


def _array(obj: Any, dtype: Any, copy: Any, order: Any) -> ndarray:
    if isinstance(obj, ndarray):
        if not copy and (dtype is None or obj.dtype == dtype) and order in (None, "K", "A"):
            return obj
        if order == "C" and not copy and obj._values.flags.c_contiguous and dtype in (
            None, obj.dtype
        ):  # fmt: skip
            return obj
        return call_array(obj, dtype, order)
    if hasattr(obj, "__cuda_array_interface__"):
        return wrap_fresh(_memory_of(obj.__cuda_array_interface__).astype(dtype or None, copy=True))
    if isinstance(obj, (list, tuple)) and _device(obj):
        return cupy.stack([_array(o, dtype, False, None) for o in obj])  # type: ignore[no-any-return]
    runs.upload("array()")
    values = np.array(obj, dtype)
    if order in (None, "K", "A"):  # Fortran order is kept, other orders of the axes are not
        order = "F" if values.flags.f_contiguous and not values.flags.c_contiguous else "C"
    return wrap_fresh(np.asarray(values, order=order), "K")


def _memory_of(interface: dict[str, Any]) -> Any:
    """Read the memory that an interface describes."""
    import ctypes

    dtype, shape = np.dtype(interface["typestr"]), interface["shape"]
    count = int(np.prod(shape)) * dtype.itemsize
    raw = (ctypes.c_uint8 * count).from_address(interface["data"][0])
    return np.frombuffer(raw, dtype).reshape(shape)


def call_array(obj: ndarray, dtype: Any, order: Any) -> ndarray:
    from tests.emulated.fake_cupy.arrays import fresh

    order = "K" if order in (None, "A") else order
    return fresh(lambda v: np.array(v, dtype, order=order), (obj,), {}, "K")  # type: ignore[no-any-return]


def may_share_memory(a: ndarray, b: ndarray, max_work: Any = None) -> bool:
    """Compare bounds, as CuPy does without asking the device."""
    return np.may_share_memory(a._values, b._values)


def _device(obj: Any) -> bool:
    if isinstance(obj, (list, tuple)):
        return any(_device(o) for o in obj)
    return isinstance(obj, ndarray)


def array(obj: Any, dtype: Any = None, copy: Any = True, order: Any = "K", subok: bool = False,
          ndmin: int = 0, *, blocking: bool = False) -> ndarray:  # fmt: skip
    return _array(obj, dtype, copy, order)


def asarray(a: Any, dtype: Any = None, order: Any = None, *, copy: Any = None,
            blocking: bool = False) -> ndarray:  # fmt: skip
    return _array(a, dtype, copy, order)


def ascontiguousarray(a: Any, dtype: Any = None) -> ndarray:
    return _array(a, dtype, False, "C")


def full(shape: Any, fill_value: Any, dtype: Any = None, order: str = "C") -> ndarray:
    """Fill with a number, or with a 0-d array of the device."""
    if isinstance(fill_value, ndarray) and dtype is None:
        dtype = fill_value.dtype
    out = call("empty", (shape, np.result_type(fill_value) if dtype is None else dtype), {})
    out[...] = fill_value
    return out  # type: ignore[no-any-return]


def asnumpy(a: Any, stream: Any = None, order: str = "C", out: Any = None, *,
            blocking: bool = True) -> Any:  # fmt: skip
    return a.get(order=order, out=out) if isinstance(a, ndarray) else np.asarray(a)


def from_dlpack(array: Any, *, device: Any = None, copy: Any = None) -> ndarray:
    kind, number = array.__dlpack_device__()
    if kind != 2:
        raise BufferError("the stand-in takes device arrays only")
    with devices.Device(number):
        capsule = array.__dlpack__(stream=runs.state.stream.ptr or 1)
    out: ndarray = capsule.array.view()
    return out


def as_strided(x: ndarray, shape: Any = None, strides: Any = None) -> ndarray:
    from tests.emulated.fake_cupy.arrays import view

    return view(x, np.lib.stride_tricks.as_strided(x._values, shape, strides))


def broadcast_to(array: ndarray, shape: Any) -> ndarray:
    from tests.emulated.fake_cupy.arrays import view

    return view(array, np.broadcast_to(array._values, shape))


def _checked(path: str, f: Any) -> Any:
    def run(*args: Any, **kwargs: Any) -> Any:
        check_call(path, *args, **kwargs)
        return f(*args, **kwargs)

    return run


def get_device_count() -> int:
    return devices.COUNT[0]


def properties(device: int) -> dict[str, Any]:
    return {
        "name": b"Emulated device",
        "totalGlobalMem": devices.TOTAL,
        "major": 9,
        "minor": 0,
        "multiProcessorCount": 132,
        "sharedMemPerBlock": 48 << 10,
        "warpSize": 32,
        "l2CacheSize": 50 << 20,
    }


compute_types = {"bfloat16": 0, "float16": 0, "float32": 0, "float64": 0}


def set_compute_type(dtype: Any, compute_type: int) -> None:
    if compute_type not in range(8):
        raise ValueError(f"Unknown compute type: {compute_type}")
    compute_types[np.dtype(dtype).name] = compute_type


def get_compute_type(dtype: Any) -> int:
    return compute_types[np.dtype(dtype).name]


runtime = Namespace(
    "cupy.cuda.runtime",
    "cuda.runtime",
    CUDARuntimeError=CUDARuntimeError,
    getDeviceCount=get_device_count,
    getDeviceProperties=properties,
    getDevice=lambda: runs.state.device,
    setDevice=lambda device: devices.Device(device).use(),
    deviceSynchronize=lambda: runs.synchronise("deviceSynchronize()"),
    runtimeGetVersion=lambda: 12090,
    driverGetVersion=lambda: 12090,
    memGetInfo=lambda: devices.Device().mem_info,
    streamCaptureModeRelaxed=2,
)
cuda = Namespace(
    "cupy.cuda",
    "cuda",
    runtime=runtime,
    Device=devices.Device,
    Event=devices.Event,
    ExternalStream=devices.ExternalStream,
    Graph=devices.Graph,
    MemoryPointer=devices.MemoryPointer,
    MemoryPool=devices.MemoryPool,
    Stream=devices.Stream,
    get_allocator=devices.get_allocator,
    get_current_stream=devices.get_current_stream,
    get_elapsed_time=devices.get_elapsed_time,
    is_available=lambda: devices.COUNT[0] > 0,
    set_allocator=devices.set_allocator,
    using_allocator=devices.using_allocator,
)
stride_tricks = Namespace(
    "cupy.lib.stride_tricks",
    "lib.stride_tricks",
    as_strided=_checked("lib.stride_tricks.as_strided", as_strided),
)
cupy = Namespace(
    "cupy",
    "",
    __version__=VERSION,
    RawKernel=devices.RawKernel,
    RawModule=devices.RawModule,
    _core=types.SimpleNamespace(
        set_compute_type=set_compute_type, get_compute_type=get_compute_type
    ),
    array=array,
    asarray=asarray,
    ascontiguousarray=_checked("ascontiguousarray", ascontiguousarray),
    asnumpy=asnumpy,
    broadcast_to=_checked("broadcast_to", broadcast_to),
    cuda=cuda,
    from_dlpack=_checked("from_dlpack", from_dlpack),
    full=_checked("full", full),
    get_default_memory_pool=lambda: devices.default_pool,
    lib=types.SimpleNamespace(stride_tricks=stride_tricks),
    linalg=Namespace("cupy.linalg", "linalg"),
    may_share_memory=_checked("may_share_memory", may_share_memory),
    ndarray=ndarray,
    ufunc=ufunc,
)
