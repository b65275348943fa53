"""PyTorch's files (``.pth``, ``.pt``, ``.bin``), read without PyTorch.

Since PyTorch 1.6 a file is a zip archive without compression: ``data.pkl`` is a pickle of the
nested state, in which every tensor is a call of `_rebuild_tensor_v2` on a storage, and ``data/0``,
``data/1`` … are the storages' bytes. Before, a file was four pickles in a row (a magic number, the
version, the machine, the state), a fifth with the storages' keys, and then their bytes.
Source: https://github.com/pytorch/pytorch, torch/serialization.py.
"""

from __future__ import annotations

import math
import pickle
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.backend import to_device
from minigrad.errors import DataError, brief
from minigrad.files import Source
from minigrad.io.atomic import atomic_write
from minigrad.io.safetensors import from_bfloat16, little_endian
from minigrad.io.unpickle import Inert, Named, plain_dict, unpickle
from minigrad.io.zipped import Entry, bad, list_entries, locate
from minigrad.tensor import Tensor

__all__ = ["LEGACY", "StoredTensor", "read_torch", "save_torch"]

LEGACY = bytes.fromhex("6cfc9c46f9206aa85019")  # the magic number, in the first pickle
PICKLE, KEYS = 1 << 24, 1 << 20  # bytes at most; the numbers of tensors stand elsewhere
ALIGNMENT = 64  # of storages in a file, PyTorch's own
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
    "_codecs.encode", "argparse.Namespace", "builtins.bytearray", "builtins.frozenset",
    "builtins.set", "collections.Counter", "collections.deque", "numpy.dtype", "numpy.ndarray",
    "numpy._core.multiarray._reconstruct", "numpy._core.multiarray.scalar",
    "numpy._core.numeric._frombuffer", "numpy.core.numeric._frombuffer",
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
    if 0 not in shape and last >= count:
        raise ValueError(
            f"a tensor of shape {brief(shape)}, strides {brief(strides)} from element "
            f"{view.offset} reaches beyond the {count} of its storage"
        )
    if 0 not in shape and math.prod(shape) > count:
        raise DataError(
            f"a tensor of shape {brief(shape)}, strides {brief(strides)} shows the {count} numbers "
            "of its storage again and again; save it as tensor.contiguous()"
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
    """Make an ordered dict; Python 2 wrote its pairs as an argument."""
    return plain_dict([key for key, _ in pairs], [value for _, value in pairs])


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
    """The storages that a pickle mentions, by key; for the machine's `persistent`."""

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


def read_torch(source: Source) -> tuple[str, Any]:
    """Read a PyTorch file.

    Returns
    -------
    str
        Its format: "torch" or "torch legacy".
    object
        Its state, with a `StoredTensor` for each tensor. Dicts of every kind come as dicts,
        parameters as tensors, other objects that training checkpoints hold as `Inert`.

    Raises
    ------
    DataError
        If it is damaged, or its pickle names what is neither a tensor nor plain data.
    """
    if source.read(2) == b"PK":
        return "torch", _read_zip(source)
    return "torch legacy", _read_legacy(source)


def _read_zip(source: Source) -> Any:
    entries = list_entries(source)
    pickles = [name for name in entries if name.count("/") == 1 and name.endswith("/data.pkl")]
    if "model.weights.h5" in entries:
        raise DataError(
            f"{source.path}: a .keras archive; unpack model.weights.h5 from it, or save it with "
            "model.save_weights('model.weights.h5')"
        )
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
        _check_order(source, _content(source, entries[f"{prefix}byteorder"]) == b"little")
    storages = _Storages(source)
    state, _ = _unpickled(_content(source, entries[pickles[0]]), storages)
    for key, storage in storages.found.items():
        entry = entries.get(f"{prefix}data/{key}")
        if entry is None or entry.size < storage.size:
            found = "missing" if entry is None else f"in {entry.size}"
            raise bad(source, f"the storage {key!r:.80} of {storage.size} bytes is {found}")
        storage.start = locate(source, entry)
    return state


def _content(source: Source, entry: Entry) -> bytes:
    if entry.size > PICKLE:
        raise bad(source, f"its pickle has {entry.size} bytes; at most {PICKLE} are read")
    source.seek(locate(source, entry))
    return source.read(entry.size)


def _read_legacy(source: Source) -> Any:
    source.seek(0)
    storages = _Storages(source)
    magic, version, machine = (_next(source, storages, 1000) for _ in range(3))
    if magic != int.from_bytes(LEGACY, "little") or version != 1001:
        raise DataError(f"{source.path}: no file of PyTorch's earlier format 1001")
    _check_order(source, isinstance(machine, dict) and machine.get("little_endian") is True)
    state, keys = _next(source, storages, PICKLE), _next(source, storages, KEYS)
    texts = type(keys) is list and all(type(key) is str for key in keys)
    if not texts or sorted(keys) != sorted(storages.found):
        raise DataError(f"{source.path}: damaged: the list of storages is not that of the state")
    for key in keys:
        storage = storages.found[key]
        count = int.from_bytes(source.read(8), "little")
        storage.start = source.position
        if count != storage.count or storage.start + storage.size > source.limit:
            raise DataError(
                f"{source.path}: damaged: the storage {key!r:.80} of {storage.size} bytes at byte "
                f"{storage.start} is not whole; fetch the file again"
            )
        source.seek(storage.start + storage.size)
    return state


def _next(source: Source, storages: _Storages, limit: int) -> Any:
    """Read the pickle that stands next in an earlier format's file."""
    start = source.position
    value, end = _unpickled(source.read(limit), storages)
    source.seek(start + end)
    return value


def _unpickled(data: bytes, storages: _Storages) -> tuple[Any, int]:
    try:
        return unpickle(data, _KNOWN, storages)
    except DataError as error:
        raise DataError(f"{storages.source.path}: {error}") from None


def _check_order(source: Source, little: bool) -> None:
    if not little:
        raise DataError(
            f"{source.path}: written by a big-endian machine; load it with PyTorch on a "
            "little-endian one and save it again"
        )


# ---- writing -----------------------------------------------------------------------------------


def save_torch(state: Mapping[str, Any], path: str | Path) -> None:
    """Write a state to a file of PyTorch's, which ``torch.load(path, weights_only=True)`` reads.

    The same state makes the same bytes, and the write is atomic.

    Parameters
    ----------
    state : mapping of str to object
        Tensors, arrays, numbers, texts, None, and mappings of them.
    path : path
        The file, by convention ``….pth``.

    Raises
    ------
    DataError
        If PyTorch has no type for an entry, or the file cannot be written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from minigrad.io import read_checkpoint
    >>> path = pathlib.Path(tempfile.mkdtemp(), "model.pth")
    >>> save_torch({"model": {"head.bias": np.zeros(3)}, "epoch": 3}, path)
    >>> read_checkpoint(path).tensors
    {'head.bias': array([0., 0., 0.])}
    """
    program = _Program()
    try:
        text = pickle.PROTO + b"\2" + program.value(state, "") + pickle.STOP
    except (RecursionError, UnicodeEncodeError) as error:
        raise DataError(f"save_torch: the state cannot be written ({error})") from None
    with atomic_write(path) as file, zipfile.ZipFile(file, "w") as archive:
        _add(archive, "data.pkl", memoryview(text))
        _add(archive, "byteorder", memoryview(b"little"))
        for key, array in enumerate(program.arrays):
            _add(archive, f"data/{key}", little_endian(array))
        _add(archive, "version", memoryview(b"3\n"))


def _add(archive: zipfile.ZipFile, name: str, content: memoryview) -> None:
    """Add an entry whose bytes begin at a multiple of 64, as PyTorch's own do, to be mapped."""
    entry = zipfile.ZipInfo(f"archive/{name}")
    entry.create_system = 3  # the same on every machine
    wide = len(content) * 1.05 > zipfile.ZIP64_LIMIT  # as `zipfile` decides it
    head = archive.start_dir + 30 + len(entry.filename) + (20 if wide else 0) + 4
    padding = -head % ALIGNMENT
    entry.extra = b"FB" + struct.pack("<H", padding) + bytes(padding)
    archive.writestr(entry, content)


class _Program:
    """The operations that make a state, and the arrays that they find in the archive."""

    def __init__(self) -> None:
        self.arrays: list[NDArray[Any]] = []

    def value(self, value: Any, path: str) -> bytes:
        if isinstance(value, Mapping):
            items = (
                self.value(key, path) + self.value(item, f"{path}.{key}")
                for key, item in value.items()
            )
            return pickle.EMPTY_DICT + pickle.MARK + b"".join(items) + pickle.SETITEMS
        if isinstance(value, Tensor):
            value = to_device(value.array, "cpu")
        if isinstance(value, np.ndarray):
            return self.tensor(value, path)
        if value is None or isinstance(value, bool):
            return {None: pickle.NONE, True: pickle.NEWTRUE, False: pickle.NEWFALSE}[value]
        if isinstance(value, int) and -(1 << 63) <= value < 1 << 63:
            return _number(value)
        if isinstance(value, float):
            return pickle.BINFLOAT + struct.pack(">d", value)
        if isinstance(value, str):
            return _text(value)
        raise DataError(
            f"save_torch: {path[1:] or 'the state'} is of type {type(value).__name__}; only "
            "arrays, numbers, texts, None and mappings of them can be saved"
        )

    def tensor(self, array: NDArray[Any], path: str) -> bytes:
        """Return a call of ``_rebuild_tensor_v2`` on a storage that is the array's own."""
        kinds = {dtype: kind for kind, dtype in _STORAGES.items()}
        if array.dtype.name not in kinds:
            raise DataError(
                f"save_torch: {path[1:]} is of dtype {array.dtype}, for which PyTorch has no "
                f"storage; convert it to one of {', '.join(kinds)}"
            )
        key, kind = str(len(self.arrays)), f"{kinds[array.dtype.name]}Storage"
        self.arrays.append(array)
        steps = [math.prod(array.shape[axis + 1 :]) for axis in range(array.ndim)]
        storage = _tuple(
            _text("storage"), _name("torch", kind), _text(key), _text("cpu"), _number(array.size)
        )
        no_hooks = _name("collections", "OrderedDict") + pickle.EMPTY_TUPLE + pickle.REDUCE
        arguments = _tuple(
            storage + pickle.BINPERSID,
            _number(0),
            _tuple(*map(_number, array.shape)),
            _tuple(*map(_number, steps)),
            pickle.NEWFALSE,  # requires no gradient
            no_hooks,
        )
        return _name("torch._utils", "_rebuild_tensor_v2") + arguments + pickle.REDUCE


def _number(value: int) -> bytes:
    if 0 <= value < 1 << 16:
        return pickle.BININT2 + struct.pack("<H", value)
    return pickle.LONG1 + b"\x08" + struct.pack("<q", value)


def _text(value: str) -> bytes:
    text = value.encode()
    return pickle.BINUNICODE + struct.pack("<I", len(text)) + text


def _name(module: str, name: str) -> bytes:
    return pickle.GLOBAL + f"{module}\n{name}\n".encode()


def _tuple(*items: bytes) -> bytes:
    return pickle.MARK + b"".join(items) + pickle.TUPLE
