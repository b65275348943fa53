"""Slices of DICOM become the volume that they were cut from; what is no one volume is refused."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad.data import read_dicom, read_volume
from minigrad.data.dicom import series_below
from minigrad.errors import DataError, MissingExtra

pytestmark = pytest.mark.needs("pydicom")
AXES = np.array([[0.0, 0.6, 0.8], [1, 0, 0]])  # where columns and rows lead to: left, back, top
ACROSS = np.cross(*AXES)
VOLUME = np.random.default_rng(0).integers(-500, 2000, (4, 5, 6)).astype(np.int16)  # x, y, slice


def write(folder: Path, values: Any = VOLUME, step: float = 2.5, **changes: Any) -> Path:
    """Write a series, its files in no order; `changes` are fields, functions of the slice."""
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    folder.mkdir(exist_ok=True)
    for number in range(values.shape[2]):
        one, meta = Dataset(), FileMetaDataset()
        meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = CTImageStorage, "1.2.3"
        meta.TransferSyntaxUID = ExplicitVRLittleEndian
        one.file_meta = meta
        one.SOPClassUID, one.SOPInstanceUID = CTImageStorage, f"1.2.3.{number}"
        one.SeriesInstanceUID, one.Modality = "1.2.4", "CT"
        pixels = np.ascontiguousarray(values[:, :, number].T)
        one.Rows, one.Columns = pixels.shape
        one.SamplesPerPixel, one.PhotometricInterpretation = 1, "MONOCHROME2"
        one.BitsAllocated = one.BitsStored = 16
        one.HighBit, one.PixelRepresentation = 15, int(values.dtype.kind == "i")
        one.PixelSpacing, one.SliceThickness = [0.75, 1.5], 2  # between rows, between columns
        one.ImageOrientationPatient = AXES.ravel().tolist()
        one.ImagePositionPatient = (np.array([10.0, -20, 30]) + number * step * ACROSS).tolist()
        one.PixelData = pixels.tobytes()
        for name, value in changes.items():
            setattr(one, name, value(number) if callable(value) else value)
        one.save_as(folder / f"{(7 * number) % 11:02}.bin", enforce_file_format=True)
    return folder


def test_the_volume_is_the_one_that_was_cut(tmp_path: Path) -> None:
    (write(tmp_path / "ct") / "notes.txt").write_text("left out")
    found = read_volume(tmp_path / "ct")
    np.testing.assert_array_equal(found.array, VOLUME)
    assert found.array.dtype == np.int16
    assert found.spacing == pytest.approx((1.5, 0.75, 2.5))
    left, back, top = np.array([10.0, -20, 30]) + 1.5 * 2 * AXES[0] + 0.75 * AXES[1] + 7.5 * ACROSS
    np.testing.assert_allclose(found.affine @ [2, 1, 3, 1], [-left, -back, top, 1])
    turned = read_volume(tmp_path / "ct", canonical=True)
    assert [int(np.abs(column).argmax()) for column in turned.affine[:3, :3].T] == [0, 1, 2]
    one = read_volume((tmp_path / "ct" / "00.bin").rename(tmp_path / "a.dcm"))  # alone: thickness
    np.testing.assert_array_equal(one.array[..., 0], VOLUME[..., 0])
    assert one.spacing[2] == 2


def test_nibabel_says_the_same(tmp_path: Path) -> None:
    nicom = pytest.importorskip("nibabel.nicom.dicomwrappers")
    write(tmp_path / "ct", VOLUME[..., :1])
    theirs = nicom.wrapper_from_file(next((tmp_path / "ct").iterdir()))
    ours = read_dicom(tmp_path / "ct")  # nibabel leaves DICOM's axes, and rows before columns
    np.testing.assert_array_equal(np.asarray(theirs.get_data()), ours.array[..., 0].T)
    swapped = np.diag([-1.0, -1, 1, 1]) @ theirs.affine[:, [1, 0, 2, 3]]
    np.testing.assert_allclose(ours.affine[:, [0, 1, 3]], swapped[:, [0, 1, 3]])
    np.testing.assert_allclose(abs(ours.affine[:, 2]), abs(swapped[:, 2]))  # one has no next


def test_rescaling_and_a_tilted_gantry(tmp_path: Path) -> None:
    tilted = lambda n: (n * 2.5 * ACROSS + n * 0.5 * AXES[1]).tolist()  # noqa: E731
    write(tmp_path / "ct", RescaleSlope=lambda n: n + 1, RescaleIntercept=-1024,
          ImagePositionPatient=tilted)  # fmt: skip
    found = read_dicom(tmp_path / "ct")
    assert found.array.dtype == np.float32
    np.testing.assert_array_equal(found.array, VOLUME * np.arange(1, 7, dtype=np.float32) - 1024)
    step = (2.5 * ACROSS + 0.5 * AXES[1]) * [-1, -1, 1]
    np.testing.assert_allclose(found.affine[:3, 2], step)


def moved(place: int, by: float) -> dict[str, Any]:
    """The slices from a place on, further away."""
    return {
        "ImagePositionPatient": lambda n: ((n * 2.5 + by * (n >= place)) * ACROSS).tolist(),
    }


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "series": (
        {"SeriesInstanceUID": lambda n: f"1.2.{n % 2}"},
        "2 series in one folder",
    ),
    "missing": (moved(3, 5.0), r"2 slices are missing between 03\.bin and 10\.bin.*7\.5 mm apart"),
    "uneven": (moved(5, 0.7), r"are 3\.2 mm apart, most slices 2\.5 mm"),
    "twice": (moved(3, -2.5), "lie at one place: several times"),
    "beside": (
        {"ImagePositionPatient": lambda n: (n * 2.5 * ACROSS + 9 * (n == 2) * AXES[0]).tolist()},
        r"lies 9 mm beside the line",
    ),
    "all at one": ({"ImagePositionPatient": [0, 0, 0]}, "lie at one place"),
    "spacing": ({"PixelSpacing": lambda n: [1, 1 + n // 5]}, "its spacing is"),
    "orientation": (
        {"ImageOrientationPatient": lambda n: (AXES if n else AXES[::-1]).ravel().tolist()},
        "its orientation is",
    ),
    "colours": ({"SamplesPerPixel": 3}, "one picture of 3 colours"),
    "frames": ({"NumberOfFrames": 2}, "one picture of 2 frames.*dcm2niix"),
    "nowhere": ({"ImagePositionPatient": None}, r"ImagePositionPatient should be 3 numbers"),
    "no distance": ({"PixelSpacing": [0, 1]}, "distances are above 0"),
    "no directions": ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "at right angles"),
    "slope": ({"RescaleSlope": float("inf")}, "are no numbers"),
    "short": ({"PixelData": b"\0\0"}, "pydicom cannot read this"),
    "many": ({"Rows": 65535, "Columns": 65535}, "cannot hold 65535 × 65535 pixels"),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_volume_is_refused(name: str, tmp_path: Path) -> None:
    changes, message = WRONG[name]
    write(tmp_path / "ct", **changes)
    with pytest.raises(DataError, match=message):
        read_dicom(tmp_path / "ct")


def test_folders_without_a_series(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match="no DICOM file in this folder"):
        read_dicom(tmp_path)
    (tmp_path / "a.dcm").write_bytes(b"nothing")
    with pytest.raises(DataError, match=r"a\.dcm: no DICOM file, in which"):
        read_volume(tmp_path / "a.dcm")
    with pytest.raises(DataError, match=r"no\.dcm: cannot be read"):
        read_volume(tmp_path / "no.dcm")
    write(tmp_path / "ct", VOLUME[..., :1])
    assert series_below(tmp_path) == [tmp_path / "ct"]
    assert series_below(tmp_path, (".bin",)) == []
    monkeypatch.setitem(sys.modules, "pydicom", None)
    with pytest.raises(MissingExtra, match=r"minigrad\[volumes\]"):
        read_dicom(tmp_path / "ct")
