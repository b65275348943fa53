"""Kept: pictures that are read and scaled once, and stay in memory as bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.data.dataset import Dataset, Image, length_of, whole_number
from minigrad.data.mono import mono
from minigrad.data.transforms import resize
from minigrad.loading import check_switches

__all__ = ["Kept"]


class Kept:
    """Pictures that are scaled to squares and kept in memory, each when it is first asked for.

    A picture takes ``channels * size ** 2`` bytes; its values are rounded to 256 steps, whether it
    is read or remembered.

    Parameters
    ----------
    dataset : Dataset
        Pictures (C, H, W) from 0 to 1 and their targets.
    size : int
        Side of the squares.
    flat : bool, default False
        Hand them out in one channel, as `mono` makes them.

    Examples
    --------
    >>> import minigrad as mg
    >>> image, label = Kept(mg.data.digits(), 16)[0]
    >>> image.shape, label
    ((1, 16, 16), 0)
    """

    keeps_targets = True  # so labels are known without a picture that is read

    def __init__(self, dataset: Dataset, size: int, flat: bool = False) -> None:
        length_of("Kept", dataset)
        check_switches("Kept", flat=flat)
        self.dataset, self.size, self.flat = dataset, whole_number("Kept: size", size, 1), flat
        self.classes: tuple[str, ...] = getattr(dataset, "classes", ())
        self._pixels: dict[int, tuple[NDArray[np.uint8], Any]] = {}

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int, /) -> tuple[Any, Any]:
        if index not in self._pixels:
            pixels, target = self.dataset[index]
            if pixels.shape[1:] != (self.size, self.size):
                pixels = resize(pixels, (self.size, self.size))
            rounded = np.floor(pixels * np.float32(255) + np.float32(0.5))
            self._pixels[index] = np.clip(rounded, 0, 255).astype(np.uint8), target
        pixels, target = self._pixels[index]
        image: Image = np.divide(pixels, 255, dtype=np.float32)
        return mono(image) if self.flat else image, target

    def __repr__(self) -> str:
        return f"Kept({self.dataset!r}, {self.size})"
