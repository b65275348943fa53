"""NIfTI, the file format of brain images: a header of 348 bytes (version 2: 540), then the numbers.

Sources: R. Cox et al., "A (sort of) new image data format standard: NIfTI-1", 2004, and NIfTI-2,
https://nifti.nimh.nih.gov. Sloppy headers are read as nibabel, with which the tests
compare, reads them.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from minigrad.backend import quiet
from minigrad.data.dicom import read_dicom
from minigrad.data.volume import Affine, Volume, turn_of
from minigrad.errors import DataError, missing_extra
from minigrad.files import INFLATION, Source, opened, reason, to_path

__all__ = ["HEADERS", "MAGIC", "TYPES", "nowhere", "read_nifti", "read_volume"]

_FIELDS = {  # name: its place and type in version 1, and in version 2
    "size": (0, "i4", 0, "i4"),
    "magic": (344, "S4", 4, "S8"),
    "type": (70, "i2", 12, "i2"),
    "bits": (72, "i2", 14, "i2"),
    "dim": (40, "8i2", 16, "8i8"),
    "zoom": (76, "8f4", 104, "8f8"),
    "offset": (108, "f4", 168, "i8"),
    "slope": (112, "f4", 176, "f8"),
    "shift": (116, "f4", 184, "f8"),
    "units": (123, "u1", 500, "i4"),
    "qform": (252, "i2", 344, "i4"),
    "sform": (254, "i2", 348, "i4"),
    "quaternion": (256, "3f4", 352, "3f8"),
    "origin": (268, "3f4", 376, "3f8"),
    "rows": (280, "(3,4)f4", 400, "(3,4)f8"),
}
HEADERS = {
    size: np.dtype(
        {
            "names": list(_FIELDS),
            "offsets": [int(field[2 * i]) for field in _FIELDS.values()],
            "formats": [str(field[2 * i + 1]) for field in _FIELDS.values()],
            "itemsize": size,
        }
    )
    for i, size in enumerate((348, 540))
}
MAGIC = {348: b"n+1", 540: b"n+2\0\r\n\x1a\n"}  # header and image in one file
_PAIR = {348: b"ni1", 540: b"ni2\0\r\n\x1a\n"}  # in two
TYPES = {
    2: "u1", 4: "i2", 8: "i4", 16: "f4", 64: "f8", 256: "i1", 512: "u2", 768: "u4", 1024: "i8",
    1280: "u8",
}  # fmt: skip
_COLOURS = {128: 3, 2304: 4}  # bytes per voxel: RGB, RGBA
_OTHERS = {1: "single bits", 32: "complex64", 1536: "float128", 1792: "complex128",
           2048: "complex256"}  # fmt: skip
_EXTENSIONS = 1 << 26  # bytes between header and image at most: they are unpacked to be skipped
_NIBABEL = (".hdr", ".img", ".mgh", ".mgz", ".mnc", ".par", ".rec", ".head", ".brik")


def read_nifti(path: str | Path, canonical: bool = False) -> NDArray[Any]:
    """Read the numbers of a NIfTI file: the array of `read_volume`.

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
    return read_volume(path, canonical).array


