"""PyTorch's files (``.pth``, ``.pt``, ``.bin``), read without PyTorch.

Since PyTorch 1.6 a file is a zip archive without compression: ``data.pkl`` is a pickle of the
nested state, in which every tensor is a call of `_rebuild_tensor_v2` on a storage, and ``data/0``,
``data/1`` … are the storages' bytes. Before, a file was four pickles in a row (a magic number, the
version, the machine, the state), a fifth with the storages' keys, and then their bytes.
Source: https://github.com/pytorch/pytorch, torch/serialization.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.errors import DataError, brief
from minigrad.files import Source
from minigrad.io.safetensors import from_bfloat16
from minigrad.io.unpickle import Inert, Named, unpickle
from minigrad.io.zipped import bad, list_entries, locate

__all__ = ["LEGACY", "StoredTensor", "read_torch"]

LEGACY = bytes.fromhex("80028a0a6cfc9c46f9206aa85019")  # PROTO 2, LONG1 of ten bytes: the magic
PICKLE = 1 << 24  # bytes at most; the numbers of tensors stand elsewhere
_AXES = 64  # NumPy's


@dataclass(slots=True)
class Storage:
    """Numbers of one type, somewhere in the file; several tensors may look at them."""

    source: Source
    dtype: str
    count: int
    start: int = -1
    array: NDArray[Any] | None = None

    @property
    def size(self) -> int:
        """In bytes."""
        return self.count * np.dtype(_TYPES[self.dtype]).itemsize

    def read(self) -> NDArray[Any]:
        """Return the numbers, bfloat16 as `from_bfloat16` has it; read once."""
        if self.array is None:
            self.source.seek(self.start)
            bits = self.source.array(_TYPES[self.dtype], (self.count,))
            self.array = from_bfloat16(bits) if self.dtype == "bfloat16" else bits
        return self.array


@dataclass(slots=True)
class StoredTensor:
    """A view of a storage, in elements."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str = ""  # if other than the storage's, which then is of bytes

    def read(self) -> NDArray[Any]:
        """Return the numbers: no copy of them, and so not writeable."""
        flat = self.storage.read()
        if self.dtype:
            width = np.dtype(_TYPES[self.dtype]).itemsize
            flat = flat[: flat.size // width * width].view(_TYPES[self.dtype])
        strides = [stride * flat.itemsize for stride in self.strides]
        try:
            if 0 in self.shape:
                return np.empty(self.shape, flat.dtype)
            return np.lib.stride_tricks.as_strided(
                flat[self.offset :], self.shape, strides, writeable=False
            )
        except ValueError as error:
            raise DataError(
                f"{self.storage.source.path}: no array has the shape {brief(self.shape)} ({error})"
            ) from None


# ---- what a state's pickle may name ------------------------------------------------------------

_TYPES = {
    "float64": "<f8", "float32": "<f4", "float16": "<f2", "bfloat16": "<u2", "int64": "<i8",
    "int32": "<i4", "int16": "<i2", "int8": "i1", "uint8": "u1", "bool": "?", "uint16": "<u2",
    "uint32": "<u4", "uint64": "<u8",
}  # fmt: skip
_STORAGES = {
    "Double": "float64", "Float": "float32", "Half": "float16", "BFloat16": "bfloat16",
    "Long": "int64", "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8",
    "Bool": "bool",
}  # fmt: skip
# What training checkpoints hold beside tensors; kept as data, never made.
_INERT = (
    "_codecs.encode", "argparse.Namespace", "collections.Counter", "numpy.dtype", "numpy.ndarray",
    "numpy._core.multiarray._reconstruct", "numpy._core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct", "numpy.core.multiarray.scalar", "pathlib.PosixPath",
    "pathlib.PurePosixPath", "pathlib.WindowsPath", "torch.Size", "torch.device",
)  # fmt: skip


def _tensor(storage: Storage, offset: int, shape: Any, strides: Any, *about: Any) -> StoredTensor:
    if not isinstance(storage, Storage):
        raise ValueError("a tensor has no storage")
    return _view(StoredTensor(storage, offset, shape, strides), storage.count)


def _tensor_of_bytes(
    storage: Storage, offset: int, shape: Any, strides: Any, grad: bool, hooks: Any, dtype: Named,
    *about: Any,
) -> StoredTensor:  # fmt: skip
    """Make a tensor of one of the types that have no storage of their own."""
    name = dtype.name.removeprefix("torch.")
    if not isinstance(storage, Storage) or storage.dtype != "uint8" or name not in _TYPES:
        raise ValueError("a tensor has no storage")
    count = storage.count // np.dtype(_TYPES[name]).itemsize
    return _view(StoredTensor(storage, offset, shape, strides, name), count)


def _view(view: StoredTensor, count: int) -> StoredTensor:
    """Check that every element shown is one of the storage's, and that no more are shown."""
    shape, strides = view.shape, view.strides
    if type(shape) is not tuple or type(strides) is not tuple or len(shape) != len(strides):
        raise ValueError("a tensor's shape is no tuple, or its strides are not")
    numbers = (view.offset, *shape, *strides)
    if len(shape) > _AXES or not all(type(n) is int and 0 <= n < 1 << 63 for n in numbers):
        raise ValueError("a tensor's shape or strides are not up to 64 sizes")
    last = view.offset + sum((n - 1) * stride for n, stride in zip(shape, strides, strict=True))
    if 0 not in shape and (last >= count or math.prod(shape) > count):
        raise ValueError(
            f"a tensor of shape {brief(shape)}, strides {brief(strides)} from element "
            f"{view.offset} needs more than the {count} of its storage"
        )
    return view


def _parameter(data: Any, *about: Any) -> Any:
    return data


def _from_type(function: Named, kind: Named, arguments: tuple[Any, ...], state: Any) -> Any:
    """Make a tensor that has attributes; they are dropped."""
    if function.make is None:
        raise ValueError(f"it calls {function.name}")
    return function.make(*arguments)


def _dict(pairs: Any = ()) -> dict[Any, Any]:
    if pairs:
        raise ValueError("a dict is written in an unknown way")
    return {}


_KNOWN = {
    named.name: named
    for named in (
        *(Named(f"torch.{name}Storage") for name in _STORAGES),
        *(Named(f"torch.{name}") for name in _TYPES),
        *(Named(name, lambda *a, name=name: Inert(name, a)) for name in _INERT),
        Named("torch.storage.UntypedStorage"),
        Named("torch.Tensor"),
        Named("torch.nn.parameter.Parameter"),
        Named("builtins.list"),
        Named("builtins.dict"),
        Named("builtins.int"),
        Named("collections.OrderedDict", _dict),
        Named("collections.defaultdict", lambda kind=None: {}),
        Named("torch._utils._rebuild_tensor", _tensor),
        Named("torch._utils._rebuild_tensor_v2", _tensor),
        Named("torch._utils._rebuild_tensor_v3", _tensor_of_bytes),
        Named("torch._utils._rebuild_parameter", _parameter),
        Named("torch._utils._rebuild_parameter_with_state", _parameter),
        Named("torch._tensor._rebuild_from_type_v2", _from_type),
    )
}
_DTYPES = {f"torch.{name}Storage": dtype for name, dtype in _STORAGES.items()}
_DTYPES["torch.storage.UntypedStorage"] = "uint8"


class _Storages:
    """The storages that a pickle speaks of, by key; for the machine's `persistent`."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.found: dict[str, Storage] = {}

    def __call__(self, identity: Any) -> Storage:
        match identity:
            case ("storage", Named(name=kind), str(key), str(), int(count), *view):
                dtype = _DTYPES[kind]
            case _:
                raise ValueError("a storage is described wrongly")
        if view not in ([], [None]):
            raise ValueError("a storage is a view of another, as PyTorch 0.3 wrote it")
        if key not in self.found:
            self.found[key] = Storage(self.source, dtype, count)
        storage = self.found[key]
        if (storage.dtype, storage.count) != (dtype, count) or count < 0:
            raise ValueError(f"the storage {key!r:.80} is described in two ways")
        return storage


# ---- the two formats ---------------------------------------------------------------------------


def read_torch(source: Source) -> Any:
    """Return the state that a PyTorch file holds, with a `StoredTensor` for each tensor.

    Dicts of every kind come as dicts, parameters as tensors, and other objects that training
    checkpoints hold as `Inert`.

    Raises
    ------
    DataError
        If it is damaged, or its pickle names what is neither a tensor nor plain data.
    """
    try:
        if source.read(4) == b"PK\3\4":
            return _read_zip(source)
        return _read_legacy(source)
    except DataError as error:
        text = str(error)
        prefix = "" if text.startswith(str(source.path)) else f"{source.path}: "
        raise DataError(prefix + text) from None


def _read_zip(source: Source) -> Any:
    entries = list_entries(source)
    pickles = [name for name in entries if name.count("/") == 1 and name.endswith("/data.pkl")]
    if len(pickles) != 1:
        raise DataError(
            f"{source.path}: a zip archive, but not of PyTorch, which has one data.pkl; "
            f"found {brief(list(entries)[:4])}"
        )
    prefix = pickles[0].removesuffix("data.pkl")
    if f"{prefix}constants.pkl" in entries:
        raise DataError(
            f"{source.path}: a TorchScript program; load it with torch.jit.load and save its "
            "state_dict()"
        )
    if f"{prefix}byteorder" in entries:
        _check_order(source, _content(source, entries, f"{prefix}byteorder") == b"little")
    storages = _Storages(source)
    state, _ = unpickle(_content(source, entries, pickles[0]), _KNOWN, storages)
    for key, storage in storages.found.items():
        entry = entries.get(f"{prefix}data/{key}")
        if entry is None or entry.size < storage.size:
            found = "missing" if entry is None else f"in {entry.size}"
            raise bad(source, f"the storage {key!r:.80} of {storage.size} bytes is {found}")
        storage.start = locate(source, entry)
    return state


def _content(source: Source, entries: dict[str, Any], name: str) -> bytes:
    entry = entries[name]
    if entry.size > PICKLE:
        raise bad(source, f"{name!r:.200} has {entry.size} bytes; at most {PICKLE} are read")
    source.seek(locate(source, entry))
    return source.read(entry.size)


def _read_legacy(source: Source) -> Any:
    source.seek(0)
    storages = _Storages(source)
    magic, version, machine = (_next(source, storages) for _ in range(3))
    if magic != int.from_bytes(LEGACY[4:], "little") or version != 1001:
        raise DataError(f"{source.path}: no file of PyTorch's earlier format 1001")
    _check_order(source, isinstance(machine, dict) and machine.get("little_endian") is True)
    state, keys = _next(source, storages), _next(source, storages)
    if type(keys) is not list or sorted(map(str, keys)) != sorted(storages.found):
        raise DataError(f"{source.path}: damaged: the list of storages is not that of the state")
    for key in keys:
        storage = storages.found[key]
        count = int.from_bytes(source.read(8), "little")
        storage.start = source.position
        if count != storage.count or storage.start + storage.size > source.limit:
            raise DataError(
                f"{source.path}: damaged: storage {key!r:.80} of {storage.size} bytes at byte "
                f"{storage.start} is not whole; fetch the file again"
            )
        source.seek(storage.start + storage.size)
    return state


def _next(source: Source, storages: _Storages) -> Any:
    """Read the pickle that stands next in an earlier format's file."""
    start = source.position
    value, end = unpickle(source.read(PICKLE), _KNOWN, storages)
    source.seek(start + end)
    return value


def _check_order(source: Source, little: bool) -> None:
    if not little:
        raise DataError(
            f"{source.path}: written by a big-endian machine; load it with PyTorch on a "
            "little-endian one and save it again"
        )
