from __future__ import annotations

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest

from minigrad.data import fashion, fashion_mnist, read_idx
from minigrad.errors import DataError
from minigrad.files import opened


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with four tiny files in Fashion-MNIST's format."""
    for part, count in (("train", 5), ("t10k", 2)):
        images = np.arange(count * 784, dtype=np.uint8).reshape(count, 28, 28)
        (tmp_path / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
        (tmp_path / f"{part}-labels-idx1-ubyte").write_bytes(idx(np.arange(count, dtype=np.uint8)))
    return tmp_path


def test_reads_packed_and_unpacked_files(root: Path) -> None:
    train, test = fashion_mnist(root), fashion_mnist(root, train=False)
    assert (len(train), len(test)) == (5, 2)
    image, label = train[4]
    assert image.shape == (1, 28, 28)
    assert label == 4
    np.testing.assert_allclose(image[0, 0, 5] * 255, (4 * 784 + 5) % 256, atol=1e-4)
    assert train.classes[label] == "coat"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with 00 00 and an element type .* found an empty file"),
        (b"\x89PNG....", "Not a gzipped file"),
        (b"\0\0\x77\x01....", "found 00 00 77 01"),
        (b"\0\0\x08\x03\0\0", "expected a header of 16 bytes for 3 axes; found 6 bytes"),
        (
            idx(np.zeros((5, 28, 28), np.uint8))[:-7],
            r"expected 3920 bytes of data for shape \(5, 28, 28\) after byte 16; found 3913",
        ),
        (gzip.compress(idx(np.zeros((5, 28, 28), np.uint8)), mtime=0)[:-9], "not a complete gzip"),
        (b"\x1f\x8b damaged", "not a complete gzip file"),
        (idx(np.zeros((5, 27, 28), np.uint8)), r"found \(5, 27, 28\)"),
    ],
)
def test_corrupt_file_is_named_with_its_mend(root: Path, content: bytes, message: str) -> None:
    path = root / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(content) if content.startswith(b"\0") else content)
    with pytest.raises(DataError, match=message) as caught:
        fashion_mnist(root)
    assert str(caught.value).startswith(str(path))


def test_missing_data_says_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="apt-get install dataset-fashion-mnist") as caught:
        fashion_mnist(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_idx_reads_big_endian_elements(tmp_path: Path) -> None:
    path = tmp_path / "shorts"
    path.write_bytes(struct.pack(">BBBBI3h", 0, 0, 0x0B, 1, 3, -1, 2, 300))
    array = read_idx(path)
    assert array.tolist() == [-1, 2, 300]
    assert array.dtype.isnative


# Of the unpacked content: how a .gz was packed differs between Debian's files and the authors'.
CONTENT = {
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}


@pytest.mark.skipif(not fashion.find_fashion_mnist(), reason="Fashion-MNIST is not installed")
def test_the_real_files_have_the_known_content() -> None:
    folder = fashion.find_fashion_mnist()
    assert folder is not None
    for name in ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"):
        path = next(folder.glob(f"{name}*"))
        with opened(path, unpack=True) as source:
            found = hashlib.sha256(source.read(source.limit)).hexdigest()
        assert found == CONTENT[name], "the content differs"
    assert len(fashion_mnist(train=False)) == 10_000
