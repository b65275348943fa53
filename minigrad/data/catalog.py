"""The catalog: the data sets that have a name, and folders of pictures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from minigrad.data import brain, fashion, scenes, signals, uci_digits
from minigrad.data.dataset import Dataset, random_split
from minigrad.data.folder import ImageFolder
from minigrad.data.source import ImageSpec, Source, Split
from minigrad.errors import DataError, unknown

__all__ = ["ImageSpec", "Source", "Split", "list_datasets", "load_split", "sources"]

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

sources: dict[str, Source] = {
    module.SOURCE.name: module.SOURCE for module in (uci_digits, fashion, signals, scenes, brain)
}


def list_datasets(masks: bool = False) -> list[str]:
    """Return the names that `load_split` knows.

    Parameters
    ----------
    masks : bool, default False
        True for the data sets to segment, whose every position has a class; False
        for those whose samples have one class each.

    Examples
    --------
    >>> "digits" in list_datasets(), "digits" in list_datasets(masks=True)
    (True, False)
    """
    return sorted(name for name, source in sources.items() if source.masks == masks)


def load_split(
    name: str, download: bool = False, channels: int = 3, seed: int = 0, **options: Any
) -> Split:
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
        Chooses what is held out of a folder, and decides samples that are drawn.
    **options
        Those of one data set, such as ``root`` or ``size``.

    Raises
    ------
    OptionError
        If `name` is neither, or an option unknown; the nearest name is suggested.
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
        return sources[name].load(download, seed, **options)
    root = Path(name)
    if not os.path.isdir(root):
        if os.path.exists(root):
            raise DataError(f"{name}: a data set on disk is a folder, with a sub-folder per class")
        if root.parent != Path():
            raise DataError(f"{name}: no such folder")
        raise unknown("data set", name, [*sources, "a folder with a sub-folder per class"])
    if options:
        raise unknown("option of a folder of pictures", next(iter(options)), ["channels", "seed"])
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
