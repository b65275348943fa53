"""Symmetries of a set of pictures: which changes leave the pictures of a class among themselves.

Whether pictures may be mirrored, turned or recoloured at random is asked of the pictures, not of
their classes' names. A changed copy of a picture is described in numbers, as the picture is. If
the copies of a class are like the class, then the differences of these numbers have no direction:
their signs might as well be drawn by a coin. A permutation test says how often coins alone would
give means as large as those found. Mirrored cats look like cats; a mirrored "3" does not look
like a "3", and a hand that points right, mirrored, looks like one of another class.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from minigrad.data.dataset import Image, whole_number
from minigrad.data.tint import turned_hue
from minigrad.data.transforms import resize
from minigrad.errors import ShapeError, brief

__all__ = ["CHANGES", "symmetries"]

Change = Callable[[Image], Image]
Numbers = NDArray[np.float64]

SIDE = 32  # of the copies that are described
CELLS = 4  # parts of a side that are described one by one
COINS = 4999  # tosses of all signs
CHANGES: dict[str, tuple[Change, ...]] = {
    "mirror": (lambda x: x[..., ::-1],),
    "turn": (lambda x: np.rot90(x, 1, (1, 2)), lambda x: np.rot90(x, 2, (1, 2))),
    "invert": (lambda x: 1 - x,),
    "hue": (lambda x: turned_hue(x, math.pi / 2), lambda x: turned_hue(x, math.pi)),
}


def symmetries(images: Sequence[Image], labels: Sequence[int], seed: int = 0) -> dict[str, float]:
    """Return for every change how likely the pictures of a class are like their changed copies.

    Parameters
    ----------
    images : sequence of arrays (C, H, W)
        Pictures from 0 to 1.
    labels : sequence of int
        The class of each.
    seed : int, default 0
        Of the permutations.

    Returns
    -------
    dict of str to float
        By "mirror", "turn", "invert" and "hue" the p-value of the test: small where copies differ.
        Pictures that are not in colour have no "hue".

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> starts = rng.uniform(0, 6.3, 30)
    >>> stripes = [np.sin(np.arange(16) + s) * np.ones((1, 16, 1)) for s in starts]
    >>> found = symmetries(stripes, [0] * 30)
    >>> found["mirror"] > 0.05, found["turn"] < 0.05
    (True, True)
    """
    seed = whole_number("symmetries: seed", seed, 0)
    try:
        pictures = [np.asarray(image, np.float32) for image in images]
    except (TypeError, ValueError):
        pictures = []
    if not pictures or any(picture.ndim != 3 for picture in pictures):
        raise ShapeError(f"symmetries: images are arrays (C, H, W), got {brief(images)}")
    if np.shape(labels) != (len(pictures),):
        raise ShapeError(f"symmetries: {len(pictures)} images have as many labels, got {labels}")
    small = [resize(picture, (SIDE, SIDE)) for picture in pictures]
    groups = [np.flatnonzero(np.asarray(labels) == label) for label in np.unique(labels)]
    found = {}
    for name, changes in CHANGES.items():
        describe = DESCRIBED_BY.get(name, _edges)
        if name == "hue" and any(len(image) != 3 for image in small):
            continue
        own = np.stack([describe(image) for image in small])
        chances = [
            _chance(np.stack([describe(change(image)) for image in small]) - own, groups, seed)
            for change in changes
        ]
        found[name] = min(1.0, len(chances) * min(chances))
    return found


def _chance(differences: Numbers, groups: Sequence[NDArray[np.int64]], seed: int) -> float:
    """Return how often signs by coins give means of the groups as large as those found."""
    scale = np.sqrt((differences**2).mean(0))
    d = differences / np.where(scale > 1e-9, scale, np.inf)
    rng = np.random.default_rng(seed)
    signs = np.where(rng.random((COINS, len(d))) < 0.5, -1.0, 1.0)
    found, tossed = 0.0, np.zeros(COINS)
    for group in groups:
        found += float((d[group].sum(0) ** 2).sum()) / len(group)
        tossed += ((signs[:, group] @ d[group]) ** 2).sum(1) / len(group)
    return float(1 + (tossed >= found - 1e-9).sum()) / (1 + COINS)


def _edges(image: Image) -> Numbers:
    """Describe where edges are and how they lie, whichever side of them is the brighter one."""
    down, right = np.gradient(image.mean(0).astype(np.float64))
    strength = np.hypot(down, right)
    strength /= strength.sum() + 1e-9
    double = 2 * np.arctan2(down, right)
    maps = np.stack([strength, strength * np.cos(double), strength * np.sin(double)])
    return np.concatenate([_cells(maps), maps.sum((1, 2)), _skew(strength), _skew(strength.T)])


def _skew(strength: Numbers) -> Numbers:
    """Return how much farther the edges reach to one side of their middle than to the other."""
    share, place = strength.sum(0), np.arange(strength.shape[1])
    away = place - (share * place).sum()
    spread = math.sqrt((share * away**2).sum()) + 1e-9
    return np.array([(share * away**3).sum() / spread**3])


def _colours(image: Image) -> Numbers:
    """Describe the colours of parts of the picture, without their brightness."""
    red, green, blue = image.astype(np.float64)
    return _cells(np.stack([red - green, (red + green) / 2 - blue]))


def _brightness(image: Image) -> Numbers:
    """Describe which parts of the picture are bright."""
    return _cells(image.mean(0, dtype=np.float64)[None] - 0.5)


def _cells(maps: Numbers) -> Numbers:
    """Return the means over the cells of a grid, and over all of it."""
    step = maps.shape[1] // CELLS
    parts = maps.reshape(len(maps), CELLS, step, CELLS, step).mean((2, 4)).ravel()
    return np.concatenate([parts, CELLS * maps.mean((1, 2))])


DESCRIBED_BY = {"hue": _colours, "invert": _brightness}
