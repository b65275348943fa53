"""Fashion-MNIST: 70,000 grey images (28×28) of ten kinds of clothing.

Source: H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a Novel Image Dataset for Benchmarking
Machine Learning Algorithms", 2017, https://github.com/zalandoresearch/fashion-mnist, MIT licence.
"""

from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from minigrad.data.dataset import ArrayDataset
from minigrad.data.download import data_home, fetch
from minigrad.data.idx import read_bytes, read_idx
from minigrad.errors import DataError

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
# Of the unpacked content: how a .gz was packed differs between Debian's files and the authors'.
SHA256 = {
    "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
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
        for name in SHA256:
            if _file(folder, name) is None:
                _download(folder, name)
    part = "train" if train else "t10k"
    images = _read(folder, f"{part}-images-idx3-ubyte", ndim=3)
    labels = _read(folder, f"{part}-labels-idx1-ubyte", ndim=1)
    return ArrayDataset(images[:, None], labels, CLASSES)


def find_fashion_mnist(root: str | Path | None = None) -> Path | None:
    """Return the first folder that holds all four files, or None."""
    for folder in _places(root):
        if all(_file(folder, name) for name in SHA256):
            return folder
    return None


def _places(root: str | Path | None) -> list[Path]:
    return [Path(root)] if root is not None else [data_home() / "fashion-mnist", DEBIAN]


def _file(folder: Path, name: str) -> Path | None:
    for path in (folder / f"{name}.gz", folder / name):
        if path.is_file():
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
    urls = [f"{mirror}{name}.gz" for mirror in MIRRORS]
    fetch(urls, folder / f"{name}.gz", partial(_check, name))


def _check(name: str, path: Path) -> None:
    found = hashlib.sha256(read_bytes(path)).hexdigest()
    if found != SHA256[name]:
        raise DataError(f"{name}: expected SHA-256 {SHA256[name]}, found {found}")
