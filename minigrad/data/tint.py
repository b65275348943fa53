"""RandomTint: other colours, brightness and contrast for the same picture."""

from __future__ import annotations

import math

import numpy as np

from minigrad.data.dataset import Image
from minigrad.errors import OptionError
from minigrad.loading import check_numbers

__all__ = ["RandomTint", "turned_hue"]

ROUND = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)  # about the axis of greys
GREY = np.full((3, 3), 1 / 3)


class RandomTint:
    """Turn the hue of a picture, and change saturation, contrast and brightness, at random.

    Parameters
    ----------
    strength : float, default 1
        With 1 a colour becomes any other of the circle, saturation a factor of 0 to 2, contrast
        one of 0.5 to 1.5, and brightness moves by up to 0.25; less in proportion.
    p : float, default 1
        How often; other pictures stay as they are.

    Notes
    -----
    Hue and saturation are a linear map of red, green and blue about the axis of greys; pictures
    without these three have neither. Nothing is clipped: the network may see more than white.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> RandomTint()(np.ones((3, 2, 2), np.float32), rng).shape
    (3, 2, 2)
    """

    def __init__(self, strength: float = 1.0, p: float = 1.0) -> None:
        check_numbers("RandomTint", strength=strength, p=p)
        if not (0 <= strength <= 1 and 0 <= p <= 1):
            raise OptionError(
                f"RandomTint: strength and p must lie in [0, 1], got {strength} and {p}"
            )
        self.strength, self.p = strength, p

    def __call__(self, image: Image, rng: np.random.Generator) -> Image:
        if rng.random() >= self.p:
            return image
        span = self.strength
        hue = math.pi * rng.uniform(-span, span)
        saturation, contrast = 1 + rng.uniform(-span, span), 1 + rng.uniform(-span, span) / 2
        brightness = rng.uniform(-span, span) / 4
        if len(image) == 3:
            image = turned_hue(image, hue, saturation)
        mean = image.mean()
        tinted: Image = np.float32(contrast) * (image - mean) + (mean + np.float32(brightness))
        return tinted

    def __repr__(self) -> str:
        return f"RandomTint({self.strength}, p={self.p})"


def turned_hue(image: Image, angle: float, saturation: float = 1.0) -> Image:
    """Return a picture in red, green and blue with every hue turned by an angle.

    Examples
    --------
    >>> red = np.array([1.0, 0.0, 0.0], np.float32).reshape(3, 1, 1)
    >>> turned_hue(red, 2 * math.pi / 3).round(3).ravel() + 0  # green
    array([0., 1., 0.], dtype=float32)
    """
    turn = math.cos(angle) * (np.eye(3) - GREY) + math.sin(angle) * ROUND
    turned: Image = np.tensordot((GREY + saturation * turn).astype(np.float32), image, 1)
    return turned
