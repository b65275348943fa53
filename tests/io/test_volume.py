"""A written volume lies where it did, for nibabel as for us; and what a model says comes back."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad.data import Volume, read_volume
from minigrad.data.volume import Grid
from minigrad.errors import DataError, MinigradError
from minigrad.io import write_volume

TURNED = np.array([[0.0, 0, 3, -7], [-2, 0, 0, 40], [0, 1.5, 0, 9], [0, 0, 0, 1]])
OBLIQUE = np.array([[1.2, -1.6, 0, 5], [1.6, 1.2, 0, -3], [0, 0, 3, 1], [0, 0, 0, 1]])
MIRRORED = OBLIQUE @ np.diag([1.0, 1.0, -1.0, 1.0])
SHEARED = np.array([[2.0, 0.5, 0, 0], [0, 2, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1]])
CASES = {
    "turned": (TURNED, (2.0, 1.5, 3.0)),
    "oblique": (OBLIQUE, (2.0, 2.0, 3.0)),
    "mirrored": (MIRRORED, (2.0, 2.0, 3.0)),
    "sheared": (SHEARED, (2.0, 2.0615528, 3.0)),
}


def volume(name: str = "turned", **changes: Any) -> Volume:
    affine, spacing = CASES[name]
    array = np.arange(60, dtype=np.uint8).reshape(3, 4, 5)
    return replace(Volume(array, affine, spacing, 10, 4), **changes)


@pytest.mark.needs("nibabel")
@pytest.mark.parametrize("name", CASES)
def test_nibabel_finds_it_where_it_was(name: str, tmp_path: Path) -> None:
    import nibabel

    ours = volume(name)
    for file in ("a.nii", "a.nii.gz"):
        write_volume(tmp_path / file, ours)
        theirs = nibabel.load(tmp_path / file)
        np.testing.assert_array_equal(np.asarray(theirs.dataobj), ours.array)
        np.testing.assert_allclose(theirs.affine, ours.affine, rtol=1e-6)
        assert nibabel.aff2axcodes(theirs.affine) == nibabel.aff2axcodes(ours.affine)
        assert theirs.get_data_dtype() == np.uint8
        assert theirs.header.get_xyzt_units() == ("mm", "sec")
        assert theirs.header["sform_code"] == 4
        np.testing.assert_allclose(theirs.header.get_zooms(), ours.spacing, rtol=1e-6)
        rotation, code = theirs.header.get_qform(coded=True)
        if name == "sheared":
            assert code == 0
        else:
            np.testing.assert_allclose(rotation, ours.affine, rtol=1e-5, atol=1e-5)


def test_numbers_place_and_codes_come_back(tmp_path: Path) -> None:
    big = volume(array=np.full((1, 40_000, 1), -3, ">i2"))  # longer than version 1 can say
    signs = volume(array=np.arange(60).reshape(3, 4, 5) > 30)
    for ours in (big, signs, volume(array=np.ones((3, 4, 5, 2), "<f4"), spacing=(2, 1.5, 3, 0.5))):
        write_volume(tmp_path / "a.nii.gz", ours)
        again = read_volume(tmp_path / "a.nii.gz")
        np.testing.assert_array_equal(again.array, ours.array)
        np.testing.assert_array_equal(again.affine, ours.affine)
        assert (again.spacing, again.units, again.code) == (ours.spacing, 10, 4)
    first = (tmp_path / "a.nii.gz").read_bytes()
    write_volume(tmp_path / "a.nii.gz", ours)
    assert (tmp_path / "a.nii.gz").read_bytes() == first  # no date in it


def test_what_lies_nowhere_still_does(tmp_path: Path) -> None:
    from minigrad.data.nifti import nowhere

    spacing = (2.0, 1.0, 3.0)
    ours = volume(affine=nowhere((3, 4, 5), spacing), spacing=spacing, code=0)
    write_volume(tmp_path / "a.nii", ours)
    again = read_volume(tmp_path / "a.nii")
    assert again.code == 0
    np.testing.assert_allclose(again.affine, ours.affine)
    turned = read_volume(tmp_path / "a.nii", canonical=True)
    write_volume(tmp_path / "b.nii", turned)
    np.testing.assert_allclose(read_volume(tmp_path / "b.nii").affine, turned.affine)


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("a.mgz", {}, r"ends in \.nii or \.nii\.gz"),
        ("a.nii", {"array": np.ones((3, 4, 5), np.complex64)}, "no elements of complex64"),
        ("a.nii", {"array": np.ones((3, 4, 5), np.float16)}, "no elements of float16"),
        ("a.nii", {"array": np.ones((3, 4))}, "a distance for each"),
        ("a.nii", {"array": np.ones((3, 0, 5))}, "none of length 0"),
        ("no/a.nii", {}, "make the folder"),
        ("a.nii", {"affine": np.eye(3)}, "an affine has 4 × 4 finite numbers"),
        ("a.nii", {"affine": np.full((4, 4), np.nan)}, "an affine has 4 × 4 finite numbers"),
    ],
)
def test_what_cannot_be_written(
    name: str, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(MinigradError, match=message):
        write_volume(tmp_path / name, volume(**changes))
    assert not list(tmp_path.iterdir())


# --- to the voxels of a model, and back ----------------------------------------------------------


@pytest.mark.parametrize("name", ["turned", "oblique", "mirrored"])
def test_a_mask_comes_back_to_the_voxels_it_came_from(name: str) -> None:
    """One class in a corner of the file is the same corner after the way there and back."""
    array = np.zeros((12, 16, 8), np.float32)
    array[:6, :4, 4:] = 1
    ours = volume(name, array=array)
    for spacing in (ours.spacing, (1.0, 1.0, 1.5), (4.0, 4.0, 6.0)):
        grid = Grid("a.nii", ours, spacing)
        seen = grid.there()
        assert seen.shape == grid.size
        assert seen.mean() == pytest.approx(array.mean(), abs=0.02)
        mask = grid.back(np.stack([1 - seen, seen]))
        assert mask.shape == array.shape
        assert np.mean(mask != array) < 0.05
    same = Grid("a.nii", ours).back(np.stack([1 - array, array]))
    np.testing.assert_array_equal(same, array)


def test_metres_are_a_thousand_millimetres() -> None:
    ours = volume(spacing=(0.002, 0.0015, 0.003), units=1)
    assert Grid("a.nii", ours, (1.0, 1.0, 1.0)).size == Grid("a", volume(), (1.0,) * 3).size


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"array": np.ones((3, 4, 5, 2)), "spacing": (1, 1, 1, 1)}, r"expected a volume \(D, H, W"),
        ({"spacing": (2.0, np.nan, 3.0)}, "cannot be brought to those of"),
        ({"spacing": (2.0, 0.0, 3.0)}, "look at distances and units"),
        ({"units": 3}, "look at distances and units"),  # micrometres: all of it is below a voxel
        ({"affine": np.zeros((4, 4))}, "goes nowhere"),
        ({"spacing": (1e9, 1e9, 1e9)}, "look at the header"),
    ],
)
def test_no_grid_is_made_of_a_wrong_header(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=rf"a\.nii.*{message}"):
        Grid("a.nii", volume(**changes), (2.0, 2.0, 2.0))
