"""Check: every picture of a folder read once, and all that is wrong with them said together."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from minigrad.data.dataset import Image
from minigrad.data.folder import SUFFIXES, files_below, listing
from minigrad.data.picture import read_image
from minigrad.data.survey import duplicates, warnings_of_counts
from minigrad.errors import DataError, MinigradError, MissingExtra
from minigrad.files import to_path

__all__ = ["ACROSS", "TORN", "TWICE", "FolderCheck", "Seen", "check_folder", "look", "twins"]

PARTS = ("train", "val", "test")
NONE = "no label"
SHOWN = 20  # lines of a kind that the text has at most; the page has all
ACROSS, TORN, TWICE = (
    "in two parts: what is measured is too good", "in two classes: one label is wrong", "twice"
)  # fmt: skip


@dataclass(frozen=True)
class Seen:
    """What was found of one picture."""

    path: Path
    part: str  # "train", "val" or "test", and "" in a folder that is not divided
    label: str
    size: tuple[int, int] = (0, 0)  # height and width
    channels: int = 0  # 1 if it is grey, also where it is saved in colour
    fault: str = ""


@dataclass(frozen=True)
class FolderCheck:
    """What `check_folder` or `check_table` found.

    Attributes
    ----------
    root : Path
        The folder, or the table.
    files : list of Seen
        Every picture.
    strays : list of (Path, str)
        What else lies there, and why it is no part of the data.
    twins : list of (list of Path, str)
        Groups of pictures that are the same file, and what is wrong with that.
    warnings : list of str
        What should be known before a training.
    targets : {"class", "labels", "numbers"}
        What a table says of its pictures; labels have a bar between them.
    notes : list of str
        Where the numbers of a table lie.

    Examples
    --------
    >>> seen = Seen(Path("pets/cat/1.png"), "", "cat", (32, 48), 3)
    >>> print(FolderCheck(Path("pets"), [seen]))
    pets: 1 pictures in 1 classes
      cat  1
    sizes: 1 of 48×32
    channels: 1 in colour
    nothing is wrong with them
    """

    root: Path
    files: list[Seen]
    strays: list[tuple[Path, str]] = field(default_factory=list)
    twins: list[tuple[list[Path], str]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    targets: str = "class"
    notes: list[str] = field(default_factory=list)

    @property
    def bad(self) -> list[Seen]:
        """The pictures that cannot be read."""
        return [file for file in self.files if file.fault]

    @property
    def good(self) -> list[Seen]:
        """The pictures that can be read."""
        return [file for file in self.files if not file.fault]

    @property
    def ok(self) -> bool:
        """Whether a training can begin: every picture can be read, and there are some."""
        return bool(self.files) and not self.bad

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the number of readable pictures by class, or label, and part."""
        found: dict[str, dict[str, int]] = {}
        for file in sorted(self.files, key=lambda file: PARTS_ORDER.get(file.part, len(PARTS))):
            for label in self.labels(file):
                row = found.setdefault(label, {})
                row[file.part] = row.get(file.part, 0) + (not file.fault)
        return {label: found[label] for label in sorted(found)}

    def labels(self, file: Seen) -> list[str]:
        """Return the class of a picture, or its labels; nothing of one in a line that is wrong."""
        if file.fault and not file.label:
            return []
        return (file.label or NONE).split("|") if self.targets == "labels" else [file.label]

    def sizes(self) -> Counter[tuple[int, int]]:
        """Return how often every size (height, width) occurs."""
        return Counter(file.size for file in self.good)

    def channels(self) -> Counter[str]:
        """Return how many pictures are grey, in colour, or in colour with transparency."""
        names = {1: "grey", 3: "in colour", 4: "with transparency"}
        return Counter(names.get(f.channels, f"of {f.channels} channels") for f in self.good)

    def __str__(self) -> str:
        return "\n".join(_lines(self))


PARTS_ORDER = {"": 0, **{part: number for number, part in enumerate(PARTS)}}


