"""Survey: what a set of pictures is like, looked at before anything is trained on it."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.data.dataset import whole_number
from minigrad.data.listing import samples_of
from minigrad.data.source import ImageSpec, Split
from minigrad.data.symmetry import symmetries
from minigrad.errors import DataError
from minigrad.files import reason, to_path
from minigrad.loading import check_kinds, several

__all__ = ["Survey", "duplicates", "survey", "warnings_of_counts"]

LOOKED = 200  # pictures that are read, to know what all are like
FEW = 10  # pictures of a class with which little can be learned
LOPSIDED = 10  # times as many pictures in the largest class as in the smallest
TELLING = 20  # pictures from which a symmetry can be judged
CHANCE = 0.001  # of a test, below which changed pictures are told from the others


@dataclass(frozen=True)
class Survey:
    """What the pictures to train on are like.

    Attributes
    ----------
    count : int
        Pictures to train on.
    counts : dict of str to int
        How many of them are of each class, or have each label; empty where they have numbers.
    held_out : int
        Pictures of the other part.
    side : int
        The shorter side of a picture: the median of those that were looked at.
    sizes : int
        How many different sizes were seen.
    grey : bool
        Whether they are pictures and no colour was seen.
    symmetries : dict of str to float
        What `symmetries` says of these classes; empty where there are too few pictures.
    warnings : tuple of str
        What should be known before a training, one sentence each.

    Examples
    --------
    >>> held = {"mirror": 0.4, "turn": 0.0004}
    >>> found = Survey(8, {"cat": 8}, 2, 64, 1, False, held, ())
    >>> found.keeps("mirror"), found.keeps("turn")
    (True, False)
    """

    count: int
    counts: dict[str, int]
    held_out: int
    side: int
    sizes: int
    grey: bool
    symmetries: dict[str, float]
    warnings: tuple[str, ...]

    def keeps(self, change: str) -> bool:
        """Return whether pictures changed that way are like others of their class."""
        return self.symmetries.get(change, 0.0) >= CHANCE


def survey(split: Split, seed: int = 0) -> Survey:
    """Look at some of the pictures of a folder, and at what is known of all.

    Parameters
    ----------
    split : Split
        Of a folder, as `load_split` returns it.
    seed : int, default 0
        Chooses the pictures that are looked at.

    Returns
    -------
    Survey

    Raises
    ------
    DataError
        If one of these pictures cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from minigrad.data import load_split
    >>> root = Path(tempfile.mkdtemp())
    >>> for number, name in enumerate(("dark", "light")):
    ...     (root / name).mkdir()
    ...     for i in range(5):
    ...         picture = np.full((8, 9, 3), 50 * i + number, np.uint8)
    ...         np.save(root / name / f"{i}.npy", picture)
    >>> found = survey(load_split(str(root)))
    >>> found.counts, found.held_out, found.side, found.grey
    ({'dark': 4, 'light': 4}, 2, 8, False)
    >>> found.warnings[0]
    'there are few pictures of dark (4) and light (4): with fewer than 10 of a class ...'
    """
    check_kinds("survey", Split, "load_split(name) makes one", split=split)
    seed = whole_number("survey: seed", seed, 0)
    train = samples_of(split.train)
    groups = _groups([target for _, target in train], split.spec.targets)
    order = np.random.default_rng(seed).permutation(len(train))[:LOOKED]
    images, labels = [], []
    for index in order.tolist():
        images.append(split.train[index][0])
        labels.append(groups[index])
    sides = [image.shape[1:] for image in images]
    arrays = any(path.suffix.lower() == ".npy" for path, _ in train)  # have the channels they have
    grey = not arrays and all(bool((image[:3] == image[:1]).all()) for image in images)
    known = {}
    if len(images) >= TELLING:
        known = symmetries([image[:1] if grey else image[:3] for image in images], labels, seed)
    counts = _counts([target for _, target in train], split.spec)
    return Survey(
        len(train),
        counts,
        len(split.test),
        int(np.median([min(side) for side in sides])),
        len(set(sides)),
        grey,
        known,
        (*warnings_of_counts(counts), *_of_twins(train, samples_of(split.test))),
    )


def _counts(targets: list[Any], spec: ImageSpec) -> dict[str, int]:
    if spec.targets == "numbers":
        return {}
    if spec.targets == "labels":
        found = np.sum(targets, 0).astype(int).tolist()
    else:
        found = np.bincount(targets, minlength=len(spec.classes)).tolist()
    return dict(zip(spec.classes, found, strict=True))


def _groups(targets: list[Any], kind: str) -> list[int]:
    """Return a number for each target: equal for those whose pictures should be alike."""
    keys = np.array(targets, np.float64).reshape(len(targets), -1)
    if kind == "numbers":  # near enough: both below the median, or both above
        keys = (keys > np.median(keys, 0)).astype(np.float64)
    found: list[int] = np.unique(keys, axis=0, return_inverse=True)[1].ravel().tolist()
    return found


def duplicates(paths: Iterable[Path]) -> list[list[Path]]:
    """Return the groups of files that are alike, byte for byte.

    Only files of one length are read.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> for name, text in (("a", "1"), ("b", "2"), ("c", "1")):
    ...     _ = (root / name).write_text(text)
    >>> [[path.name for path in group] for group in duplicates(root.iterdir())]
    [['a', 'c']]
    """
    paths = [to_path(path) for path in several("duplicates", "paths", paths, str | os.PathLike)]
    lengths, contents = defaultdict(list), defaultdict(list)
    try:
        for path in paths:
            lengths[path.stat().st_size].append(path)
        for alike in lengths.values():
            for path in alike if len(alike) > 1 else ():
                with open(path, "rb") as file:
                    contents[hashlib.file_digest(file, "sha256").digest()].append(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({reason(error)})") from None
    return sorted(sorted(group) for group in contents.values() if len(group) > 1)


def warnings_of_counts(counts: dict[str, int]) -> list[str]:
    """Return what should be known of so many pictures of every class."""
    said: list[str] = []
    if not counts:
        return said
    if len(counts) == 1:
        said.append(
            f"there is one class, {next(iter(counts))}: whatever is learned, every picture is "
            "taken for it; make a folder for what it is to be told from"
        )
    few = [f"{name} ({n})" for name, n in counts.items() if n < FEW]
    if few:
        said.append(
            f"there are few pictures of {_listed(few)}: with fewer than {FEW} of a class the "
            "result depends on which they are"
        )
    least, most = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
    if counts[most] > LOPSIDED * max(counts[least], 1):
        said.append(
            f"{most} has {counts[most]} pictures and {least} {counts[least]}: look at every "
            "class's own accuracy ('minigrad val'), not at that of all together"
        )
    return said


def _of_twins(train: list[tuple[Path, Any]], test: list[tuple[Path, Any]]) -> list[str]:
    held = {path for path, _ in test}
    labels = dict([*train, *test])
    across = torn = 0
    example: list[Path] = []
    for group in duplicates(labels):
        parts = {path in held for path in group}
        kinds = {str(labels[path]) for path in group}
        across, torn = across + (len(parts) > 1), torn + (len(kinds) > 1)
        if len(parts) > 1 or len(kinds) > 1:
            example = example or group
    said = []
    if across:
        said.append(
            f"{across} pictures are both among those to train on and those held out, such as "
            f"{example[0]} and {example[1]}: what is measured is too good; 'minigrad data --check' "
            "lists them"
        )
    if torn:
        said.append(
            f"{torn} pictures are in two classes, such as {example[0]} and {example[1]}: one of "
            "them is wrong"
        )
    return said


def _listed(words: list[str], most: int = 5) -> str:
    """Return words as one reads them, with the number of those left out."""
    if len(words) > most:
        return f"{', '.join(words[:most])} and {len(words) - most} more"
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
