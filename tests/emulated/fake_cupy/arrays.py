"""The stand-in of ``cupy.ndarray``: NumPy does the work, CuPy says what is allowed.

Differences to NumPy that are kept, as they have bitten people: no implicit way to the host, no
mixing with host arrays, no ``__index__``, indexing and reductions to one element give 0-d arrays,
indices in arrays wrap around, results lie in C order whatever the order of the operands, methods
have CuPy's parameters (``max`` has no ``initial``).
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.emulated.fake_cupy import devices, runs
from tests.emulated.fake_cupy.record import NAMES, UFUNCS, check_call

KINDS = "biufc"  # and bfloat16; CuPy has no objects, strings or dates
SCALARS = (bool, int, float, complex, np.generic)
KEEP_ORDER = {"copy", "empty_like", "zeros_like", "ones_like", "full_like", "asfortranarray"}
ADD_AT = ("int32", "int64", "float16", "float32", "float64", "uint32", "uint64")


class ndarray:
    """An array of the emulated device."""

    __slots__ = ("__weakref__", "_memory", "_values", "base")
    __array_priority__ = 100

    def __init__(self, shape: Any, dtype: Any = float, memptr: Any = None) -> None:
        if memptr is not None:
            values = memptr.array(shape, np.dtype(dtype))
        else:
            values = np.empty(shape, dtype)
        fresh = wrap_fresh(values)
        self._values, self._memory, self.base = fresh._values, fresh._memory, None

    # ---- what it is -------------------------------------------------------------------------

    shape = property(lambda self: self._values.shape)
    dtype = property(lambda self: self._values.dtype)
    ndim = property(lambda self: self._values.ndim)
    size = property(lambda self: self._values.size)
    itemsize = property(lambda self: self._values.itemsize)
    nbytes = property(lambda self: self._values.nbytes)
    strides = property(lambda self: self._values.strides)
    device = property(lambda self: devices.Device(self._memory.device))
    flags = property(lambda self: Flags(self))
    data = property(lambda self: devices.MemoryPointer(self._values, self._memory))
    T = property(lambda self: view(self, self._values.T))
    mT = property(lambda self: view(self, self._values.mT))
    real = property(lambda self: view(self, self._values.real))

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        return {
            "shape": self.shape,
            "typestr": self.dtype.str,
            "descr": [("", self.dtype.str)],
            "version": 3,
            "strides": None if self._values.flags.c_contiguous else self.strides,
            "data": (self._values.ctypes.data if self.size else 0, False),
            "stream": runs.state.stream.ptr or 1,
        }

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, self._memory.device)

    def __dlpack__(self, *, stream: Any = None, max_version: Any = None, dl_device: Any = None,
                   copy: Any = None) -> Any:  # fmt: skip
        consumer = 1 if stream is None else stream
        mine = runs.state.stream.ptr or 1
        if consumer >= 0 and consumer != mine:
            event = runs.state.stream.record()
            devices.stream_at(consumer).wait_event(event)
        return devices.Capsule(self)

    # ---- the ways to the host ---------------------------------------------------------------

    def get(self, stream: Any = None, order: str = "C", out: Any = None, blocking: bool = True,
            why: str = "get()") -> Any:  # fmt: skip
        runs.synchronise(why)
        if out is None:
            return np.array(self._values, order=order)  # type: ignore[call-overload]
        out[...] = self._values
        return out

    def set(self, arr: Any, stream: Any = None) -> None:
        runs.upload("set()")
        if not isinstance(arr, np.ndarray) or arr.dtype != self.dtype or arr.shape != self.shape:
            raise ValueError("set() takes a numpy.ndarray of the same shape and dtype")
        values, source = self._values, arr.copy()
        runs.execute(lambda: np.copyto(values, source))

    def item(self) -> Any:
        if self.size != 1:
            raise ValueError("can only convert an array of size 1 to a Python scalar")
        return self.get(why="item()").item()

    def tolist(self) -> Any:
        return self.get(why="tolist()").tolist()

    def tobytes(self, order: Any = "C") -> bytes:
        return self.get(why="tobytes()").tobytes(order)  # type: ignore[no-any-return]

    def __float__(self) -> float:
        return float(self.get(why="float()"))

    def __int__(self) -> int:
        return int(self.get(why="int()"))

    def __bool__(self) -> bool:
        return bool(self.get(why="bool()"))

    def __repr__(self) -> str:
        return repr(self.get(why="repr()"))

    def __str__(self) -> str:
        return str(self.get(why="str()"))

    def __format__(self, spec: str) -> str:
        return format(self.get(why="format()"), spec)

    def __reduce__(self) -> Any:
        return array_from_host, (self.get(order="A", why="pickle"),)

    def __copy__(self) -> Any:
        return call_method(self, "copy")

    def __deepcopy__(self, memo: Any) -> Any:
        return call_method(self, "copy")

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. Please use `.get()` to construct "
            "a NumPy array explicitly."
        )

    def __len__(self) -> int:
        if not self.ndim:
            raise TypeError("len() of unsized object")
        return int(self.shape[0])

    def __iter__(self) -> Any:
        if not self.ndim:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(self.shape[0]))

    __hash__ = None  # type: ignore[assignment]

    # ---- indexing ---------------------------------------------------------------------------

    def __getitem__(self, key: Any) -> Any:
        key, advanced = index(self, key, reading=True)
        if not advanced:
            return view(self, self._values[key])
        values = self._values
        return fresh(lambda: values[resolve(key)], (), {})

    def __setitem__(self, key: Any, value: Any) -> None:
        key, _ = index(self, key, reading=False)
        value = unwrap(value)
        values = self._values
        runs.execute(lambda: values.__setitem__(resolve(key), value))

    # ---- NumPy's protocols ------------------------------------------------------------------

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if "out" in kwargs:
            (kwargs["out"],) = kwargs["out"]
        if method != "__call__" or ufunc.__name__ not in NAMES[""]:
            return NotImplemented
        return call(ufunc.__name__, inputs, kwargs)

    def __array_function__(self, f: Any, types: Any, args: Any, kwargs: Any) -> Any:
        path = f"{f.__module__}.{f.__name__}".partition(".")[2]
        space, _, name = path.rpartition(".")
        if name not in NAMES.get(space, ()) or not all(issubclass(t, ndarray) for t in types):
            return NotImplemented
        return call(path, args, kwargs)


class Flags:
    """Order in memory; there is no ``writeable``, a CuPy array always is."""

    def __init__(self, array: ndarray) -> None:
        flags = array._values.flags
        self.c_contiguous, self.f_contiguous = flags.c_contiguous, flags.f_contiguous
        self.owndata = array.base is None

    def __getitem__(self, name: str) -> bool:
        short = {"C": "c_contiguous", "F": "f_contiguous", "O": "owndata"}
        return bool(getattr(self, short.get(name, name.lower())))


# ---- in and out of NumPy ----------------------------------------------------------------------


def wrap_fresh(values: Any, order: str = "C") -> ndarray:
    """Make a device array of its own memory around NumPy values."""
    values = np.asarray(values)
    if not (values.dtype.kind in KINDS or values.dtype.name == "bfloat16"):
        raise ValueError(f"Unsupported dtype {values.dtype}")
    if order == "C" and not values.flags.c_contiguous:
        values = np.ascontiguousarray(values)
    if not (values.flags.owndata and values.flags.writeable):
        values = values.copy(order="K")
    out = ndarray.__new__(ndarray)
    out._values, out.base = values, None
    out._memory = devices.allocate(values.nbytes)
    return out


def view(source: ndarray, values: Any) -> ndarray:
    """Make a device array on the memory of `source`."""
    out = ndarray.__new__(ndarray)
    if not values.flags.writeable:  # CuPy has no read-only arrays
        values.flags.writeable = True
    out._values = values
    out.base = source if source.base is None else source.base
    out._memory = source._memory
    return out


def unwrap(value: Any) -> Any:
    """Return what NumPy can work with; refuse host arrays, as CuPy does."""
    if isinstance(value, ndarray):
        if value._memory.device != runs.state.device:
            raise ValueError(
                f"Array device must be same as the current device: array device = "
                f"{value._memory.device} while current = {runs.state.device}."
            )
        return value._values
    if value is None or isinstance(value, (*SCALARS, np.dtype, type, str, slice, type(...))):
        return value
    if isinstance(value, (list, tuple)):
        return type(value)([unwrap(v) for v in value])
    raise TypeError(f"Unsupported type {type(value)}")


def index(array: ndarray, key: Any, reading: bool) -> tuple[Any, bool]:
    """Return the key for NumPy, indices wrapped around as CuPy does, and whether it copies."""
    parts, out, advanced, axis = key if isinstance(key, tuple) else (key,), [], False, 0
    used = sum(_axes(p) for p in parts)
    for part in parts:
        if part is None or isinstance(part, slice):
            out.append(part)
            axis += part is not None
        elif part is Ellipsis:
            out.append(part)
            axis += array.ndim - used
        elif isinstance(part, (int, np.integer)) and not isinstance(part, (bool, np.bool_)):
            out.append(operator.index(part))
            axis += 1
        else:
            advanced = True
            if isinstance(part, ndarray):
                values = part._values
            else:  # CuPy copies lists and host arrays to the device
                runs.upload("index")
                values = np.asarray(part)
                values = values.astype(np.int32) if not values.size else values
            if values.dtype.kind == "b":
                if reading:
                    runs.synchronise("boolean index")
            elif values.dtype.kind in "iu":
                values = Wrapped(values, array.shape[axis])
            else:
                raise IndexError(f"arrays used as indices must be integer or boolean ({part!r})")
            out.append(values)
            axis += _axes(part)
    if not advanced and Ellipsis not in out:
        out.append(Ellipsis)  # one element is a 0-d view, not a scalar
    return tuple(out), advanced


class Wrapped:
    """Indices, wrapped around when the work is done: a graph reads them anew at every launch."""

    def __init__(self, values: Any, length: int) -> None:
        self.values, self.length = values, length

    def now(self) -> Any:
        return self.values % self.length if self.length else self.values


def resolve(key: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the key for NumPy with the indices as they are now."""
    return tuple([part.now() if isinstance(part, Wrapped) else part for part in key])