def read_volume(path: str | Path, canonical: bool = False) -> Volume:
    """Read a volume and its place in space: NIfTI, packed (``.nii.gz``) or not, DICOM and others.

    Parameters
    ----------
    path : path
        A NIfTI-1 or NIfTI-2 file, of either byte order. Pairs of ``.hdr`` and ``.img``,
        FreeSurfer's ``.mgz`` and others are read by nibabel, a folder of DICOM slices, or one
        ``.dcm``, as `minigrad.data.dicom.read_dicom` says (extra ``volumes``).
    canonical : bool, default False
        Turn and mirror the axes so that they run, as nearly as they can, to the right, to the front
        and to the top. Files differ in this: without it a left may be a right.

    Returns
    -------
    Volume
        Axes as in the file unless `canonical`, the first running fastest; a last axis of length
        1 after the third is left out, and colours are a last axis. In the file's own element type;
        where the file says how to scale it, in float32, or in float64 if that could not hold it.
        A slope of 0, infinite or NaN means that it does not say so.

    Raises
    ------
    DataError
        If it is not such a file, is cut short, or its header contradicts itself.
    MissingExtra
        If only nibabel or pydicom reads it, and is not installed.
    """
    path = to_path(path)
    if path.name.lower().removesuffix(".gz").endswith(_NIBABEL):
        volume = _by_nibabel(path)
    elif path.is_dir() or path.suffix.lower() == ".dcm":
        volume = read_dicom(path)
    else:
        with opened(path, unpack=True) as source:
            volume = _read(source)
    array, spacing = volume.array, volume.spacing
    while array.ndim > 3 and len(spacing) == array.ndim and array.shape[-1] == 1:
        array, spacing = array[..., 0], spacing[:-1]
    volume = replace(volume, array=array, spacing=spacing)
    return turn_of(path, volume).volume(volume) if canonical else volume


def _read(source: Source) -> Volume:
    path, header = source.path, _header(source)
    kind, axes, offset = int(header["type"]), int(header["dim"][0]), float(header["offset"])
    if kind not in TYPES and kind not in _COLOURS:
        found = _OTHERS.get(kind, "which no version of NIfTI has")
        raise DataError(
            f"{path}: NIfTI element type {kind} ({found}) is not supported; see whether nibabel "
            "reads it: pip install 'minigrad[volumes]'"
        )
    shape = tuple(int(n) for n in header["dim"][1 : axes + 1])
    least = header.dtype.itemsize + 4  # the bytes that announce extensions
    most = min(source.limit, _EXTENSIONS)
    place = math.isfinite(offset) and offset.is_integer() and least <= offset <= most
    if not 1 <= axes <= 7 or min(shape) < 1:
        raise DataError(
            f"{path}: no image has {axes} axes and the shape {shape}; fetch the file again"
        )
    if not place:
        raise DataError(
            f"{path}: the image cannot begin at byte {offset:g}, but from {least} on, where the "
            "file has bytes; fetch it again"
        )
    slope, shift = float(header["slope"]), float(header["shift"])
    scaled = slope != 0 and math.isfinite(slope) and kind in TYPES
    if scaled and not math.isfinite(shift):
        raise DataError(f"{path}: the header has the slope {slope:g}, but the intercept {shift}")
    (affine, code), spacing = _affine(path, header, shape), _zooms(header)[1 : axes + 1]
    source.seek(int(offset))
    if kind in _COLOURS:
        colours = source.array("u1", (_COLOURS[kind], *shape), "F")
        array: NDArray[Any] = np.moveaxis(colours, 0, -1)
    else:
        array = source.array(header.dtype["size"].byteorder + TYPES[kind], shape, "F")
    source.read(1 << 20)  # if this is the end, a packed file is checked against its checksum
    if scaled and (slope, shift) != (1.0, 0.0):
        array = quiet(_scaled, array, slope, shift)
    return Volume(array, affine, tuple(map(float, spacing)), int(header["units"]), code)


def _scaled(array: NDArray[Any], slope: float, shift: float) -> NDArray[Any]:
    largest = abs(slope) * max(abs(float(array.max())), abs(float(array.min()))) + abs(shift)
    fits = not float(np.finfo(np.float32).max) < largest < math.inf
    kind = np.result_type(array.dtype, np.float32 if fits else np.float64)
    array = array.astype(kind, copy=False)
    array *= slope
    array += shift
    return array


