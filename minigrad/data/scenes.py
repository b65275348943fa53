"""Scenes to segment: garments of Fashion-MNIST on one canvas, and which pixel is of which kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.data.dataset import Image
from minigrad.data.fashion import CLASSES, fashion_mnist, find_fashion_mnist
from minigrad.data.source import ImageSpec, Source, Split
from minigrad.errors import OptionError, RangeError

__all__ = ["FashionScenes", "silhouette"]

SIDE = 28  # of a garment as it comes
KINDS = {
    "top": ("T-shirt", "pullover", "coat", "shirt"),
    "trousers": ("trouser",),
    "dress": ("dress",),
    "shoe": ("sandal", "sneaker", "ankle boot"),
    "bag": ("bag",),
}
DARK = 8  # grey values up to this one are the emptiness around a garment
TRIES = 40  # places that are tried for a garment before it is left out


class FashionScenes:
    """Images of several garments and, per pixel, the kind of the garment or 0 for none.

    Each garment is a real image of Fashion-MNIST, mirrored or not, enlarged or reduced, laid on a
    background of smooth grey noise, none on top of another. Scene `i` is decided by ``(seed, i)``
    alone, and made when it is asked for.

    Parameters
    ----------
    train : bool, default True
        Take the garments from the 60,000 images for training, or from the 10,000 held-out ones.
    count : int, optional
        Scenes: by default 10,000 for training and 1,000 held-out ones.
    size : int, default 64
        Side of the square scenes.
    garments : tuple of int, default (3, 5)
        Fewest and most garments that are tried on one scene; what finds no place is left out.
    scale : tuple of float, default (0.8, 1.2)
        Smallest and largest side of a garment, of its 28 pixels.
    seed : int, default 0
        Decides all scenes.
    root, download
        As for `fashion_mnist`.
    fine : bool, default False
        All ten labels of Fashion-MNIST instead of five kinds. Which of T-shirt, pullover, coat and
        shirt a garment is can often not be seen, and a mask that is right in shape counts for
        nothing then.

    Attributes
    ----------
    classes : tuple of str
        "background", then "top", "trousers", "dress", "shoe" and "bag"; or the ten labels.

    Examples
    --------
    >>> scenes = FashionScenes(train=False)  # doctest: +SKIP
    >>> image, mask = scenes[0]  # doctest: +SKIP
    >>> image.shape, mask.shape, scenes.classes[1]  # doctest: +SKIP
    ((1, 64, 64), (64, 64), 'top')
    """

    def __init__(
        self,
        train: bool = True,
        count: int | None = None,
        size: int = 64,
        garments: tuple[int, int] = (3, 5),
        scale: tuple[float, float] = (0.8, 1.2),
        seed: int = 0,
        root: str | Path | None = None,
        download: bool = False,
        fine: bool = False,
    ) -> None:
        if not 0 < scale[0] <= scale[1] or round(scale[1] * SIDE) > size:
            raise OptionError(
                f"FashionScenes: scale must be (smallest, largest) > 0 with garments of "
                f"{SIDE} pixels times the largest inside the {size} of the scene, got {scale}"
            )
        if not 1 <= garments[0] <= garments[1]:
            raise OptionError(f"FashionScenes: garments must be (fewest, most), got {garments}")
        source = fashion_mnist(root, train, download)
        self.images: NDArray[np.uint8] = source.images[:, 0]
        kinds = {name: (name,) for name in CLASSES} if fine else KINDS
        self.classes = ("background", *kinds)
        number = {name: i for i, kind in enumerate(kinds.values(), 1) for name in kind}
        self.labels = np.array([number[name] for name in CLASSES])[source.labels]
        self.count = (10_000 if train else 1_000) if count is None else count
        if self.count < 1:
            raise OptionError(f"FashionScenes: count must be 1 or more, got {count}")
        self.train, self.size, self.garments, self.scale = train, size, garments, scale
        self.seed = seed

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int, /) -> tuple[Image, NDArray[np.int64]]:
        if not 0 <= index < self.count:
            raise RangeError(f"FashionScenes: scene {index} of {self.count}")
        rng = np.random.default_rng([self.seed, self.train, index])
        canvas, mask = _noise(rng, self.size), np.zeros((self.size, self.size), np.int64)
        free = np.ones((self.size, self.size), bool)
        for _ in range(rng.integers(self.garments[0], self.garments[1] + 1)):
            number = int(rng.integers(len(self.images)))
            image, shape = self._garment(number, rng)
            for _ in range(TRIES):
                y, x = rng.integers(0, self.size - len(shape) + 1, 2)
                box = (slice(y, y + len(shape)), slice(x, x + len(shape)))
                if not (shape & ~free[box]).any():
                    canvas[box][shape] = image[shape]
                    mask[box][shape] = self.labels[number]
                    free[box] &= ~shape
                    break
        return canvas[None], mask

    def _garment(self, number: int, rng: np.random.Generator) -> tuple[Any, NDArray[np.bool_]]:
        """Return a garment and where it is, of random size and side."""
        image = self.images[number]
        if rng.random() < 0.5:
            image = image[:, ::-1]
        side = round(SIDE * rng.uniform(*self.scale))
        shape = silhouette(image).astype(np.float32)
        return _resized(image / np.float32(255), side), _resized(shape, side) > 0.5

    def __repr__(self) -> str:
        part = "training" if self.train else "held-out"
        return f"FashionScenes({self.count} {part} scenes of {self.size}×{self.size})"


def silhouette(image: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return where the garment is: all that the dark rim of the image does not reach.

    Examples
    --------
    >>> ring = np.zeros((5, 5), np.uint8)
    >>> ring[1:4, 1:4] = 200
    >>> ring[2, 2] = 0  # dark, but inside
    >>> int(silhouette(ring).sum())
    9
    """
    dark = np.pad(image <= DARK, 1, constant_values=True)
    outside = np.zeros_like(dark)
    outside[0] = outside[-1] = outside[:, 0] = outside[:, -1] = True
    while True:
        grown = outside.copy()
        grown[1:] |= outside[:-1]
        grown[:-1] |= outside[1:]
        grown[:, 1:] |= outside[:, :-1]
        grown[:, :-1] |= outside[:, 1:]
        grown &= dark
        if (grown == outside).all():
            return ~outside[1:-1, 1:-1]
        outside = grown


def _resized(image: NDArray[Any], side: int) -> NDArray[np.float32]:
    """Resize a square image linearly, pixel centres on pixel centres."""
    n = len(image)
    at = np.clip((np.arange(side) + 0.5) * n / side - 0.5, 0, n - 1)
    low = np.minimum(at.astype(np.int64), n - 2)
    part = (at - low).astype(np.float32)
    rows = image[low] * (1 - part)[:, None] + image[low + 1] * part[:, None]
    return np.asarray(rows[:, low] * (1 - part) + rows[:, low + 1] * part, np.float32)


def _noise(rng: np.random.Generator, size: int) -> NDArray[np.float32]:
    """Return a background: smooth grey clouds and a little grain."""
    clouds = _resized(rng.random((6, 6), np.float32), size)
    grain = rng.normal(0.0, 0.02, (size, size))
    return np.asarray(np.clip(0.35 * clouds + grain, 0, 1), np.float32)


def _split(
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


def _place() -> str | None:
    folder = find_fashion_mnist()
    return None if folder is None else f"made of {folder}"


SOURCE = Source(
    "fashion-scenes",
    "grey scenes of several pieces of clothing, whose every pixel has a class",
    "MIT (made of fashion-mnist)",
    _place,
    _split,
    "minigrad data --download fashion-mnist",
    masks=True,
)