def check_folder(root: str | Path) -> FolderCheck:
    """Read every picture of a folder of classes; collect what is wrong instead of stopping at it.

    Parameters
    ----------
    root : path
        As for `load_split`: a folder per class, perhaps below ``train`` and ``val`` or ``test``.

    Returns
    -------
    FolderCheck

    Raises
    ------
    DataError
        If there is no such folder.
    MissingExtra
        If a picture needs Pillow, and it is not installed.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> root = Path(tempfile.mkdtemp())
    >>> (root / "cat").mkdir()
    >>> np.save(root / "cat" / "1.npy", np.zeros((4, 6), np.uint8))
    >>> _ = (root / "cat" / "2.npy").write_bytes(b"damaged")
    >>> found = check_folder(root)
    >>> found.counts(), found.ok
    ({'cat': {'': 1}}, False)
    >>> found.bad[0].fault[:30]
    'no .npy array of numbers (it b'
    """
    root = to_path(root)
    if not os.path.isdir(root):
        raise DataError(f"{root}: no such folder")
    parts = [part for part in PARTS if (root / part).is_dir()] if (root / "train").is_dir() else []
    found = FolderCheck(root, [])
    asked: list[tuple[Path, str, str]] = []
    for part in parts or [""]:
        place = root / part
        classes, loose = listing(place)
        found.strays.extend(
            (place / name, "a picture outside of any class's folder")
            for name in loose
            if name.lower().endswith(tuple(SUFFIXES))
        )
        if not classes:
            found.warnings.append(f"{place} has no sub-folder: pictures belong into one per class")
        for name in classes:
            paths = files_below(place / name)
            if not paths:
                found.warnings.append(f"{place / name} has no pictures")
            asked.extend((path, part, name) for path in paths)
            found.strays.extend(_others(place / name, paths))
    found.files.extend(look(asked))
    found.twins.extend(twins(found.good))
    if found.files:
        first = (parts or [""])[0]
        counts = found.counts()
        mine = {label: row.get(first, 0) for label, row in counts.items()}
        found.warnings.extend(warnings_of_counts(mine))
        strange = [label for label, row in counts.items() if parts and "train" not in row]
        found.warnings.extend(
            f"class {label} is only in {' and '.join(counts[label])}: nothing is learned about it"
            for label in strange
        )
    return found


def look(asked: Iterable[tuple[Path, str, str]]) -> list[Seen]:
    """Read pictures, given with their part and label, and return what was found of each."""
    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(_seen, asked))


def _seen(asked: tuple[Path, str, str]) -> Seen:
    path, part, label = asked
    make = partial(Seen, path, part, label)
    try:
        image = _read(path)
    except MissingExtra:
        raise
    except MinigradError as error:
        return make(fault=str(error).removeprefix(f"{path}: "))
    return make(image.shape[1:], _channels(image))


def _read(path: Path) -> Image:
    """Read a picture with its transparency; an array with as many channels as it has."""
    if path.suffix.lower() != ".npy":
        return read_image(path, 4)
    fault: DataError | None = None
    for channels in (3, 4, 1):
        try:
            return read_image(path, channels)
        except DataError as error:
            fault = fault or error
    assert fault is not None
    raise fault


def _channels(image: Image) -> int:
    if len(image) == 4 and bool((image[3] == 1).all()):
        image = image[:3]
    if len(image) == 3 and bool((image == image[:1]).all()):
        return 1
    return len(image)


def _others(folder: Path, pictures: Iterable[Path]) -> Iterator[tuple[Path, str]]:
    known = set(pictures)
    for path in files_below(folder, ("",)):
        if path not in known:
            kind = f"files that end in {path.suffix}" if path.suffix else "files without an ending"
            yield path, f"{kind} are not read"


def twins(files: list[Seen]) -> Iterator[tuple[list[Path], str]]:
    """Yield the groups of pictures that are the same file, and what is wrong with that."""
    by_path = {file.path: file for file in files}
    for group in duplicates(by_path):
        members = [by_path[path] for path in group]
        what = TWICE
        if len({file.part for file in members}) > 1:
            what = ACROSS
        if len({file.label for file in members}) > 1:
            what = TORN
        yield group, what


def _lines(found: FolderCheck) -> Iterator[str]:
    classes = found.counts()
    kinds = {"class": f" in {len(classes)} classes", "labels": f" with {len(classes)} labels"}
    yield f"{found.root}: {len(found.files):,} pictures{kinds.get(found.targets, '')}"
    yield from found.notes
    width = max(map(len, classes), default=0)
    for label, row in classes.items():
        shown = "  ".join(f"{part} {n}".strip() for part, n in row.items())
        yield f"  {label:{width}}  {shown}"
    if sizes := found.sizes():
        least, most = min(sizes), max(sizes)
        (height, width), often = sizes.most_common(1)[0]
        spread = f", {len(sizes)} sizes from {least[1]}×{least[0]} to {most[1]}×{most[0]}"
        yield f"sizes: {often:,} of {width}×{height}{spread if len(sizes) > 1 else ''}"
        yield "channels: " + ", ".join(f"{n:,} {name}" for name, n in found.channels().items())
    what = "cannot be read" if found.root.is_dir() else "lines are wrong"
    yield from _some(what, [f"{f.path}: {f.fault}" for f in found.bad])
    yield from _some(
        "are there more than once",
        [f"{what}: {', '.join(map(str, group))}" for group, what in found.twins],
    )
    yield from _some("are left out", [f"{path}: {why}" for path, why in found.strays])
    yield from (f"warning: {text}" for text in found.warnings)
    if found.ok and not (found.twins or found.warnings):
        yield "nothing is wrong with them"


def _some(what: str, lines: list[str]) -> Iterator[str]:
    if lines:
        yield f"{len(lines):,} {what}:"
        yield from (f"  {line}" for line in lines[:SHOWN])
        if len(lines) > SHOWN:
            yield f"  … and {len(lines) - SHOWN:,} more; --page FILE has all"