def _axes(part: Any) -> int:
    if part is None or part is Ellipsis:
        return 0
    kind = getattr(part, "dtype", None)
    return int(part.ndim) if kind is not None and kind.kind == "b" and part.ndim else 1


# ---- calls ------------------------------------------------------------------------------------


def fresh(f: Callable[..., Any], args: Any, kwargs: Any, order: str = "C") -> Any:
    """Run a function of NumPy arrays; wrap what it returns."""
    sources = [a for a in _flat((args, tuple(kwargs.values()))) if isinstance(a, ndarray)]
    plain = unwrap(list(args)), {k: unwrap(v) for k, v in kwargs.items()}

    def owned(result: Any) -> bool:
        return _source(result, sources) is None

    def wrap(value: Any) -> Any:
        if not isinstance(value, (np.ndarray, np.generic)):
            return value
        source = _source(value, sources)
        if source is None:
            return wrap_fresh(value, order)
        return view(source, value)

    def in_order(*a: Any, **k: Any) -> Any:
        results = f(*a, **k)
        if isinstance(results, (list, tuple)):
            return results
        if order == "C" and isinstance(results, np.ndarray) and owned(results):
            return np.ascontiguousarray(results) if results.ndim else results
        return results

    results = runs.compute(in_order, *plain, owned)
    if isinstance(results, (list, tuple)):
        return type(results)([wrap(r) for r in results]) if type(results) in (list, tuple) else (
            tuple(wrap(r) for r in results)
        )  # fmt: skip
    return wrap(results)


