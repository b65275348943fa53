from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from minigrad.data import ImageFolder, load_split, read_image
from minigrad.errors import DataError, MissingExtra, OptionError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two classes of three 4×6 pictures."""
    for number, name in enumerate(("cat", "dog")):
        (tmp_path / name).mkdir()
        for i in range(3):
            pixels = np.full((3, 4, 6), 40 * number + i, np.uint8)
            np.save(tmp_path / name / f"{i}.npy", pixels)
    return tmp_path


def test_classes_are_the_sorted_sub_folders(root: Path) -> None:
    data = ImageFolder(root)
    assert data.classes == ("cat", "dog")
    assert [label for _, label in data.samples] == [0, 0, 0, 1, 1, 1]
    image, label = data[5]
    assert image.shape == (3, 4, 6)
    assert label == 1
    np.testing.assert_allclose(image, 42 / 255, rtol=1e-6)


def test_png_is_read_as_rgb_grey_or_rgba(tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    pillow.fromarray(pixels).save(tmp_path / "a.png")
    image = read_image(tmp_path / "a.png")
    np.testing.assert_allclose(image, np.moveaxis(pixels, 2, 0) / np.float32(255))
    assert read_image(tmp_path / "a.png", channels=1).shape == (1, 5, 7)
    assert read_image(tmp_path / "a.png", channels=4).shape == (4, 5, 7)


@pytest.mark.parametrize(
    ("shape", "channels", "expected"),
    [((4, 6), 1, (1, 4, 6)), ((4, 6), 3, (3, 4, 6)), ((8, 9, 3), 3, (3, 8, 9))],
)
def test_arrays_of_every_layout(
    tmp_path: Path, shape: tuple[int, ...], channels: int, expected: tuple[int, ...]
) -> None:
    np.save(tmp_path / "a.npy", np.zeros(shape, np.float32))
    assert read_image(tmp_path / "a.npy", channels).shape == expected


def test_bad_folders(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        ImageFolder(tmp_path / "none")
    with pytest.raises(DataError, match="one sub-folder of pictures per class"):
        ImageFolder(tmp_path)
    (tmp_path / "cat").mkdir()
    with pytest.raises(DataError, match="cat: no pictures here"):
        ImageFolder(tmp_path)


def test_bad_pictures(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such picture"):
        read_image(tmp_path / "a.png")
    with pytest.raises(OptionError, match="channels must be 1, 3 or 4, got 2"):
        read_image(tmp_path / "a.png", channels=2)
    (tmp_path / "b.npy").write_bytes(b"\x93NUMPY damaged")
    with pytest.raises(DataError, match=r"b\.npy: no \.npy array of numbers \(it begins with b'"):
        read_image(tmp_path / "b.npy")
    np.save(tmp_path / "c.npy", np.zeros((2, 9, 9)))
    with pytest.raises(DataError, match=r"expected 3 channels, found shape \(2, 9, 9\)"):
        read_image(tmp_path / "c.npy")


def test_damaged_png_is_named(tmp_path: Path) -> None:
    pytest.importorskip("PIL")
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"a\.png: Pillow cannot read"):
        read_image(tmp_path / "a.png")


def test_without_pillow_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(MissingExtra, match=r"minigrad\[images\]"):
        read_image(tmp_path / "a.png")


def test_load_split_of_a_folder(root: Path) -> None:
    split = load_split(str(root))
    assert (len(split.train), len(split.test)) == (4, 2)
    assert split.spec.classes == ("cat", "dog")


def test_load_split_of_train_and_val(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    both = tmp_path_factory.mktemp("both")
    (both / "train").symlink_to(root)
    with pytest.raises(DataError, match="neither 'val' nor 'test'"):
        load_split(str(both))
    (both / "val" / "dog").mkdir(parents=True)
    np.save(both / "val" / "dog" / "0.npy", np.zeros((3, 4, 4), np.uint8))
    split = load_split(str(both))
    assert (len(split.train), len(split.test)) == (6, 1)
    assert split.test[0][1] == 1  # dog keeps its number though cat is missing in val
    (both / "val" / "fox").mkdir()
    with pytest.raises(DataError, match="class 'fox' is not among cat, dog"):
        load_split(str(both))
