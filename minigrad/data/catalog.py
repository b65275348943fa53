"""The catalog: the data sets that have a name, and folders of pictures."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.data import brain, fashion, scenes, signals, uci_digits
from minigrad.data.dataset import Dataset, stratified_split, whole_number
from minigrad.data.folder import ImageFolder
from minigrad.data.kept import Kept
from minigrad.data.listing import samples_of
from minigrad.data.source import ImageSpec, Source, Split
from minigrad.data.table import PictureTable, is_table, split_table
from minigrad.errors import DataError, OptionError, unknown
from minigrad.files import to_path
from minigrad.loading import check_switches

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
    name: str,
    download: bool = False,
    channels: int = 3,
    seed: int = 0,
    side: int | None = None,
    mono: bool = False,
    **options: Any,
) -> Split:
    """Return training and test part of a named data set or of a folder of pictures.

    Parameters
    ----------
    name : str
        A name of `list_datasets`; a table of pictures (`PictureTable`); or a folder: either with
        the sub-folders ``train`` and ``val`` (or ``test``), each with a folder per class, or just
        with a folder per class, of each of which a fifth is then held out.
    download : bool, default False
        Fetch a named data set that is not on this machine.
    channels : {3, 1, 4}, default 3
        How the pictures of a folder are read.
    seed : int, default 0
        Chooses what is held out of a folder, and decides samples that are drawn.
    side : int, optional
        Scale the pictures of a folder to squares of that side, and keep them in memory (`Kept`).
    mono : bool, default False
        See these squares in one channel, without what their colours are (`mono`).
    **options
        Those of one data set, such as ``root`` or ``size``; of a table, ``targets``.

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
    to_path(name)  # or refuse it
    check_switches("load_split", download=download, mono=mono)
    if side is not None:
        side = whole_number("load_split: side", side, 1)
    if name in sources:
        for key, value in (("side", side), ("mono", mono)):
            if value:  # the data set may have an option of that name; else it refuses it
                options[key] = value
        return sources[name].load(download, seed, **options)
    if not is_table(name) and not os.path.isdir(name):
        if os.path.exists(name):
            raise DataError(
                f"{name}: a data set on disk is a folder with a sub-folder per class, or a table "
                "that ends in .csv or .tsv"
            )
        if Path(name).parent != Path():
            raise DataError(f"{name}: no such folder")
        raise unknown("data set", name, [*sources, "a folder with a sub-folder per class"])
    takes = ["channels", "mono", "seed", "side", "targets"]
    if options.keys() - {"targets"}:
        raise unknown("option of a folder of pictures", min(options.keys() - {"targets"}), takes)
    targets = options.get("targets")
    if is_table(name):
        whole = PictureTable(name, targets, channels)
        (train, test), classes, kind = split_table(whole, seed), whole.classes, whole.targets
    else:
        if targets not in (None, "class"):
            raise OptionError(
                f"{name}: a folder has one class for each picture; {targets} stand in a table"
            )
        (train, test, classes), kind = _folder(Path(name), channels, seed), "class"
    scales = _scales(samples_of(train)) if kind == "numbers" else ()
    if side is not None:
        train, test = Kept(train, side, mono), Kept(test, side, mono)
    elif mono:
        raise OptionError("load_split: mono is for pictures of one size; give side too")
    half = (0.5,) * channels
    mean, std = (IMAGENET_MEAN, IMAGENET_STD) if channels == 3 else (half, half)
    if mono:
        channels, mean, std = 1, (0.0,), (1.0,)
    return Split(train, test, ImageSpec(classes, channels, side, mean, std, 2, mono, kind, scales))


def _scales(samples: list[tuple[Path, Any]]) -> tuple[tuple[float, float], ...]:
    """Return mean and deviation of every number over the samples; 1 for one that never changes."""
    values = np.stack([target for _, target in samples]).astype(np.float64)
    deviations = values.std(0)
    deviations[deviations == 0] = 1
    return tuple(zip(values.mean(0).tolist(), deviations.tolist(), strict=True))


def _folder(root: Path, channels: int, seed: int) -> tuple[Dataset, Dataset, tuple[str, ...]]:
    if not (root / "train").is_dir():
        whole = ImageFolder(root, channels)
        train, test = stratified_split(whole, 0.2, seed)
        if not len(test):
            raise DataError(
                f"{root}: one picture is not enough, a class needs two: to train on and to hold out"
            )
        return train, test, whole.classes
    for name in ("val", "test"):
        if (root / name).is_dir():
            train_part = ImageFolder(root / "train", channels)
            test_part = ImageFolder(root / name, channels, train_part.classes)
            return train_part, test_part, train_part.classes
    raise DataError(f"{root}: found 'train' but neither 'val' nor 'test' beside it")
