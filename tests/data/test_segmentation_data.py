"""Data whose labels are maps: scenes of garments, the brain, and the file format it comes in."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad.data import BrainTissue, DataLoader, FashionScenes, fashion_mnist, read_nifti
from minigrad.data.brain import FILES, find_brain
from minigrad.data.fashion import CLASSES, find_fashion_mnist
from minigrad.data.scenes import silhouette
from minigrad.errors import DataError, MinigradError

needs_fashion = pytest.mark.skipif(find_fashion_mnist() is None, reason="Fashion-MNIST is not here")


# --- scenes ------------------------------------------------------------------------------------


@needs_fashion
def test_scenes_are_decided_by_seed_and_number() -> None:
    a, b, other = FashionScenes(count=9), FashionScenes(count=9), FashionScenes(count=9, seed=1)
    for x, y in zip(a[4], b[4], strict=True):
        np.testing.assert_array_equal(x, y)
    assert (a[4][1] != other[4][1]).any()
    assert (a[4][1] != a[5][1]).any()
    image, mask = a[4]
    assert (image.shape, image.dtype) == ((1, 64, 64), np.float32)
    assert (mask.shape, mask.dtype) == ((64, 64), np.int64)
    assert 0 <= image.min() <= image.max() <= 1


@needs_fashion
def test_garments_are_real_whole_and_from_their_own_part() -> None:
    """Alone and at its own size, the garment of a scene is a picture of the held-out part."""
    scenes = FashionScenes(train=False, count=3, scale=(1.0, 1.0), garments=(1, 1), fine=True)
    held_out = fashion_mnist(train=False)
    for image, mask in (scenes[i] for i in range(3)):
        (label,) = np.unique(mask)[1:]
        pixels = sorted((image[0][mask > 0] * 255).round().astype(int))
        same = held_out.images[held_out.labels == label - 1, 0]
        assert any(pixels == sorted(p[silhouette(p)].astype(int)) for p in same)


@needs_fashion
def test_kinds_are_groups_of_labels() -> None:
    """Five kinds, or the ten labels: of the same scenes, and one label is always of one kind."""
    kinds, labels = (FashionScenes(train=False, count=30, fine=fine) for fine in (False, True))
    assert kinds.classes == ("background", "top", "trousers", "dress", "shoe", "bag")
    assert labels.classes == ("background", *CLASSES)
    pairs = set()
    for i in range(30):
        (image, coarse), (same, mask) = kinds[i], labels[i]
        np.testing.assert_array_equal(image, same)
        pairs |= set(zip(mask.ravel().tolist(), coarse.ravel().tolist(), strict=True))
    named = {labels.classes[i]: kinds.classes[k] for i, k in pairs}
    assert len(named) == len(pairs) == 11
    assert named["shirt"] == named["coat"] == "top"
    assert named["sandal"] == named["ankle boot"] == "shoe"


@needs_fashion
def test_garments_do_not_hide_each_other() -> None:
    scenes = FashionScenes(train=False, count=40)
    kinds = [len(np.unique(scenes[i][1])) - 1 for i in range(40)]
    assert max(kinds) >= 3
    assert min(kinds) >= 1


def test_a_silhouette_has_no_holes() -> None:
    image = np.zeros((7, 7), np.uint8)
    image[1:6, 1:6] = 90
    image[3, 3] = image[0, 0] = 0
    image[1, 1] = 3  # as dark as what lies around
    shape = silhouette(image)
    assert shape.sum() == 24
    assert shape[3, 3]


@needs_fashion
def test_a_loader_stacks_masks() -> None:
    loader = DataLoader(FashionScenes(count=6), 4, num_workers=2)
    shapes = [(x.shape, y.shape, str(y.dtype)) for x, y in loader]
    assert shapes == [
        ((4, 1, 64, 64), (4, 64, 64), "int64"),
        ((2, 1, 64, 64), (2, 64, 64), "int64"),
    ]


# --- brain -------------------------------------------------------------------------------------


def nifti(values: Any, order: str = "<", slope: float = 1.0, shift: float = 0.0) -> bytes:
    """Return a NIfTI-1 file of an int16 volume."""
    header = bytearray(352)
    struct.pack_into(order + "i", header, 0, 348)
    dim = (values.ndim, *values.shape, *[1] * (7 - values.ndim))
    struct.pack_into(order + "8h", header, 40, *dim)
    struct.pack_into(order + "h", header, 70, 4)
    struct.pack_into(order + "3f", header, 108, 352.0, slope, shift)
    header[344:348] = b"n+1\0"
    return bytes(header) + np.asarray(values, order + "i2").tobytes("F")


@pytest.fixture
def head(tmp_path: Path) -> Path:
    """Make a head: white inside, grey around it, fluid around that."""
    z, y, x = np.ogrid[-1:1:40j, -1:1:64j, -1:1:40j]
    r = np.sqrt(x * x + y * y + z * z)
    maps = {
        "t1": np.select([r < 0.4, r < 0.6, r < 0.8], [220, 160, 90], 0),
        "gm": np.where((r >= 0.4) & (r < 0.6), 255, 0),
        "wm": np.where(r < 0.4, 255, 0),
    }
    for name, file in FILES.items():
        (tmp_path / file).write_bytes(gzip.compress(nifti(maps[name])))
    return tmp_path


def test_tissues_and_parts(head: Path) -> None:
    train, held_out = BrainTissue(root=head, size=8, count=5), BrainTissue(False, root=head)
    assert (len(train), len(held_out)) == (5, 1)
    assert find_brain(head) == head
    assert train.image.shape == (20, 20, 20)
    assert held_out.image.shape == (20, 8, 20)  # of 32: 20, a gap of 4, and the rest
    image, mask = train[3]
    assert image.shape == (1, 8, 8, 8)
    assert (mask.shape, mask.dtype) == ((8, 8, 8), np.int64)
    np.testing.assert_array_equal(image, train[3][0])
    assert (train[2][0] != image).any()
    whole, truth = held_out[0]
    np.testing.assert_array_equal(whole[0], held_out.image)
    assert set(np.unique(train.mask)) == {0, 1, 2, 3}
    brightness = [train.image[train.mask == c].mean() for c in range(4)]
    assert brightness == sorted(brightness)
    assert truth.shape == whole.shape[1:]


@pytest.mark.parametrize("order", ["<", ">"])
def test_nifti_in_both_byte_orders_and_scaled(tmp_path: Path, order: str) -> None:
    values = np.arange(24, dtype=np.int16).reshape(2, 3, 4, 1)
    path = tmp_path / "a.nii"
    path.write_bytes(nifti(values, order))
    read = read_nifti(path)
    assert read.dtype == np.int16
    np.testing.assert_array_equal(read, values[..., 0])
    path.write_bytes(nifti(values, order, 0.5, -1.0))
    np.testing.assert_allclose(read_nifti(path), values[..., 0] * 0.5 - 1.0)


WRONG: list[Any] = [
    (lambda d: read_nifti(d / "none.nii"), "cannot be read"),
    (
        lambda d: read_nifti(_file(d, b"x" * 400)),
        r"not a NIfTI-1 file \(348 bytes, the first b'xxxxxxxx'\)",
    ),
    (
        lambda d: read_nifti(_file(d, nifti(np.zeros((2, 2, 2)))[:-3])),
        r"expected 16 bytes of data for shape \(2, 2, 2\) after byte 352; found 13",
    ),
    (lambda d: BrainTissue(root=d / "empty"), "pip install --no-deps nilearn"),
    (lambda d: BrainTissue(root=d, size=99), r"cubes of 99 do not fit into .*\(20, 20, 20\)"),
    (lambda d: BrainTissue(root=d, size=8)[256], "cube 256 of 256"),
    (lambda d: BrainTissue(root=d, size=8, noise=-1.0), "noise ≥ 0, got 256 and -1.0"),
]


def _file(folder: Path, data: bytes) -> Path:
    (folder / "file.nii").write_bytes(data)
    return folder / "file.nii"


@pytest.mark.parametrize(("call", "message"), WRONG)
def test_errors_teach(head: Path, call: Any, message: str) -> None:
    with pytest.raises(MinigradError, match=message):
        call(head)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale": (0.5, 3.0)}, "scale must be"),
        ({"garments": (3, 2)}, "garments must be"),
        ({"count": 0}, "count must be 1 or more"),
        ({"root": "/nowhere"}, "Fashion-MNIST is not on this machine"),
    ],
)
@needs_fashion
def test_wrong_scenes(options: dict[str, Any], message: str) -> None:
    with pytest.raises(MinigradError, match=message):
        FashionScenes(**options)


def test_maps_of_different_shape(head: Path) -> None:
    (head / FILES["wm"]).write_bytes(gzip.compress(nifti(np.zeros((4, 4, 4)))))
    with pytest.raises(DataError, match="the three maps differ in shape"):
        BrainTissue(root=head)
