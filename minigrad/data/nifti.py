"""NIfTI-1, the file format of brain images: a header of 348 bytes, then the numbers.

Source: R. Cox et al., "A (sort of) new image data format standard: NIfTI-1", 2004,
https://nifti.nimh.nih.gov/nifti-1.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from minigrad.errors import DataError
from minigrad.files import opened

__all__ = ["read_nifti"]

HEADER = np.dtype(
    {
        "names": ["size", "dim", "type", "zoom", "offset", "slope", "shift", "magic"],
        "formats": ["i4", "8i2", "i2", "8f4", "f4", "f4", "f4", "S4"],
        "offsets": [0, 40, 70, 76, 108, 112, 116, 344],
        "itemsize": 348,
    }
)
TYPES = {2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4"}


def read_nifti(path: str | Path) -> NDArray[Any]:
    """Read the numbers of a NIfTI-1 file, packed (``.nii.gz``) or not.

    Returns
    -------
    numpy.ndarray
        Axes as in the file, the first running fastest: usually left-right, back-front, down-up.
        In the file's own element type, or float32 where the file says how to scale it.

    Raises
    ------
    DataError
        If it is no such file, or is cut short.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "nothing.nii")
    >>> _ = path.write_bytes(b"no image")
    >>> read_nifti(path)
    Traceback (most recent call last):
        ...
    minigrad.errors.DataError: ...nothing.nii: not a NIfTI-1 file (8 bytes, the first b'no im...
    """
    with opened(path, unpack=True) as source:
        head = source.read(HEADER.itemsize)
        header: Any = None
        if len(head) == HEADER.itemsize:
            orders: tuple[Literal["<", ">"], ...] = ("<", ">")
            for order in orders:
                found = np.frombuffer(head, HEADER.newbyteorder(order), 1)[0]
                if found["size"] == HEADER.itemsize and found["magic"].startswith((b"n+1", b"ni1")):
                    header, byte_order = found, order
        if header is None or header["magic"].startswith(b"ni1"):
            raise DataError(
                f"{path}: not a NIfTI-1 file ({len(head)} bytes, the first {head[:8]!r}); "
                "expected one file of header and image, .nii or .nii.gz"
            )
        if int(header["type"]) not in TYPES:
            raise DataError(f"{path}: NIfTI-1 element type {header['type']} is not supported")
        axes, offset = int(header["dim"][0]), float(header["offset"])
        shape = tuple(int(n) for n in header["dim"][1 : axes + 1])
        if not 1 <= axes <= 7 or min(shape) < 1 or not HEADER.itemsize <= offset <= source.limit:
            raise DataError(
                f"{path}: no image has {axes} axes and the shape {shape}, or begins at byte "
                f"{offset:g} of this file; fetch the file again"
            )
        source.seek(int(offset))
        array = source.array(byte_order + TYPES[int(header["type"])], shape, "F")
    while array.ndim > 3 and array.shape[-1] == 1:
        array = array[..., 0]
    slope, shift = float(header["slope"]), float(header["shift"])
    if slope in (0.0, 1.0) and shift == 0.0:
        return array
    return np.asarray(array * np.float32(slope) + np.float32(shift), np.float32)