def _source(value: Any, sources: list[ndarray]) -> ndarray | None:
    """Return the array on whose memory `value` lies."""
    if not isinstance(value, np.ndarray) or not value.size:
        return None
    for source in sources:
        if value is source._values or (
            value.base is not None and np.may_share_memory(value, source._values)
        ):
            return source
    return None


def _flat(value: Any) -> list[Any]:
    if isinstance(value, (list, tuple)):
        return [leaf for v in value for leaf in _flat(v)]
    return [value]


WAITING = {"argwhere", "bincount", "extract", "flatnonzero", "nonzero", "unique", "compress"}


def call(path: str, args: Any, kwargs: Any) -> Any:
    """Call ``cupy.<path>`` the way CuPy allows it."""
    check_call(path, *args, **kwargs)
    name = path.rpartition(".")[2]
    if name in WAITING:
        runs.synchronise(f"{name}()")
    if path == "matmul" or path == "dot":
        _check_product(*args[:2])
    kwargs = dict(kwargs)
    out = kwargs.pop("out", None)
    place: Any = np
    for part in path.split("."):
        place = getattr(place, part)
    f: Callable[..., Any] = place
    if (path == "matmul" or path == "dot") and out is None:
        f = _in_one_type(f)
    if path not in UFUNCS and out is None and not _holds_device(args, kwargs):
        for leaf in _flat(list(args)):
            if isinstance(leaf, np.ndarray):
                raise TypeError(f"Unsupported type {type(leaf)}")
    if out is not None:
        return _into(f, args, kwargs, out)
    if path in ("empty", "empty_like"):  # memory, and no work that a launch would repeat
        plain = unwrap(list(args)), {k: unwrap(v) for k, v in kwargs.items()}
        return wrap_fresh(f(*plain[0], **plain[1]), "K" if name in KEEP_ORDER else "C")
    return fresh(f, args, kwargs, "K" if name in KEEP_ORDER else "C")


def _holds_device(args: Any, kwargs: Any) -> bool:
    return any(isinstance(a, ndarray) for a in _flat([list(args), list(kwargs.values())]))


