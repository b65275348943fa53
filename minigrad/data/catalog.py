"""The data sets that have a name, and folders of pictures, as a pair of training and test part."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigrad.data.brain import BrainTissue, find_brain
from minigrad.data.dataset import Dataset, random_split
from minigrad.data.fashion import CLASSES, fashion_mnist, find_fashion_mnist
from minigrad.data.folder import ImageFolder
from minigrad.data.scenes import FashionScenes
from minigrad.data.signals import find_mnist1d, mnist1d
from minigrad.data.uci_digits import digits
from minigrad.errors import DataError, OptionError, brief, unknown

__all__ = ["ImageSpec", "Source", "Split", "list_datasets", "load_split", "sources"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class ImageSpec:
    """What a model must know about the images it gets."""

    classes: tuple[str, ...]
    channels: int
    size: int | None  # side of the square images; None where pictures have any size
    mean: tuple[float, ...]
    std: tuple[float, ...]
    spatial_dims: int = 2  # 1 for signals, whose length `size` is

    def __post_init__(self) -> None:
        """Refuse what no images have: it may come from a file."""
        whole = [self.channels, self.spatial_dims, *([] if self.size is None else [self.size])]
        numbers = [*self.mean, *self.std]
        if not (
            isinstance(self.classes, tuple)
            and all(isinstance(name, str) for name in self.classes)
            and all(type(number) is int and 0 < number < 1 << 31 for number in whole)
            and self.spatial_dims <= 3
            and len(self.mean) == len(self.std) == self.channels
            and all(type(n) in (int, float) and math.isfinite(n) for n in numbers)
            and all(n > 0 for n in self.std)
        ):
            raise OptionError(
                f"{brief(self)}: classes are names, sizes positive whole numbers, and every "
                "channel has a mean and a positive standard deviation"
            )


@dataclass(frozen=True)
class Split:
    """Training and test part of a data set."""

    train: Dataset
    test: Dataset
    spec: ImageSpec


@dataclass(frozen=True)
class Source:
    """A data set with a name."""

    name: str
    summary: str
    licence: str
    where: Callable[[], str | None]  # the place on this machine, None if it is not there
    load: Callable[..., Split]  # is given: download?
    advice: str = ""  # how it comes onto a machine
    masks: bool = False  # whether every position has a class of its own, not the sample one

    @property
    def place(self) -> str:
        """Where it is, or how to get it."""
        return self.where() or f"not here; {self.advice}"


def _digits(download: bool) -> Split:
    names = tuple(map(str, range(10)))
    train, test = digits(train=True), digits(train=False)
    return Split(train, test, ImageSpec(names, 1, 8, (0.3053,), (0.3760,)))


def _fashion_mnist(download: bool) -> Split:
    train, test = fashion_mnist(train=True, download=download), fashion_mnist(train=False)
    return Split(train, test, ImageSpec(CLASSES, 1, 28, (0.2860,), (0.3530,)))


def _mnist1d(download: bool) -> Split:
    train, test = mnist1d(train=True), mnist1d(train=False)
    names = tuple(map(str, range(10)))
    return Split(train, test, ImageSpec(names, 1, 40, (0.0,), (1.0,), spatial_dims=1))


def _scenes(
    download: bool,
    root: str | None = None,
    size: int = 64,
    count: int | None = None,
    held_out: int | None = None,
    seed: int = 0,
    fine: bool = False,
) -> Split:
    options: dict[str, Any] = {"size": size, "seed": seed, "fine": fine, "root": root}
    train = FashionScenes(**options, count=count, download=download)
    test = FashionScenes(False, **options, count=held_out)
    spec = ImageSpec(train.classes, 1, size, (0.3,), (0.3,))
    return Split(train, test, spec)


def _brain(
    download: bool, root: str | None = None, size: int = 32, count: int = 256, seed: int = 0
) -> Split:
    cubes = BrainTissue(size=size, seed=seed, root=root, count=count)
    spec = ImageSpec(BrainTissue.classes, 1, size, (0.2,), (0.3,), 3)
    return Split(cubes, BrainTissue(False, root=root), spec)


def _fashion_mnist_place() -> str | None:
    folder = find_fashion_mnist()
    return None if folder is None else str(folder)


def _scenes_place() -> str | None:
    folder = find_fashion_mnist()
    return None if folder is None else f"made of {folder}"


def _brain_place() -> str | None:
    folder = find_brain()
    return None if folder is None else str(folder)


sources: dict[str, Source] = {
    source.name: source
    for source in (
        Source(
            "digits",
            "1,797 grey 8x8 handwritten digits, 1,437 to train on",
            "CC BY 4.0, UCI (Alpaydin, Kaynak 1998)",
            lambda: "comes with minigrad",
            _digits,
        ),
        Source(
            "fashion-mnist",
            "70,000 grey 28x28 pieces of clothing, 60,000 to train on",
            "MIT (Xiao, Rasul, Vollgraf 2017)",
            _fashion_mnist_place,
            _fashion_mnist,
            "minigrad data --download fashion-mnist",
        ),
        Source(
            "mnist1d",
            "5,000 signals of length 40 that draw digits, 4,000 to train on",
            "Apache-2.0 (Greydanus, Kobak 2024)",
            find_mnist1d,
            _mnist1d,
            "pip install 'minigrad[signals]'",
        ),
        Source(
            "fashion-scenes",
            "grey scenes of several pieces of clothing, whose every pixel has a class",
            "MIT (made of fashion-mnist)",
            _scenes_place,
            _scenes,
            "minigrad data --download fashion-mnist",
            masks=True,
        ),
        Source(
            "brain",
            "the mean of 152 heads at 2 mm, whose every voxel is fluid, grey, white or outside",
            "free, McGill University (Fonov et al. 2009)",
            _brain_place,
            _brain,
            "pip install --no-deps nilearn",
            masks=True,
        ),
    )
}


def list_datasets(masks: bool = False) -> list[str]:
    """Return the names that `load_split` knows.

    Parameters
    ----------
    masks : bool, default False
        Whether the data sets to segment, whose every position has a class, are asked for; or
        those whose samples have one class each.

    Examples
    --------
    >>> list_datasets()
    ['digits', 'fashion-mnist', 'mnist1d']
    >>> list_datasets(masks=True)
    ['brain', 'fashion-scenes']
    """
    return sorted(name for name, source in sources.items() if source.masks == masks)


def load_split(name: str, download: bool = False, channels: int = 3, seed: int = 0) -> Split:
    """Return training and test part of a named data set or of a folder of pictures.

    Parameters
    ----------
    name : str
        A name of `list_datasets`, or a folder: either with the sub-folders ``train`` and ``val``
        (or ``test``), each with a folder per class, or just with a folder per class, of whose
        pictures a fifth is then held out.
    download : bool, default False
        Fetch a named data set that is not on this machine.
    channels : {3, 1, 4}, default 3
        How the pictures of a folder are read.
    seed : int, default 0
        Chooses what is held out of a folder.

    Raises
    ------
    OptionError
        If `name` is neither; the nearest name is suggested.
    DataError
        If the data are missing or damaged.

    Examples
    --------
    >>> split = load_split("digits")
    >>> len(split.train), len(split.test), split.spec.channels, split.spec.size
    (1437, 360, 1, 8)
    >>> load_split("digit")
    Traceback (most recent call last):
        ...
    minigrad.errors.OptionError: unknown data set 'digit'; did you mean 'digits'? ...
    """
    if name in sources:
        return sources[name].load(download)
    root = Path(name)
    if not os.path.isdir(root):
        if os.path.exists(root):
            raise DataError(f"{name}: a data set on disk is a folder, with a sub-folder per class")
        if root.parent != Path():
            raise DataError(f"{name}: no such folder")
        raise unknown("data set", name, [*sources, "a folder with a sub-folder per class"])
    train, test, classes = _folder(root, channels, seed)
    half = (0.5,) * channels
    mean, std = (IMAGENET_MEAN, IMAGENET_STD) if channels == 3 else (half, half)
    return Split(train, test, ImageSpec(classes, channels, None, mean, std))


def _folder(root: Path, channels: int, seed: int) -> tuple[Dataset, Dataset, tuple[str, ...]]:
    if not (root / "train").is_dir():
        whole = ImageFolder(root, channels)
        if len(whole) < 2:
            raise DataError(
                f"{root}: one picture is not enough to train on some and hold out others"
            )
        train, test = random_split(whole, [0.8, 0.2], seed)
        return train, test, whole.classes
    for name in ("val", "test"):
        if (root / name).is_dir():
            train_part = ImageFolder(root / "train", channels)
            test_part = ImageFolder(root / name, channels, train_part.classes)
            return train_part, test_part, train_part.classes
    raise DataError(f"{root}: found 'train' but neither 'val' nor 'test' beside it")
