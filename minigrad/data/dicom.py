"""DICOM, in which scanners keep a volume as a folder of slices: read by pydicom, put in order here.

Source: the DICOM standard, PS3.3, C.7.6.2 "Image Plane" (position, orientation, spacing) and
C.11.1 "Modality LUT" (rescale slope and intercept), https://www.dicomstandard.org. DICOM's axes
run to the left, the back and the top, ours (nibabel's and NIfTI's) to the right, front and top.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.data.folder import folders_below, listing
from minigrad.data.volume import Affine, Volume
from minigrad.errors import DataError, brief, missing_extra
from minigrad.files import INFLATION, opened, reason, to_path

__all__ = ["is_dicom", "read_dicom", "series_below"]

INDEX = "DICOMDIR"  # a table of contents, which has no picture
UNEVEN = 0.01  # of the distance of two slices, by which one may lie off its place
NEAR = 1e-3  # mm: two slices at one place
DEFLATED = "1.2.840.10008.1.2.1.99"  # a whole file packed, without a word on how large it becomes


@dataclass(frozen=True)
class _Slice:
    path: Path
    series: str
    pixels: NDArray[Any]  # (columns, rows)
    spacing: tuple[float, float]  # of columns, and of rows
    axes: Affine  # (2, 3): where columns and rows lead to
    place: Affine
    thickness: float


def is_dicom(path: Path) -> bool:
    """Return whether a file begins as DICOM does: anything of 128 bytes, then ``DICM``."""
    with opened(path) as source:
        return source.read(132)[128:] == b"DICM"


def series_below(folder: Path, others: tuple[str, ...] = ()) -> list[Path]:
    """Return the folders in which slices lie; files with the endings `others` are none."""
    return [
        place
        for place, names in folders_below(folder)
        if any(is_dicom(place / n) for n in names if not n.lower().endswith(others))
    ]


def read_dicom(path: str | Path) -> Volume:
    """Read a series of slices as one volume, in order along what is perpendicular to them.

    Parameters
    ----------
    path : path
        A folder with the files of one series, whatever they are called, or one file. Files that
        are no DICOM, an index and hidden files are left out.

    Returns
    -------
    Volume
        Axes (columns, rows, slices). In the files' own element type; rescaled where they say how,
        in float32. The affine leads to millimetres to the right, front and top.

    Raises
    ------
    DataError
        If there are several series, a slice is missing, there twice or off its place, or one is not
        like the others, in colours, of several frames, or damaged.
    MissingExtra
        If pydicom (extra ``volumes``) is not installed.

    Notes
    -----
    Slices may be shifted against each other evenly, as with a tilted gantry: the affine then has a
    shear. Pictures that are packed, as JPEG and others, are unpacked where pydicom finds a decoder.

    Examples
    --------
    >>> import tempfile
    >>> read_dicom(tempfile.mkdtemp())
    Traceback (most recent call last):
        ...
    minigrad.errors.DataError: ...: no DICOM file in this folder
    """
    path = to_path(path)
    names = listing(path)[1] if path.is_dir() else ("",)
    files = [file for file in (path / name for name in names if name != INDEX) if is_dicom(file)]
    if not files:
        raise DataError(
            f"{path}: no DICOM file in this folder"
            if path.is_dir()
            else f"{path}: no DICOM file, in which 'DICM' follows 128 bytes"
        )
    slices = [_slice(file) for file in files]
    series = Counter(one.series for one in slices)
    if len(series) > 1:
        raise DataError(
            f"{path}: {len(series)} series in one folder, with "
            f"{' and '.join(str(n) for _, n in series.most_common(5))} slices; give each a folder "
            "of its own (SeriesInstanceUID says which is which)"
        )
    first = slices[0]
    for one in slices[1:]:
        for what, mine, others in (
            ("size", one.pixels.shape, first.pixels.shape),
            ("spacing", one.spacing, first.spacing),
            ("orientation", one.axes.round(3).tolist(), first.axes.round(3).tolist()),
        ):
            if not np.allclose(mine, others, rtol=1e-3, atol=1e-3):
                raise DataError(
                    f"{one.path}: its {what} is {mine}, that of {first.path.name} {others}; all "
                    "slices of a volume have one"
                )
    return _stacked(path, slices)


def _stacked(path: Path, slices: Sequence[_Slice]) -> Volume:
    across = np.cross(*slices[0].axes)
    slices = sorted(slices, key=lambda one: float(one.place @ across))
    first, last = slices[0], slices[-1]
    step = across * first.thickness
    if len(slices) > 1:
        step = (last.place - first.place) / (len(slices) - 1)
        _check_places(path, slices, across)
    array = np.empty((*first.pixels.shape, len(slices)), _kind(slices), "F")
    for number, one in enumerate(slices):
        array[..., number] = one.pixels
    affine = np.eye(4)
    affine[:3, :2] = first.axes.T * first.spacing
    affine[:3, 2], affine[:3, 3] = step, first.place
    affine[:2] *= -1  # to the left and the back: to the right and the front
    return Volume(array, affine, (*first.spacing, float(np.linalg.norm(step))))


def _kind(slices: Sequence[_Slice]) -> Any:
    """Return the element type that holds all slices: some may be rescaled, others not."""
    return np.result_type(*{one.pixels.dtype for one in slices})


def _check_places(path: Path, slices: Sequence[_Slice], across: Affine) -> None:
    """Refuse slices that do not lie one behind the other at one distance."""
    places = np.array([one.place for one in slices])
    steps = np.diff(places @ across)
    names = [one.path.name for one in slices]
    twice = int(steps.argmin())
    if steps[twice] < NEAR:
        raise DataError(
            f"{path}: {names[twice]} and {names[twice + 1]} lie at one place: several times, "
            "echoes or copies are mixed; give each a folder of its own"
        )
    usual = float(np.median(steps))
    for number, distance in enumerate(steps.tolist()):
        two, missing = f"{names[number]} and {names[number + 1]}", round(distance / usual) - 1
        if abs(distance - (missing + 1) * usual) > UNEVEN * usual:
            raise DataError(
                f"{path}: {two} are {distance:.4g} mm apart, most slices {usual:.4g} mm; a volume "
                "has one distance: resample it with the scanner's software, or leave slices out"
            )
        if missing:
            raise DataError(
                f"{path}: {missing} slices are missing between {two}, which are {distance:.4g} mm "
                f"apart, where most are {usual:.4g}; copy the series again"
            )
    line = places[0] + np.linspace(0, 1, len(places))[:, None] * (places[-1] - places[0])
    off = np.linalg.norm(places - line, axis=1)
    if off.max() > UNEVEN * len(places) * usual:
        raise DataError(
            f"{path}: {names[int(off.argmax())]} lies {off.max():.4g} mm beside the "
            "line of the others; the series has more than one stack"
        )


# ---- one file ---------------------------------------------------------------------------------


def _slice(path: Path) -> _Slice:
    try:
        import pydicom
    except ImportError:
        raise missing_extra("pydicom", "volumes") from None
    with opened(path) as source, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that are not quite by the standard
        content = source.read(source.limit)
        try:
            found = pydicom.dcmread(BytesIO(content))
            if str(found.file_meta.get("TransferSyntaxUID", "")) == DEFLATED:
                raise ValueError("a deflated file")
            return _read(path, found, len(content))
        except DataError:
            raise
        except Exception as error:  # a decoder for strangers' files raises anything
            raise DataError(f"{path}: pydicom cannot read this ({reason(error)})") from None


def _read(path: Path, found: Any, size: int) -> _Slice:
    frames, samples = (
        int(_number(found, name, 1)) for name in ("NumberOfFrames", "SamplesPerPixel")
    )
    if frames != 1 or samples != 1:
        what = f"{frames} frames" if frames != 1 else f"{samples} colours"
        raise DataError(
            f"{path}: one picture of {what}; a series has a grey slice in every file: convert it "
            "with dcm2niix, whose NIfTI files are read"
        )
    spacing = _numbers(path, found, "PixelSpacing", 2)  # between rows comes first
    axes = _numbers(path, found, "ImageOrientationPatient", 6).reshape(2, 3)
    place = _numbers(path, found, "ImagePositionPatient", 3)
    if not (spacing > 0).all() or not np.allclose(axes @ axes.T, np.eye(2), atol=1e-2):
        raise DataError(
            f"{path}: PixelSpacing {spacing.tolist()} or ImageOrientationPatient {axes.tolist()} "
            "is none: distances are above 0, directions of length 1 and at right angles"
        )
    rows, columns = (int(_number(found, name, 0)) for name in ("Rows", "Columns"))
    if rows * columns > size * INFLATION:
        raise DataError(f"{path}: {size} bytes cannot hold {rows} × {columns} pixels")
    pixels = np.asarray(found.pixel_array)
    if pixels.shape != (rows, columns):
        raise DataError(f"{path}: expected pixels {(rows, columns)}, found {pixels.shape}")
    slope, shift = _number(found, "RescaleSlope", 1.0), _number(found, "RescaleIntercept", 0.0)
    if not (math.isfinite(slope) and math.isfinite(shift)):
        raise DataError(f"{path}: rescale slope {slope} and intercept {shift} are no numbers")
    if (slope, shift) != (1.0, 0.0):
        pixels = (pixels * slope + shift).astype(np.float32)
    return _Slice(
        path,
        str(found.get("SeriesInstanceUID", "")),
        pixels.T,
        (float(spacing[1]), float(spacing[0])),
        axes,
        place,
        abs(_number(found, "SliceThickness", 1.0)) or 1.0,
    )


def _number(found: Any, name: str, default: float) -> float:
    value = found.get(name)
    return default if value is None or value == "" else float(value)


def _numbers(path: Path, found: Any, name: str, count: int) -> Affine:
    value = found.get(name)
    values = np.array([] if value is None or value == "" else value, np.float64).ravel()
    if len(values) != count or not (np.abs(values) < 1e6).all():  # also NaN
        raise DataError(
            f"{path}: {name} should be {count} numbers, found {brief(values.tolist())}; without "
            "them nobody knows where the slice lies"
        )
    return values