def _into(f: Callable[..., Any], args: Any, kwargs: Any, out: Any) -> Any:
    if not isinstance(out, ndarray):
        raise TypeError("Output arguments type must be cupy.ndarray")
    plain = unwrap(list(args)), {k: unwrap(v) for k, v in kwargs.items()}
    target = out._values
    runs.execute(lambda: f(*plain[0], out=target, **plain[1]))
    return out


def _check_product(x: Any, y: Any) -> None:
    """Know what cuBLAS through CuPy does not do."""
    if not (isinstance(x, ndarray) and isinstance(y, ndarray)):
        raise TypeError(f"Unsupported type {type(y if isinstance(x, ndarray) else x)}")
    if max(x.ndim, y.ndim) > 2 and "bfloat16" in (x.dtype.name, y.dtype.name):
        raise TypeError("matmul of more than two dimensions has no bfloat16")


def _in_one_type(product: Callable[..., Any]) -> Callable[..., Any]:
    """Return a product that is bfloat16 for bfloat16, as cuBLAS gives it; NumPy gives float32."""

    def f(x: Any, y: Any) -> Any:
        return np.asarray(product(x, y)).astype(np.result_type(x, y), copy=False)

    return f


def array_from_host(values: Any) -> ndarray:
    runs.upload("pickle")
    return wrap_fresh(np.array(values), "K")


def call_method(array: ndarray, name: str, *args: Any, **kwargs: Any) -> Any:
    """Call a method of the same name and parameters as CuPy's."""
    check_call(f"ndarray.{name}", array, *args, **kwargs)
    if name in ("nonzero", "compress"):
        runs.synchronise(f"{name}()")
        if not array.ndim:
            raise ValueError("Calling nonzero on 0d arrays is not allowed.")
    if name == "dot":
        _check_product(array, args[0])
    if name == "copy" and array._memory.device != runs.state.device:  # from GPU to GPU
        return wrap_fresh(array._values.copy())
    out = kwargs.pop("out", None)
    method = getattr(np.ndarray, name)
    if name in ("fill", "sort", "partition", "put"):
        values, plain = array._values, unwrap(list(args))
        runs.execute(lambda: method(values, *plain, **kwargs))
        return None
    if out is not None:
        return _into(method, (array, *args), kwargs, out)
    order = "K" if name == "astype" else "C"
    return fresh(method, (array, *args), kwargs, order)


def _method(name: str) -> Callable[..., Any]:
    def method(self: ndarray, *args: Any, **kwargs: Any) -> Any:
        return call_method(self, name, *args, **kwargs)

    return method


for _name in sorted(NAMES["ndarray"]):
    if not hasattr(ndarray, _name) and callable(getattr(np.ndarray, _name, None)):
        setattr(ndarray, _name, _method(_name))

_OPERATORS = {
    "add": "add", "sub": "subtract", "mul": "multiply", "truediv": "true_divide",
    "floordiv": "floor_divide", "mod": "remainder", "pow": "power", "matmul": "matmul",
    "and": "bitwise_and", "or": "bitwise_or", "xor": "bitwise_xor", "lshift": "left_shift",
    "rshift": "right_shift", "lt": "less", "le": "less_equal", "gt": "greater",
    "ge": "greater_equal", "eq": "equal", "ne": "not_equal",
}  # fmt: skip
_UNARY = {"neg": "negative", "pos": "positive", "abs": "absolute", "invert": "invert"}


def _operator(name: str, ufunc: str) -> None:
    def known(other: Any) -> bool:
        return isinstance(other, (ndarray, *SCALARS))

    def forward(x: Any, y: Any) -> Any:
        if isinstance(y, np.ndarray):
            raise TypeError(f"Unsupported type {type(y)}")
        return call(ufunc, (x, y), {}) if known(y) else NotImplemented

    def reflected(x: Any, y: Any) -> Any:
        return call(ufunc, (y, x), {}) if known(y) else NotImplemented

    def inplace(x: Any, y: Any) -> Any:
        if not known(y):
            raise TypeError(f"Unsupported type {type(y)}")
        return call(ufunc, (x, y), {"out": x})

    setattr(ndarray, f"__{name}__", forward)
    if name not in ("lt", "le", "gt", "ge", "eq", "ne"):
        setattr(ndarray, f"__r{name}__", reflected)
        if name != "matmul":
            setattr(ndarray, f"__i{name}__", inplace)


for _name, _ufunc in _OPERATORS.items():
    _operator(_name, _ufunc)
for _name, _ufunc in _UNARY.items():
    setattr(ndarray, f"__{_name}__", lambda self, u=_ufunc: call(u, (self,), {}))
