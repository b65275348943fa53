"""The safetensors file format, in NumPy alone.

A file is: the length of the header (8 bytes, little-endian), the header (JSON: for every tensor
its dtype, shape and byte range; under ``__metadata__`` a map of strings), then the bytes of the
tensors in C order without gaps. Source: https://github.com/huggingface/safetensors.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from minigrad.errors import DataError
from minigrad.io.atomic import atomic_write

__all__ = ["load_file", "save_file"]

Arrays = dict[str, NDArray[Any]]

_NAMES = {
    "BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4",
    "U64": "<u8", "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8", "BF16": "<u2",
}  # fmt: skip
_CODES = {np.dtype(code): name for name, code in _NAMES.items() if name != "BF16"}
_HEADER_LIMIT = 100_000_000  # the reference reader's


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
        If an array has a dtype that the format lacks, or the file cannot be written.
    """
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    ordered = sorted(arrays.items(), key=lambda item: (-item[1].dtype.itemsize, item[0]))
    entries = {}
    for name, array in ordered:  # wide elements first, so that all lie aligned
        start, end = end, end + array.nbytes
        dtype = _dtype_name(name, array)
        entries[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": (start, end)}
    header |= {name: entries[name] for name in arrays}  # read back in the order given
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with atomic_write(path) as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _, array in ordered:
            file.write(_bytes(array))


def load_file(path: str | Path) -> tuple[Arrays, dict[str, str]]:
    """Read a safetensors file: its arrays by name, and its metadata.

    bfloat16 comes as ``ml_dtypes.bfloat16`` where that package is installed, else widened to
    float32, which is exact.

    Raises
    ------
    DataError
        If the file is missing, truncated or malformed; the message says where.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            return _read(file, path)
    except OSError as error:
        hint = "; check the path" if isinstance(error, FileNotFoundError) else ""
        raise DataError(f"{path}: cannot be read ({error.strerror or error}){hint}") from None


def _read(file: BinaryIO, path: Path) -> tuple[Arrays, dict[str, str]]:
    size = path.stat().st_size
    if size < 8:
        raise _bad(path, f"expected at least the 8 bytes of the header length, found {size} bytes")
    length = int.from_bytes(file.read(8), "little")
    if length > min(size - 8, _HEADER_LIMIT):
        raise _bad(path, f"expected a header of {length} bytes, found {size - 8} bytes after it")
    try:
        header = json.loads(file.read(length), object_pairs_hook=_without_duplicates)
        metadata = header.pop("__metadata__", {})
        entries = [(name, *_entry(name, entry)) for name, entry in header.items()]
    except (ValueError, AttributeError, TypeError, KeyError) as error:
        raise _bad(path, f"the header is no map of tensors ({error})") from None
    end = 0
    for name, _, _, start, stop in sorted(entries, key=lambda entry: entry[3:]):
        if start != end:
            raise _bad(path, f"tensor {name!r} begins at byte {start}, expected {end}")
        end = stop
    if size - 8 - length != end:
        raise _bad(path, f"expected {end} bytes of data, found {size - 8 - length}")
    arrays: Arrays = {}
    for name, dtype, shape, start, _ in entries:
        array = np.empty(shape, _NAMES[dtype])
        file.seek(8 + length + start)
        file.readinto(array.reshape(-1).view(np.uint8))  # type: ignore[attr-defined]
        arrays[name] = _from_bfloat16(array) if dtype == "BF16" else array.astype(
            array.dtype.newbyteorder("="), copy=False
        )  # fmt: skip
    return arrays, metadata


def _entry(name: str, entry: Any) -> tuple[str, tuple[int, ...], int, int]:
    """Check one tensor's line of the header."""
    dtype, shape, (start, stop) = entry["dtype"], tuple(entry["shape"]), entry["data_offsets"]
    if dtype not in _NAMES:
        raise ValueError(f"tensor {name!r} has the unknown dtype {dtype!r}")
    if not all(type(n) is int and n >= 0 for n in (*shape, start, stop)):
        raise ValueError(f"tensor {name!r}: shape {shape}, bytes {start} to {stop}")
    expected = math.prod(shape) * np.dtype(_NAMES[dtype]).itemsize
    if stop - start != expected:
        raise ValueError(
            f"tensor {name!r} of {dtype} {shape} needs {expected} bytes, has {stop - start}"
        )
    return dtype, shape, start, stop


def _bad(path: Path, what: str) -> DataError:
    return DataError(
        f"{path}: not a whole safetensors file: {what}; fetch the file again, "
        "or load an earlier checkpoint"
    )


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name occurs twice")
    return found


def _dtype_name(name: str, array: NDArray[Any]) -> str:
    if array.dtype.name == "bfloat16":
        return "BF16"
    try:
        return _CODES[array.dtype.newbyteorder("<") if array.dtype.itemsize > 1 else array.dtype]
    except KeyError:
        raise DataError(f"safetensors cannot store {name!r} of dtype {array.dtype}") from None


def _bytes(array: NDArray[Any]) -> bytes:
    array = np.ascontiguousarray(array)
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("<"))
    return array.tobytes()


def _from_bfloat16(bits: NDArray[np.uint16]) -> NDArray[Any]:
    try:
        import ml_dtypes
    except ImportError:  # bfloat16 is the upper half of a float32
        return (bits.astype(np.uint32) << 16).view(np.float32)
    return bits.view(ml_dtypes.bfloat16)
