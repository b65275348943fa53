r"""NumPy's own files: ``.npy`` with one array of numbers, ``.npz`` with several; never with code.

A ``.npy`` file is: ``\x93NUMPY``, the version, the length of the header, the header (a Python
dict of element type, order and shape), the elements. Source: NEP 1,
https://numpy.org/neps/nep-0001-npy-format.html. An ``.npz`` file is a ZIP archive of them.
"""

from __future__ import annotations

import re
import struct
import zipfile
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from minigrad.errors import DataError
from minigrad.files import BROKEN, INFLATION, Source, opened, reason

__all__ = ["read_npy", "read_npz"]

_DESCR = r"'descr' *: *'([^']*)'"
_ORDER = r"'fortran_order' *: *(True|False)"
_SHAPE = r"'shape' *: *\(((?:\d{1,19}, ?)*\d{0,19})\)"
_FIELD = rf" *(?:{_DESCR}|{_ORDER}|{_SHAPE}) *"
_HEADER = re.compile(rf" *{{{_FIELD},{_FIELD},{_FIELD},? *}} *\n?")
_TYPE = re.compile(r"[<>|=](b1|[iu][1248]|f[248])")
_VERSIONS = (b"\1\0", b"\2\0", b"\3\0")
_HEADER_LIMIT = 10_000  # bytes, NumPy's own


def read_npy(path: str | Path) -> NDArray[Any]:
    """Read the array of a ``.npy`` file: booleans, whole or real numbers.

    Raises
    ------
    DataError
        If the file is missing, damaged, or holds something else, such as Python objects.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "signal.npy")
    >>> import numpy as np
    >>> np.save(path, np.arange(3))
    >>> read_npy(path)
    array([0, 1, 2])
    """
    with opened(path) as source:
        return _array(source)


def read_npz(path: str | Path) -> dict[str, NDArray[Any]]:
    """Read the arrays of an ``.npz`` file by name.

    Raises
    ------
    DataError
        If the file is missing or damaged, or a member is not an array of numbers.
    """
    arrays = {}
    with opened(path) as file:
        if file.read(2) != b"PK":
            raise DataError(f"{path}: not an .npz file, which is a ZIP archive")
        try:
            with zipfile.ZipFile(file.file) as archive:
                left = file.limit * INFLATION  # what all members together can hold
                for member in archive.infolist():
                    name, left = member.filename, left - member.file_size
                    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                        raise DataError(f"{path}: {name!r} is packed in an unknown way")
                    if left < 0:
                        raise DataError(f"{path}: {name!r} claims to be larger than it can be")
                    with archive.open(member) as unpacked:
                        size = member.file_size
                        source = Source(f"{path}: {name}", unpacked, size, "ZIP")
                        arrays[name.removesuffix(".npy")] = _array(source)
        except DataError:
            raise
        except (*BROKEN, LookupError, struct.error, zipfile.BadZipFile) as error:
            raise DataError(f"{path}: no whole .npz file ({reason(error)})") from None
    return arrays


def _array(source: Source) -> NDArray[Any]:
    head = source.read(8)
    if len(head) < 8 or head[:6] != b"\x93NUMPY" or head[6:] not in _VERSIONS:
        raise _bad(source, f"it begins with {head!r}")
    length = int.from_bytes(source.read(2 if head[6] == 1 else 4), "little")
    text = source.read(length).decode("latin-1") if length <= _HEADER_LIMIT else ""
    if len(text) < length:
        raise _bad(source, f"its header of {length} bytes is cut short or too long")
    fields = [re.search(field, text) for field in (_DESCR, _ORDER, _SHAPE)]
    if not _HEADER.fullmatch(text) or None in fields:
        raise _bad(source, f"its header is {text[:80]!r}")
    descr, order, shape = (field[1] for field in fields if field)
    if not _TYPE.fullmatch(descr):
        raise _bad(source, f"its element type is {descr!r:.80}")
    sizes = [int(size) for size in re.findall(r"\d+", shape)]
    array = source.array(descr, sizes, "F" if order == "True" else "C")
    source.end()
    return array


def _bad(source: Source, why: str) -> DataError:
    return DataError(f"{source.path}: no .npy array of numbers ({why}); write it with numpy.save")
