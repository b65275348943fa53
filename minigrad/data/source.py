"""Source: a data set with a name; and what a model must know about its samples."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigrad.data.dataset import Dataset
from minigrad.errors import OptionError, brief, unknown

__all__ = ["TARGETS", "ImageSpec", "Source", "Split"]

TARGETS = ("class", "labels", "numbers")  # what may be known of a picture


@dataclass(frozen=True)
class ImageSpec:
    """What a model must know about the images it gets.

    Examples
    --------
    >>> spec = ImageSpec(("cat", "dog"), 1, 32, mean=(0.5,), std=(0.2,))
    >>> spec.channels, spec.classes
    (1, ('cat', 'dog'))
    """

    classes: tuple[str, ...]
    channels: int
    size: int | None  # side of the square images; None where pictures have any size
    mean: tuple[float, ...]
    std: tuple[float, ...]
    spatial_dims: int = 2  # 1 for signals, whose length `size` is
    mono: bool = False  # whether pictures are read in colour, and seen as `mono` makes them
    targets: str = "class"  # or labels, of which an image has several, or numbers, named in classes
    scales: tuple[tuple[float, float], ...] = ()  # mean and deviation of each number
    # Sides of the voxels of volumes in mm, whose axes then run right, front and up; () is any.
    spacing: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what no images can have: it may come from a file."""
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
            and self.mono in (False, True)
            and self.targets in TARGETS
            and isinstance(self.scales, tuple)
            and len(self.scales) == (len(self.classes) if self.targets == "numbers" else 0)
            and all(
                len(pair) == 2 and all(map(math.isfinite, pair)) and pair[1] > 0
                for pair in self.scales
            )
            and isinstance(self.spacing, tuple)
            and len(self.spacing) in (0, self.spatial_dims if self.spatial_dims == 3 else 0)
            and all(type(n) in (int, float) and 0 < n < math.inf for n in self.spacing)
        ):
            raise OptionError(
                f"{brief(self)}: classes are names, sizes positive whole numbers, and every "
                "channel, and every number that is a target, has a mean and a positive standard "
                "deviation"
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
    where: Callable[[], Path | str | None]  # the place on this machine, None if it is not there
    make: Callable[..., Split]  # download, and options of its own; a seed if samples are drawn
    advice: str = ""  # how it comes onto a machine
    masks: bool = False  # whether every position has a class of its own, not the sample one

    @property
    def place(self) -> str:
        """Where it is, or how to get it."""
        return str(self.where() or f"not here; {self.advice}")

    def load(self, download: bool = False, seed: int = 0, **options: Any) -> Split:
        """Return both parts; refuse options that this data set does not have."""
        takes = list(inspect.signature(self.make).parameters)[1:]
        for name in options:
            if name not in takes:
                raise unknown(f"option of {self.name}", name, takes)
        if "seed" in takes:
            options["seed"] = seed
        return self.make(download, **options)
