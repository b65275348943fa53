"""A map of numbers as colours, alone or over a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.data.transforms import resize
from minigrad.errors import OptionError, ShapeError

__all__ = ["heat", "overlay"]

# From black over red and yellow to white, as metal when it is heated.
STOPS = np.array([0.0, 0.35, 0.75, 1.0])
COLOURS = np.array([[0, 0, 0], [0.85, 0.1, 0.05], [1, 0.85, 0.2], [1, 1, 1]])


def heat(values: Any) -> NDArray[np.uint8]:
    """Return a map (H, W) as RGB pixels (H, W, 3): 0 black, the largest value white.

    Examples
    --------
    >>> import numpy as np
    >>> heat(np.array([[0.0, 2.0]])).tolist()
    [[[0, 0, 0], [255, 255, 255]]]
    """
    share = _share(values)
    channels = [np.interp(share, STOPS, COLOURS[:, c]) for c in range(3)]
    return (255 * np.stack(channels, axis=-1)).round().astype(np.uint8)


def overlay(image: Any, values: Any, strength: float = 0.6) -> NDArray[np.uint8]:
    """Lay a map over a picture: the picture in grey, in colour where the map is large.

    Parameters
    ----------
    image : array (C, H, W)
        In [0, 1]; C = 1 or 3.
    values : array (h, w)
        Not negative; scaled to the size of the picture.
    strength : float, default 0.6
        Share of the colour where the map is largest.

    Returns
    -------
    array (H, W, 3) of uint8

    Examples
    --------
    >>> import numpy as np
    >>> overlay(np.zeros((1, 4, 4)), np.eye(2)).shape
    (4, 4, 3)
    """
    pixels = np.asarray(image, dtype=np.float32)
    if pixels.ndim != 3 or pixels.shape[0] not in (1, 3):
        raise ShapeError(f"overlay: the image must be (1 or 3, H, W), got {pixels.shape}")
    if not 0 <= strength <= 1:
        raise OptionError(f"overlay: strength must lie between 0 and 1, got {strength}")
    share = _share(values)
    share = np.clip(resize(share[None].astype(np.float32), pixels.shape[1:])[0], 0, 1)
    grey = np.clip(pixels, 0, 1).mean(0)[..., None]
    weight = (strength * share)[..., None]
    mixed = grey * (1 - weight) + weight * heat(share) / 255
    painted: NDArray[np.uint8] = (255 * mixed).round().astype(np.uint8)
    return painted


def _share(values: Any) -> NDArray[np.float64]:
    """Return a map as shares of its largest value."""
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 2:
        raise ShapeError(f"a map must be (H, W), got {array.shape}")
    if not array.min() >= 0:
        raise OptionError(f"a map must not be negative or NaN, its least value is {array.min()}")
    top = array.max()
    return array / top if top > 0 else array
