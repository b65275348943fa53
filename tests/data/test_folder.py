from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

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
    for name in ("none", "x" * 300, "a\0b"):
        with pytest.raises(DataError, match="no such folder"):
            ImageFolder(tmp_path / name)
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


# --- what lies about in real folders -----------------------------------------------------------


def test_only_visible_pictures_count(root: Path) -> None:
    litter = (
        "cat/.ipynb_checkpoints/0.npy", "cat/._0.npy", "cat/Thumbs.db", "cat/notes.txt",
        "cat/@eaDir/0.npy", "cat/deep/.hidden/0.npy", ".git/0.npy", "__MACOSX/cat/._0.npy",
        ".DS_Store", "readme.png",
    )  # fmt: skip
    for name in litter:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\0")
    (root / "cat" / "old.png").mkdir()
    (root / "cat" / "old.png" / "5.NPY").write_bytes((root / "cat" / "0.npy").read_bytes())
    data = ImageFolder(root)
    assert data.classes == ("cat", "dog")
    names = [str(path.relative_to(root)) for path, label in data.samples if label == 0]
    assert names == ["cat/0.npy", "cat/1.npy", "cat/2.npy", "cat/old.png/5.NPY"]
    assert all(data[i][0].shape == (3, 4, 6) for i in range(len(data)))


def test_links_are_followed_and_loops_left(root: Path, tmp_path_factory: Any) -> None:
    far = tmp_path_factory.mktemp("far")
    np.save(far / "far.npy", np.zeros((3, 4, 6), np.uint8))
    (root / "fox").symlink_to(far)
    (root / "cat" / "more").symlink_to(far)
    (root / "cat" / "up").symlink_to(root / "cat")
    (far / "round").symlink_to(root / "fox")
    (root / "dog" / "gone.npy").symlink_to(root / "nothing")
    data = ImageFolder(root)
    assert data.classes == ("cat", "dog", "fox")
    assert [label for _, label in data.samples] == [0] * 4 + [1] * 4 + [2]
    with pytest.raises(DataError, match=r"gone\.npy: no such picture"):
        data[7]


def test_names_of_all_tongues(tmp_path: Path) -> None:
    for name in ("кот", "猫", "Bär", "a b", "cafe\u0301"):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / f"{name}🐈.npy", np.zeros((3, 2, 2), np.uint8))
    data = ImageFolder(tmp_path)
    assert data.classes == tuple(sorted(("кот", "猫", "Bär", "a b", "cafe\u0301")))
    assert len([data[i] for i in range(5)]) == 5


def test_pictures_without_a_class(root: Path) -> None:
    with pytest.raises(DataError, match="found no sub-folder but 3 pictures; each belongs into"):
        ImageFolder(root / "cat")


def test_an_empty_class_is_named(root: Path) -> None:
    (root / "eel").mkdir()
    (root / "eel" / ".hidden.npy").touch()
    with pytest.raises(DataError, match="eel: no pictures here"):
        ImageFolder(root)


def test_a_folder_that_may_not_be_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def scandir(path: Any) -> Any:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(DataError, match=r"cannot be read .Permission denied"):
        ImageFolder(root)


@pytest.mark.parametrize("options", [{"channels": 0}, {"channels": "3"}, {"frame": -1}])
def test_bad_options(root: Path, options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=r"ImageFolder: (channels|frame) must be"):
        ImageFolder(root, **options)


def test_arrays_of_seven_channels_make_a_data_set(tmp_path: Path) -> None:
    (tmp_path / "field").mkdir()
    np.save(tmp_path / "field" / "a.npy", np.full((5, 5, 7), 65535, np.uint16))
    image, _ = ImageFolder(tmp_path, channels=7)[0]
    assert image.shape == (7, 5, 5)
    assert image.min() == 1
    with pytest.raises(DataError, match=r"a\.npy: expected 3 channels, found shape \(5, 5, 7\)"):
        ImageFolder(tmp_path)[0]


def test_too_few_pictures(tmp_path: Path) -> None:
    for part in ("train", "val"):
        (tmp_path / part / "cat").mkdir(parents=True)
    np.save(tmp_path / "train" / "cat" / "0.npy", np.zeros((3, 4, 4), np.uint8))
    with pytest.raises(DataError, match="val: no pictures in any of cat"):
        load_split(str(tmp_path))
    with pytest.raises(DataError, match="train: one picture is not enough"):
        load_split(str(tmp_path / "train"))


def test_pages_of_a_folder_are_chosen(tmp_path: Path) -> None:
    pillow = pytest.importorskip("PIL.Image")
    (tmp_path / "a").mkdir()
    pages = [pillow.new("L", (2, 2), grey) for grey in (0, 255)]
    pages[0].save(tmp_path / "a" / "a.tif", save_all=True, append_images=pages[1:])
    with pytest.raises(DataError, match="2 pages"):
        ImageFolder(tmp_path)[0]
    assert ImageFolder(tmp_path, frame=1)[0][0].min() == 1
