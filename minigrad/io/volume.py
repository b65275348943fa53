"""Writing volumes: NIfTI, with their place in space."""

from __future__ import annotations

import gzip
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.data.nifti import HEADERS, MAGIC, TYPES, nowhere
from minigrad.data.volume import Affine, Volume
from minigrad.errors import DTypeError, OptionError, ShapeError, brief
from minigrad.files import to_path
from minigrad.io.atomic import atomic_write
from minigrad.loading import check_kinds, several

__all__ = ["write_volume"]


def write_volume(path: str | Path, volume: Volume) -> None:
    """Write a volume with its place in space as a NIfTI file, packed if it is called ``.gz``.

    Parameters
    ----------
    path : path
        Ends in ``.nii`` or ``.nii.gz``; the folder must be there.
    volume : Volume
        Of one to seven axes; the numbers are written as they are. The affine stands in the header
        twice, as ``sform`` and, where it has no shears, as the rotation ``qform``: programs differ
        in what they look at.

    Raises
    ------
    OptionError, DTypeError, ShapeError
        If the name, the element type, the number of axes or the affine is none of NIfTI's.
    DataError
        If the file cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from minigrad.data import read_volume
    >>> path = Path(tempfile.mkdtemp(), "mask.nii.gz")
    >>> affine = np.diag([2.0, 2.0, 3.0, 1.0])
    >>> write_volume(path, Volume(np.ones((4, 5, 6), np.uint8), affine, (2.0, 2.0, 3.0)))
    >>> back = read_volume(path)
    >>> back.array.shape, back.spacing, bool((back.affine == affine).all())
    ((4, 5, 6), (2.0, 2.0, 3.0), True)
    """
    check_kinds("write_volume", Volume, volume=volume)
    given = {"array": volume.array, "affine": volume.affine}
    check_kinds("write_volume", np.ndarray, "np.array makes one", **given)
    several("write_volume", "spacing", volume.spacing, int | float | np.number)
    array, name = volume.array, to_path(path).name.lower()
    if not name.endswith((".nii", ".nii.gz")):
        raise OptionError(f"{path}: a NIfTI file ends in .nii or .nii.gz; give it such a name")
    array = array.view(np.uint8) if array.dtype == bool else array
    kinds = {np.dtype(name): number for number, name in TYPES.items()}
    if array.dtype.newbyteorder("=") not in kinds:
        raise DTypeError(
            f"{path}: NIfTI has no elements of {array.dtype}; convert them to one of "
            f"{', '.join(map(str, kinds))}"
        )
    if not 1 <= array.ndim == len(volume.spacing) <= 7 or not array.size:
        raise ShapeError(
            f"{path}: a NIfTI file has one to seven axes, none of length 0, and a distance for "
            f"each; got shape {array.shape} and spacing {volume.spacing}"
        )
    if volume.affine.shape != (4, 4) or not np.isfinite(volume.affine).all():
        raise OptionError(
            f"{path}: an affine has 4 × 4 finite numbers, got {brief(volume.affine.tolist())}; "
            "numpy.eye(4) is one without a turn"
        )
    size = 348 if max(array.shape) < 1 << 15 else 540
    header = np.zeros((), HEADERS[size].newbyteorder("<"))
    header["size"], header["magic"], header["offset"] = size, MAGIC[size], size + 4
    header["type"] = kinds[array.dtype.newbyteorder("=")]
    header["bits"] = 8 * array.dtype.itemsize
    header["dim"], header["zoom"] = 1, 1
    header["dim"][: array.ndim + 1] = array.ndim, *array.shape
    header["zoom"][1 : array.ndim + 1] = volume.spacing
    header["slope"], header["units"] = 1, volume.units
    _place(header, volume)
    little = array.astype(array.dtype.newbyteorder("<"), "F", copy=False)
    with atomic_write(path) as target, ExitStack() as packed:
        file: Any = target
        if name.endswith(".gz"):  # without a date: the same volume is the same file
            file = packed.enter_context(gzip.GzipFile("", "wb", 6, target, mtime=0))
        file.write(header.tobytes() + bytes(4))
        file.write(little.T.data)  # the first axis runs fastest


def _place(header: Any, volume: Volume) -> None:
    """Write where a volume lies: rows of the affine, and the rotation if it is one."""
    affine, shape, spacing = volume.affine, volume.array.shape, volume.spacing[:3]
    if not volume.code and np.allclose(affine, nowhere(shape, spacing)):
        return  # what readers take for granted
    header["sform"], header["rows"] = volume.code or 1, affine[:3]
    zooms = np.ones(3)
    zooms[: len(spacing)] = spacing
    rotation = affine[:3, :3] / np.where(zooms == 0, 1, zooms)
    if not np.allclose(rotation.T @ rotation, np.eye(3), atol=1e-5):
        return
    header["qform"], header["origin"] = header["sform"], affine[:3, 3]
    if np.linalg.det(rotation) < 0:
        header["zoom"][0], rotation = -1, rotation * [1, 1, -1]
    header["quaternion"] = _quaternion(rotation)


def _quaternion(rotation: Affine) -> Affine:
    """Return the last three parts of the unit quaternion of a rotation, the first not below 0.

    It is the largest eigenvector of a symmetric matrix made of the rotation's (Bar-Itzhack, 2000).
    """
    trace, sums = np.trace(rotation), rotation + rotation.T
    matrix = np.zeros((4, 4))
    matrix[1:, 1:] = sums - trace * np.eye(3)
    matrix[0, 0] = trace
    skew = rotation - rotation.T
    matrix[0, 1:] = matrix[1:, 0] = skew[2, 1], skew[0, 2], skew[1, 0]
    vector: Affine = np.linalg.eigh(matrix)[1][:, -1]
    return vector[1:] * (-1 if vector[0] < 0 else 1)
