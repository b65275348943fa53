"""The safetensors file format, in NumPy alone.

A file is: the length of the header (8 bytes, little-endian), the header (JSON: for every tensor
its dtype, shape and byte range; under ``__metadata__`` a map of strings), then the bytes of the
tensors in C order without gaps. Source: https://github.com/huggingface/safetensors.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.errors import DataError
from minigrad.files import Source, opened
from minigrad.io.atomic import atomic_write

__all__ = ["load_file", "save_file"]

Arrays = dict[str, NDArray[Any]]

_NAMES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4",
    "U64": "<u8", "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8", "BF16": "<u2",
}  # fmt: skip
_CODES = {np.dtype(code): name for name, code in _NAMES.items() if name != "BF16"}
_METADATA = "__metadata__"
_UNSUPPORTED = frozenset(
    "C64 F4 F6_E2M3 F6_E3M2 F8_E4M3 F8_E4M3FNUZ F8_E5M2 F8_E5M2FNUZ F8_E8M0".split()
)  # dtypes of the format which have no tensors here
_HEADER_LIMIT = 100_000_000  # the reference reader's
_AXES = 64  # NumPy's


def save_file(
    arrays: Mapping[str, NDArray[Any]], path: str | Path, metadata: Mapping[str, str] | None = None
) -> None:
    """Write named arrays to a safetensors file, atomically.

    Parameters
    ----------
    arrays : mapping of str to numpy.ndarray
        Any memory layout; stored in C order.
    path : path
        The file; an old one is replaced only once the new one is whole.
    metadata : mapping of str to str, optional
        Free text stored beside the arrays.

    Raises
    ------
    DataError
        If the format cannot hold an array, a name or the metadata, or the file cannot be written.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "a.safetensors")
    ...     save_file({"x": np.arange(3)}, path, {"from": "here"})
    ...     load_file(path)
    ({'x': array([0, 1, 2])}, {'from': 'here'})
    """
    if not isinstance(arrays, Mapping):
        raise DataError(f"safetensors: arrays by name are stored, not a {type(arrays).__name__}")
    for name, array in arrays.items():
        _check_storable(name, array)
    header: dict[str, Any] = {_METADATA: dict(metadata)} if metadata else {}
    if not all(
        isinstance(text, str) for pair in header.get(_METADATA, {}).items() for text in pair
    ):
        raise DataError(f"safetensors: metadata are texts by name, got {metadata!r:.200}")
    end = 0
    ordered = sorted(arrays.items(), key=lambda item: (-item[1].dtype.itemsize, item[0]))
    entries = {}
    for name, array in ordered:  # wide elements first, so that all lie aligned
        start, end = end, end + array.nbytes
        dtype = _dtype_name(name, array)
        entries[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": (start, end)}
    header |= {name: entries[name] for name in arrays}  # read back in the order given
    try:
        text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise DataError(f"safetensors: a name or the metadata are no text ({error})") from None
    text += b" " * (-len(text) % 8)
    if len(text) > _HEADER_LIMIT:
        raise DataError(
            f"safetensors: names and metadata take {len(text):,} bytes, and readers of this format "
            f"refuse more than {_HEADER_LIMIT:,}; put long lists of numbers into an array"
        )
    with atomic_write(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, array in ordered:
            file.write(little_endian(array))


def load_file(path: str | Path) -> tuple[Arrays, dict[str, str]]:
    """Read a safetensors file: its arrays by name, and its metadata.

    bfloat16 comes as ``ml_dtypes.bfloat16`` where that package is installed, else widened to
    float32, which is exact.

    Raises
    ------
    DataError
        If the file is missing, truncated or malformed; the message says where.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "a.safetensors")
    ...     save_file({"x": np.arange(3)}, path, {"from": "here"})
    ...     load_file(path)
    ({'x': array([0, 1, 2])}, {'from': 'here'})
    """
    with opened(path) as source:
        return read_safetensors(source)


def read_safetensors(source: Source) -> tuple[Arrays, dict[str, str]]:
    """Read a file that is open: its arrays by name, and its metadata."""
    path, size = source.path, source.limit
    head = source.read(8)
    if len(head) < 8:
        raise _bad(path, f"expected at least the 8 bytes of the header length, found {size} bytes")
    length = int.from_bytes(head, "little")
    if length > size - 8:
        raise _bad(path, f"expected a header of {length} bytes, found {size - 8} bytes after it")
    if length > _HEADER_LIMIT:
        raise _bad(path, f"its header has {length} bytes; more than {_HEADER_LIMIT} are refused")
    header, metadata = _header(path, source.read(length))
    entries = [(name, *_entry(path, name, entry)) for name, entry in header.items()]
    end = 0
    for name, _, _, start, stop in sorted(entries, key=lambda entry: entry[3:]):
        if start != end:
            raise _bad(path, f"tensor {name!r} begins at byte {start}, expected {end}")
        end = stop
    if size - 8 - length != end:
        raise _bad(path, f"expected {end} bytes of data, found {size - 8 - length}")
    arrays: Arrays = {}
    for name, dtype, shape, start, _ in entries:
        source.seek(8 + length + start)
        array = source.array(_NAMES[dtype], shape)
        arrays[name] = from_bfloat16(array) if dtype == "BF16" else array
    return arrays, metadata


def _header(path: Path | str, text: bytes) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the entries of the tensors, and the metadata."""
    try:
        if text[:1] != b"{":
            raise ValueError(f"it begins with {text[:8]!r}")
        header = json.loads(text.decode(), object_pairs_hook=without_duplicates, parse_int=integer)
        metadata = header.pop(_METADATA, None)
        if metadata is None:
            metadata = {}
        if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
            raise ValueError(f"{_METADATA} is no map of texts")
        "".join([*header, *metadata, *metadata.values()]).encode()  # refuses lone surrogates
    except (ValueError, RecursionError) as error:
        raise _bad(path, f"the header is no map of tensors ({error})") from None
    return header, metadata


