"""ColorJitter: brightness, contrast, saturation and hue changed at random, as torchvision does."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from minigrad.data.dataset import Image
from minigrad.errors import OptionError, ShapeError
from minigrad.loading import check_numbers

__all__ = ["ColorJitter", "adjusted", "shifted_hue"]

GREY = np.array([0.2989, 0.587, 0.114], np.float32)  # shares of red, green and blue
CORNERS = np.array([5, 3, 1], np.float32)  # where red, green and blue stand on the circle


class ColorJitter:
    """Change brightness, contrast, saturation and hue at random, in a random order.

    Parameters
    ----------
    brightness, contrast, saturation : float, default 0.4
        Each factor is drawn from [max(0, 1 - x), 1 + x]; 0 leaves that property alone.
    hue : float, default 0
        The hue is turned by a share of the whole circle drawn from [-hue, hue]; at most 0.5.

    Raises
    ------
    OptionError
        If a spread is out of its range.
    ShapeError
        If an image has other than 1 or 3 channels and more than its brightness is changed.

    Notes
    -----
    With a factor f: brightness is f·x; contrast f·x + (1 - f)·m with the mean m of the image in
    grey; saturation f·x + (1 - f)·grey; hue is that of HSV. The results are clipped to [0, 1], as
    in torchvision. A grey image has neither saturation nor hue and keeps its greys; what these are
    in images of two, four and more channels is not defined.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> ColorJitter(0.4, hue=0.1)(np.full((3, 2, 2), 0.5, np.float32), rng).shape
    (3, 2, 2)
    """

    def __init__(
        self,
        brightness: float = 0.4,
        contrast: float = 0.4,
        saturation: float = 0.4,
        hue: float = 0.0,
    ) -> None:
        self.spread = {"brightness": brightness, "contrast": contrast, "saturation": saturation}
        check_numbers("ColorJitter", **self.spread, hue=hue)
        for name, x in self.spread.items():
            if not 0 <= x < math.inf:
                raise OptionError(f"ColorJitter: {name} must be 0 or more, got {x}")
        if not 0 <= hue <= 0.5:
            raise OptionError(
                f"ColorJitter: hue must lie in [0, 0.5], half the circle either way, got {hue}"
            )
        if hue:  # without it the order is drawn as it always was
            self.spread["hue"] = hue

    def __call__(self, image: Image, rng: np.random.Generator) -> Image:
        names = list(self.spread)
        rng.shuffle(names)
        for name in names:
            if x := self.spread[name]:
                low, high = (-x, x) if name == "hue" else (max(0.0, 1 - x), 1 + x)
                image = adjusted(image, name, rng.uniform(low, high))
        return image

    def __repr__(self) -> str:
        return f"ColorJitter({', '.join(f'{k}={v}' for k, v in self.spread.items())})"


def adjusted(image: Image, what: str, factor: float) -> Image:
    """Return an image in [0, 1] with brightness, contrast or saturation times `factor`.

    Or with its hue turned by that share of the circle.
    """
    if what != "brightness" and len(image) not in (1, 3):
        raise ShapeError(
            f"ColorJitter: an image has 1 or 3 channels, got {image.shape}; contrast, saturation "
            "and hue of others are not defined: set them to 0"
        )
    if what == "hue":
        return image if len(image) == 1 else shifted_hue(image, factor)
    share = np.float32(factor)
    other: Any = np.float32(0)
    if what != "brightness":
        other = np.tensordot(GREY, image, 1)[None] if len(image) == 3 else image
        other = other.mean() if what == "contrast" else other
    result: Image = np.clip(share * image + (np.float32(1) - share) * other, 0, 1)
    return result


def shifted_hue(image: Image, turn: float) -> Image:
    """Return an image (3, H, W) in [0, 1] whose hue in HSV is turned by a share of the circle.

    With the largest number v of a pixel, the span c to its smallest, and six times the hue h, a
    colour that stands at k on the circle is ``v - c·clip(min(d, 4 - d), 0, 1)``, where
    ``d = (k + h) mod 6``.

    Examples
    --------
    >>> red = np.array([1.0, 0.0, 0.0], np.float32).reshape(3, 1, 1)
    >>> shifted_hue(red, 1 / 3).ravel().round(3)  # green
    array([0., 1., 0.], dtype=float32)
    """
    red, green, blue = image
    most = image.max(0)
    span = most - image.min(0)
    some = np.where(span == 0, np.float32(1), span)
    hue = np.select(
        [most == red, most == green],
        [(green - blue) / some, 2 + (blue - red) / some],
        4 + (red - green) / some,
    )
    corners = CORNERS.reshape(3, *[1] * (image.ndim - 1))
    away = (corners + (hue + np.float32(6 * turn))) % 6
    result: Image = most - span * np.clip(np.minimum(away, 4 - away), 0, 1)
    return result.astype(image.dtype, copy=False)
