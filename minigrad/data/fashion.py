"""Fashion-MNIST: 70,000 grey images (28×28) of ten kinds of clothing.

Source: H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking
Machine Learning Algorithms", 2017, https://github.com/zalandoresearch/fashion-mnist, MIT licence.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from minigrad.data.dataset import ArrayDataset
from minigrad.data.download import data_home, fetch
from minigrad.data.idx import read_idx
from minigrad.data.source import ImageSpec, Source, Split
from minigrad.errors import DataError
from minigrad.files import to_path

__all__ = ["CLASSES", "fashion_mnist", "find_fashion_mnist"]

CLASSES = (
    "T-shirt", "trouser", "pullover", "dress", "coat",
    "sandal", "shirt", "sneaker", "bag", "ankle boot",
)  # fmt: skip

DEBIAN = Path("/usr/share/datasets/fashion-mnist")  # apt-get install dataset-fashion-mnist
MIRRORS = (
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)
# Of the packed files, which are checked before anything is unpacked: bytes, and SHA-256.
FILES = {
    "train-images-idx3-ubyte": (
        26_421_880,
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    ),
    "train-labels-idx1-ubyte": (
        29_515,
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    ),
    "t10k-images-idx3-ubyte": (
        4_422_102,
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    ),
    "t10k-labels-idx1-ubyte": (
        5_148,
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    ),
}


def fashion_mnist(
    root: str | Path | None = None, train: bool = True, download: bool = False
) -> ArrayDataset:
    """Return Fashion-MNIST, from this machine if it is there.

    Parameters
    ----------
    root : path, optional
        Folder with the four IDX files (``.gz`` or unpacked). By default the first that has them of
        ``$MINIGRAD_DATA/fashion-mnist`` (else ``~/.cache/minigrad/fashion-mnist``) and
        ``/usr/share/datasets/fashion-mnist``, where Debian's ``dataset-fashion-mnist`` puts them.
    train : bool, default True
        The 60,000 images for training, or the 10,000 for testing.
    download : bool, default False
        Fetch (30 MB) what is missing, checked by SHA-256.

    Returns
    -------
    ArrayDataset
        Images (1, 28, 28) in [0, 1], labels 0 to 9.

    Raises
    ------
    DataError
        If the files are missing (the message says where it looked), or damaged.
    """
    folder = find_fashion_mnist(root)
    if folder is None:
        if not download:
            raise DataError(
                "Fashion-MNIST is not on this machine (looked in "
                f"{', '.join(str(place) for place in _places(root))}); install it with "
                "'apt-get install dataset-fashion-mnist', or download it with "
                "'minigrad data --download fashion-mnist' or fashion_mnist(download=True)"
            )
        folder = _places(root)[0]
        for name in FILES:
            if _file(folder, name) is None:
                _download(folder, name)
    part = "train" if train else "t10k"
    images = _read(folder, f"{part}-images-idx3-ubyte", ndim=3)
    labels = _read(folder, f"{part}-labels-idx1-ubyte", ndim=1)
    return ArrayDataset(images[:, None], labels, CLASSES)


def find_fashion_mnist(root: str | Path | None = None) -> Path | None:
    """Return the first folder that holds all four files, or None."""
    for folder in _places(root):
        if all(_file(folder, name) for name in FILES):
            return folder
    return None


def _places(root: str | Path | None) -> list[Path]:
    return [to_path(root)] if root is not None else [data_home() / "fashion-mnist", DEBIAN]


def _file(folder: Path, name: str) -> Path | None:
    for path in (folder / f"{name}.gz", folder / name):
        if os.path.isfile(path):
            return path
    return None


def _read(folder: Path, name: str, ndim: int) -> NDArray[Any]:
    path = _file(folder, name) or folder / name
    array = read_idx(path)
    if array.ndim != ndim or array.shape[1:] != (28, 28)[: ndim - 1]:
        expected = ("N", 28, 28)[:ndim]
        raise DataError(f"{path}: expected the shape {expected}, found {array.shape}")
    return array


def _download(folder: Path, name: str) -> None:
    size, sha256 = FILES[name]
    fetch([f"{mirror}{name}.gz" for mirror in MIRRORS], folder / f"{name}.gz", size, sha256)


def _split(download: bool) -> Split:
    train, test = fashion_mnist(train=True, download=download), fashion_mnist(train=False)
    return Split(train, test, ImageSpec(CLASSES, 1, 28, (0.2860,), (0.3530,)))


SOURCE = Source(
    "fashion-mnist",
    "70,000 grey 28x28 pieces of clothing, 60,000 to train on",
    "MIT (Xiao, Rasul, Vollgraf 2017)",
    find_fashion_mnist,
    _split,
    "minigrad data --download fashion-mnist",
)
