"""ImageFolder: a folder of pictures, one sub-folder per class."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from minigrad.data.dataset import Image
from minigrad.data.npy import read_npy
from minigrad.errors import DataError, OptionError, missing_extra

__all__ = ["ImageFolder", "read_image"]

SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".npy", ".png", ".tif", ".tiff", ".webp"})
_MODES = {1: "L", 3: "RGB", 4: "RGBA"}


def read_image(path: str | Path, channels: int = 3) -> Image:
    """Read a picture as float32 (C, H, W) in [0, 1].

    Parameters
    ----------
    path : path
        Any format that Pillow reads (extra ``images``), or a ``.npy`` array of shape (C, H, W),
        (H, W, C) or (H, W), which needs NumPy alone.
    channels : {3, 1, 4}, default 3
        RGB, grey or RGBA; other pictures are converted.

    Raises
    ------
    DataError
        If the file is missing or damaged, or an array does not have that many channels.
    MissingExtra
        If Pillow is needed and not installed.
    """
    path = Path(path)
    if channels not in _MODES:
        raise OptionError(f"read_image: channels must be 1, 3 or 4, got {channels}")
    if not path.is_file():
        raise DataError(f"{path}: no such picture")
    if path.suffix.lower() == ".npy":
        return _read_array(path, channels)
    try:
        from PIL import Image as pillow
    except ImportError:
        raise missing_extra("Pillow", "images") from None
    try:
        with pillow.open(path) as picture:
            pixels = np.asarray(picture.convert(_MODES[channels]), dtype=np.float32)
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"{path}: Pillow cannot read this picture ({error})") from None
    return _channels_first(pixels) / np.float32(255)


class ImageFolder:
    """A data set of pictures in sub-folders that bear the names of their classes.

    Parameters
    ----------
    root : path
        Folder with one sub-folder per class; pictures are looked for at any depth below it.
    channels : {3, 1, 4}, default 3
        RGB, grey or RGBA.
    classes : sequence of str, optional
        The class of each number; by default the sub-folders' names, sorted.

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
        self, root: str | Path, channels: int = 3, classes: tuple[str, ...] | None = None
    ) -> None:
        self.root, self.channels = Path(root), channels
        if not self.root.is_dir():
            raise DataError(f"{root}: no such folder")
        found = tuple(sorted(p.name for p in self.root.iterdir() if _is_class(p)))
        if not found:
            raise DataError(
                f"{root}: expected one sub-folder of pictures per class, found no sub-folder"
            )
        self.classes = found if classes is None else tuple(classes)
        if strange := sorted(set(found) - set(self.classes)):
            raise DataError(f"{root}: class {strange[0]!r} is not among {', '.join(self.classes)}")
        self.samples: list[tuple[Path, int]] = []
        for label, name in enumerate(self.classes):
            paths = sorted(p for p in (self.root / name).rglob("*") if p.suffix.lower() in SUFFIXES)
            if not paths and classes is None:
                raise DataError(
                    f"{self.root / name}: no pictures here ({', '.join(sorted(SUFFIXES))})"
                )
            self.samples += [(path, label) for path in paths]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int, /) -> tuple[Image, int]:
        path, label = self.samples[index]
        return read_image(path, self.channels), label

    def __repr__(self) -> str:
        return f"ImageFolder({str(self.root)!r}, {len(self)} images, {len(self.classes)} classes)"


def _is_class(path: Path) -> bool:
    return path.is_dir() and not path.name.startswith(".")


def _read_array(path: Path, channels: int) -> Image:
    array = read_npy(path)
    if array.dtype.kind not in "buif" or array.ndim not in (2, 3):
        raise DataError(
            f"{path}: expected numbers of shape (C, H, W), (H, W, C) or (H, W), "
            f"found {array.dtype} {array.shape}"
        )
    scale = 255 if array.dtype == np.uint8 else 1
    pixels: Image = array.astype(np.float32) / np.float32(scale)
    if pixels.ndim == 2 or pixels.shape[0] not in _MODES:
        pixels = _channels_first(pixels)
    if len(pixels) == 1 and channels == 3:
        pixels = np.repeat(pixels, 3, 0)
    if len(pixels) != channels:
        raise DataError(f"{path}: expected {channels} channels, found shape {array.shape}")
    return pixels


def _channels_first(pixels: Image) -> Image:
    """(H, W) or (H, W, C) → (C, H, W)."""
    moved: Image = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, 2, 0)
    return np.ascontiguousarray(moved)
