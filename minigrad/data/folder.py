"""ImageFolder: a folder of pictures, one sub-folder per class."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from minigrad.data.dataset import Image, whole_number
from minigrad.data.picture import read_image, require_pillow
from minigrad.errors import DataError
from minigrad.files import reason, to_path
from minigrad.loading import several

__all__ = ["ImageFolder", "files_below", "folders_below", "listing"]

SUFFIXES = frozenset(
    {".bmp", ".gif", ".jpeg", ".jpg", ".npy", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
)
HIDDEN = frozenset({"__MACOSX", "@eaDir"})  # what archivers and file servers add of their own


class ImageFolder:
    """A data set of pictures in sub-folders that are named after their classes.

    Parameters
    ----------
    root : path
        Folder with one sub-folder per class; pictures are looked for at any depth below it, also
        behind links. Hidden files and folders (``._x.png``, ``.ipynb_checkpoints``) are left out.
    channels : int, default 3
        As for `read_image`.
    classes : sequence of str, optional
        The class of each number; by default the sub-folders' names, sorted.
    frame : int, optional
        Which page to read where pictures have several, as for `read_image`.
    at_least : int, optional
        Pictures may be decoded at a reduced size, as for `read_image`.

    Attributes
    ----------
    classes : tuple of str
        Class names in the order of their numbers.
    samples : list of (Path, int)
        Every picture and its label, sorted.

    Raises
    ------
    DataError
        If there is no such folder, it has no sub-folders, or a class has no pictures.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.data.ImageFolder("no/such/folder")
    Traceback (most recent call last):
        ...
    minigrad.errors.DataError: no/such/folder: no such folder
    """

    def __init__(
        self,
        root: str | Path,
        channels: int = 3,
        classes: tuple[str, ...] | None = None,
        frame: int | None = None,
        at_least: int | None = None,
    ) -> None:
        channels = whole_number("ImageFolder: channels", channels, 1)
        if frame is not None:
            frame = whole_number("ImageFolder: frame", frame, 0)
        if at_least is not None:
            at_least = whole_number("ImageFolder: at_least", at_least, 1)
        self.root, self.channels, self.frame = to_path(root), channels, frame
        self.at_least = at_least
        if not os.path.isdir(self.root):
            raise DataError(f"{root}: no such folder")
        found, loose = listing(self.root)
        if not found:
            loose = tuple(name for name in loose if name.lower().endswith(tuple(SUFFIXES)))
            hint = f" but {len(loose)} pictures; each belongs into its class's folder"
            raise DataError(
                f"{root}: expected one sub-folder of pictures per class, found no sub-folder"
                f"{hint if loose else ''}"
            )
        self.classes = found if classes is None else several("ImageFolder", "classes", classes, str)
        if strange := sorted(set(found) - set(self.classes)):
            raise DataError(f"{root}: class {strange[0]!r} is not among {', '.join(self.classes)}")
        self.samples: list[tuple[Path, int]] = []
        for label, name in enumerate(self.classes):
            paths = files_below(self.root / name) if name in found else []
            if not paths and classes is None:
                raise DataError(
                    f"{self.root / name}: no pictures here ({', '.join(sorted(SUFFIXES))})"
                )
            self.samples += [(path, label) for path in paths]
        if not self.samples:
            raise DataError(f"{root}: no pictures in any of {', '.join(self.classes)}")
        if any(path.suffix.lower() != ".npy" for path, _ in self.samples):
            require_pillow()  # now, not when the first picture is read

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int, /) -> tuple[Image, int]:
        path, label = self.samples[index]
        return read_image(path, self.channels, self.frame, self.at_least), label

    def __repr__(self) -> str:
        return f"ImageFolder({str(self.root)!r}, {len(self)} images, {len(self.classes)} classes)"


def files_below(folder: Path, endings: Iterable[str] = SUFFIXES) -> list[Path]:
    """Return all files below a folder with one of these endings, sorted, without hidden ones."""
    return sorted(
        place / name
        for place, names in folders_below(folder)
        for name in names
        if name.lower().endswith(tuple(endings))
    )


def folders_below(folder: Path) -> Iterator[tuple[Path, tuple[str, ...]]]:
    """Yield a folder and all below it that are not hidden, each with the names of its files.

    A folder that links lead to again is visited once.
    """
    waiting, seen = [folder], set()
    while waiting:
        folder = waiting.pop()
        place = os.path.realpath(folder)
        if place in seen:
            continue
        seen.add(place)
        folders, files = listing(folder)
        yield folder, files
        waiting += [folder / name for name in folders]


def listing(folder: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of sub-folders and of everything else, sorted, without hidden ones."""
    try:
        with os.scandir(folder) as entries:
            shown = [e for e in entries if not e.name.startswith(".") and e.name not in HIDDEN]
            folders = {entry.name for entry in shown if entry.is_dir()}
    except OSError as error:
        raise DataError(f"{folder}: cannot be read ({reason(error)})") from None
    names = sorted(entry.name for entry in shown)
    return (
        tuple(name for name in names if name in folders),
        tuple(name for name in names if name not in folders),
    )
