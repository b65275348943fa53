"""RandomAffine: turn, zoom, shift and mirror a picture at random, in one interpolation."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from minigrad.data.dataset import Image
from minigrad.errors import OptionError, ShapeError
from minigrad.loading import check_numbers

__all__ = ["RandomAffine"]


class RandomAffine:
    r"""Turn, zoom and shift a picture at random; what comes in from outside continues its edge.

    Parameters
    ----------
    degrees : float, default 0
        Largest turn, either way.
    zoom : float, default 0
        Largest zoom z: sides become up to 1 + z times larger or smaller, each direction with a
        factor of its own within a third of that, and the middle moves by up to z / 2 of a side.
    p : float, default 1
        How often; other pictures stay as they are.

    Notes
    -----
    A pixel of the result is taken from the place

    .. math:: A (p - c) + c + t

    of the picture, with the turn and the zooms in A, the middle c and the shift t, and
    interpolated between the four around it.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> RandomAffine(degrees=180, zoom=0.3)(np.ones((3, 8, 8), np.float32), rng).shape
    (3, 8, 8)
    """

    def __init__(self, degrees: float = 0.0, zoom: float = 0.0, p: float = 1.0) -> None:
        check_numbers("RandomAffine", degrees=degrees, zoom=zoom, p=p)
        if not (0 <= degrees <= 180 and 0 <= zoom < math.inf and 0 <= p <= 1):
            raise OptionError(
                "RandomAffine: degrees must lie in [0, 180], zoom be 0 or more, and p lie in "
                f"[0, 1]; got degrees={degrees}, zoom={zoom}, p={p}"
            )
        self.degrees, self.zoom, self.p = degrees, zoom, p

    def __call__(self, image: Image, rng: np.random.Generator) -> Image:
        if image.ndim != 3:
            raise ShapeError(f"RandomAffine: a picture is (C, H, W), got shape {image.shape}")
        if rng.random() >= self.p:
            return image
        angle = math.radians(rng.uniform(-self.degrees, self.degrees))
        reach = math.log1p(self.zoom)
        zoom = math.exp(rng.uniform(-reach, reach))
        aspect = math.exp(rng.uniform(-reach, reach) / 6)
        turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        matrix = turn @ np.diag([aspect, 1 / aspect]) / zoom
        shift = rng.uniform(-self.zoom / 2, self.zoom / 2, 2) * image.shape[1:]
        return _moved(image, matrix, shift)

    def __repr__(self) -> str:
        return f"RandomAffine(degrees={self.degrees}, zoom={self.zoom}, p={self.p})"


def _moved(image: Image, matrix: NDArray[np.float64], shift: NDArray[np.float64]) -> Image:
    channels, height, width = image.shape
    last = np.array([[height - 1], [width - 1]])
    middle = last / 2
    grid = np.indices((height, width)).reshape(2, -1)
    places = matrix @ (grid - middle) + middle + shift[:, None]
    places = np.clip(places, 0, last)
    corner = np.minimum(places.astype(np.int64), np.maximum(last - 1, 0))
    down, right = (places - corner).astype(np.float32)
    below, beside = (width if height > 1 else 0), (1 if width > 1 else 0)
    pixels, first = image.reshape(channels, -1), corner[0] * width + corner[1]
    upper = pixels[:, first] * (1 - right) + pixels[:, first + beside] * right
    first += below
    lower = pixels[:, first] * (1 - right) + pixels[:, first + beside] * right
    moved: Image = upper * (1 - down) + lower * down
    return moved.reshape(image.shape)
