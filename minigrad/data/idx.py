"""The IDX file format of MNIST and its relatives: a magic number, the sizes, the bytes.

Bytes 0 and 1 are zero, byte 2 names the element type, byte 3 counts the axes; then one big-endian
uint32 per axis and the elements in C order. Source: http://yann.lecun.com/exdb/mnist/.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.errors import DataError

__all__ = ["read_bytes", "read_idx"]

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_bytes(path: Path) -> bytes:
    """Return the content of a file, unpacked if it is a gzip file.

    Raises
    ------
    DataError
        If the packed file is truncated or damaged.
    """
    raw = path.read_bytes()
    if path.suffix != ".gz" and not raw.startswith(b"\x1f\x8b"):
        return raw
    try:
        return gzip.decompress(raw)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(
            f"{path}: not a complete gzip file ({len(raw)} bytes: {error}); "
            "delete it and fetch it again"
        ) from None


def read_idx(path: str | Path) -> NDArray[Any]:
    """Read an IDX file, packed (``.gz``) or not.

    Returns
    -------
    numpy.ndarray
        In the file's own element type, native byte order.

    Raises
    ------
    DataError
        Naming the file, what was expected and what was found.
    """
    path = Path(path)
    data = read_bytes(path)
    mend = "delete it and fetch it again"
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in _TYPES:
        raise DataError(
            f"{path}: expected an IDX file, which begins with 00 00 and an element type "
            f"(08 for bytes); found {data[:4].hex(' ') or 'an empty file'}; {mend}"
        )
    dtype, ndim = np.dtype(_TYPES[data[2]]), data[3]
    start = 4 + 4 * ndim
    if len(data) < start:
        raise DataError(
            f"{path}: expected a header of {start} bytes for {ndim} axes; "
            f"found {len(data)} bytes; {mend}"
        )
    shape = tuple(int(size) for size in np.frombuffer(data, ">u4", ndim, offset=4))
    expected = math.prod(shape) * dtype.itemsize
    if len(data) - start != expected:
        raise DataError(
            f"{path}: expected {expected} bytes of data for shape {shape}; "
            f"found {len(data) - start}; {mend}"
        )
    return np.frombuffer(data, dtype, offset=start).reshape(shape).astype(dtype.newbyteorder("="))