def integer(digits: str) -> int:
    """Read a number of JSON; for ``parse_int``."""
    if len(digits) > 20:  # beyond 2^64; to read thousands of digits takes long
        raise ValueError(f"the number {digits[:20]}… is too large")
    return int(digits)


def _entry(path: Path | str, name: str, entry: Any) -> tuple[str, tuple[int, ...], int, int]:
    """Check one tensor's line of the header."""
    what = f"tensor {name!r}"
    match entry:
        case {"dtype": str(dtype), "shape": [*sizes], "data_offsets": [start, stop]}:
            shape = tuple(sizes)
        case _:
            line = repr(entry)[:80]
            raise _bad(path, f"the header is no map of tensors ({what} is described by {line})")
    if dtype in _UNSUPPORTED:
        raise DataError(
            f"{path}: {what} is {dtype}, which is not supported; convert the file to F32, F16 or "
            "BF16 with the program that wrote it"
        )
    if dtype not in _NAMES:
        raise _bad(path, f"{what} has the unknown dtype {dtype!r:.40}")
    numbers = (*shape, start, stop)
    if len(shape) > _AXES or not all(type(n) is int and 0 <= n < 1 << 63 for n in numbers):
        raise _bad(path, f"{what}: shape {shape!r:.200}, bytes {start!r:.40} to {stop!r:.40}")
    expected = math.prod(shape) * np.dtype(_NAMES[dtype]).itemsize
    if stop - start != expected:
        raise _bad(path, f"{what} of {dtype} {shape} needs {expected} bytes, has {stop - start}")
    return dtype, shape, start, stop


def _bad(path: Path | str, what: str) -> DataError:
    return DataError(
        f"{path}: not a whole safetensors file: {what}; fetch the file again, "
        "or load an earlier checkpoint"
    )


def without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make a dict of a JSON object; for ``object_pairs_hook``."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name occurs twice")
    return found


def _check_storable(name: Any, array: Any) -> None:
    if not isinstance(name, str) or name == _METADATA:
        raise DataError(
            f"safetensors: a tensor's name is a text other than {_METADATA!r}, got {name!r}; "
            "minigrad.io.save keeps any key"
        )
    if not isinstance(array, np.ndarray | np.generic):
        raise DataError(
            f"safetensors: {name!r} is of type {type(array).__name__}, expected a NumPy array; "
            "minigrad.io.save takes tensors and nested states"
        )


def _dtype_name(name: str, array: NDArray[Any]) -> str:
    if array.dtype.name == "bfloat16":
        return "BF16"
    try:
        return _CODES[array.dtype.newbyteorder("<") if array.dtype.itemsize > 1 else array.dtype]
    except KeyError:
        raise DataError(f"safetensors cannot store {name!r} of dtype {array.dtype}") from None


def little_endian(array: NDArray[Any]) -> memoryview:
    """Return the bytes of an array in C order, the least of each number first."""
    array = np.ascontiguousarray(array)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if sys.byteorder == "big":
        array = array.byteswap()
    return array.reshape(-1).view(np.uint8).data


def from_bfloat16(bits: NDArray[np.uint16]) -> NDArray[Any]:
    """Return bfloat16 numbers as their own type, or widened where there is none."""
    try:
        import ml_dtypes
    except ImportError:  # bfloat16 is the upper half of a float32
        return (bits.astype(np.uint32) << 16).view(np.float32)
    return bits.view(ml_dtypes.bfloat16)
