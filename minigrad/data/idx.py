"""The IDX file format of MNIST and its relatives: a magic number, the sizes, the bytes.

Bytes 0 and 1 are zero, byte 2 names the element type, byte 3 counts the axes; then one big-endian
uint32 per axis and the elements in C order. Source: http://yann.lecun.com/exdb/mnist/.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.errors import DataError
from minigrad.files import opened

__all__ = ["read_idx"]

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


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

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "a.idx")
    ...     _ = path.write_bytes(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9]))
    ...     read_idx(path)
    array([7, 8, 9], dtype=uint8)
    """
    mend = "delete it and fetch it again"
    with opened(path, unpack=True) as source:
        head = source.read(4)
        if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _TYPES:
            raise DataError(
                f"{path}: expected an IDX file, which begins with 00 00 and an element type "
                f"(08 for bytes); found {head.hex(' ') or 'an empty file'}; {mend}"
            )
        axes = head[3]
        sizes = source.read(4 * axes)
        if len(sizes) < 4 * axes:
            raise DataError(
                f"{path}: expected a header of {4 + 4 * axes} bytes for {axes} axes; "
                f"found {4 + len(sizes)} bytes; {mend}"
            )
        array = source.array(_TYPES[head[2]], np.frombuffer(sizes, ">u4").tolist())
        source.end()
    return array