def _header(source: Source) -> Any:
    head = source.read(348)
    orders: tuple[Literal["<", ">"], ...] = ("<", ">")
    size = int.from_bytes(head[:4], "little"), int.from_bytes(head[:4], "big")
    for number, order in zip(size, orders, strict=True):
        if number not in HEADERS or len(head) < 348:
            continue
        head += source.read(number - len(head))
        if len(head) < number:
            break
        header = np.frombuffer(head, HEADERS[number].newbyteorder(order), 1)[0]
        if header["magic"] == MAGIC[number]:
            return header
        if header["magic"] == _PAIR[number]:
            raise DataError(
                f"{source.path}: not a NIfTI-1 file of header and image, but the header of a pair; "
                "name it .hdr, beside its .img"
            )
    raise DataError(
        f"{source.path}: not a NIfTI-1 file ({len(head)} bytes, the first {head[:8]!r}), nor a "
        "NIfTI-2 one; expected one file of header and image, .nii or .nii.gz"
    )


def _zooms(header: Any) -> Affine:
    """Return the distances, with what nibabel makes of impossible ones."""
    zooms = np.array(header["zoom"], np.float64)
    zooms[1:4] = np.where(zooms[1:4] == 0, 1, np.abs(zooms[1:4]))
    return zooms


def _affine(path: Path | str, header: Any, shape: tuple[int, ...]) -> tuple[Affine, int]:
    """Return the way from index to place, the first of three that the header has; and its code."""
    affine = np.eye(4)
    zooms = _zooms(header)
    if 0 < header["sform"] <= 5:  # written out
        affine[:3] = header["rows"]
        return affine, int(header["sform"])
    if 0 < header["qform"] <= 5:  # a rotation
        affine[:3, :3] = _rotation(path, header["quaternion"].astype(np.float64)) * zooms[1:4]
        affine[:3, 2] *= -1 if zooms[0] == -1 else 1
        affine[:3, 3] = header["origin"]
        return affine, int(header["qform"])
    return nowhere(shape, zooms[1:4]), 0


def nowhere(shape: Sequence[int], zooms: Sequence[float] | Affine) -> Affine:
    """Return what is taken for an affine that is not said: middle at 0, first axis to the left."""
    affine, sides, steps = np.eye(4), np.ones(3), np.ones(3)
    count = min(len(shape), 3)
    sides[:count], steps[:count] = shape[:count], zooms[:count]
    steps[0] *= -1
    affine[:3, :3] = np.diag(steps)
    affine[:3, 3] = -(sides - 1) / 2 * steps
    return affine


def _rotation(path: Path | str, vector: Affine) -> Affine:
    """Return the matrix of the unit quaternion whose last three parts are given."""
    rest = 1 - float(vector @ vector)
    if not rest >= -3 * float(np.finfo(np.float32).eps):
        raise DataError(
            f"{path}: {vector.tolist()} are no parts of a rotation (of a unit quaternion)"
        )
    a, (b, c, d) = math.sqrt(max(rest, 0)), vector
    matrix = [
        [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
        [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
        [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
    ]
    return np.array(matrix) / (a * a + vector @ vector)


def _by_nibabel(path: str | Path) -> Volume:
    try:
        import nibabel
    except ImportError:
        raise missing_extra("nibabel", "volumes") from None
    try:
        image = nibabel.load(path)
        size = sum(os.path.getsize(part.filename) for part in image.file_map.values())
        if math.prod(map(int, image.shape)) > size * INFLATION:
            raise ValueError(f"{size} bytes cannot hold the shape {image.shape}")
        zooms = tuple(float(n) for n in image.header.get_zooms())
        array = np.asanyarray(image.dataobj)
        units, code = 2, 1
        if isinstance(image.header, nibabel.Nifti1Header):
            units = int(image.header["xyzt_units"])
            code = int(image.header["sform_code"] or image.header["qform_code"])
        return Volume(array, np.asarray(image.affine, np.float64), zooms, units, code)
    except Exception as error:  # a decoder for strangers' files raises anything
        raise DataError(f"{path}: nibabel cannot read this ({reason(error)})") from None
