"""Mono: a picture in one channel, along the colours in which it differs most."""

from __future__ import annotations

import numpy as np

from minigrad.data.dataset import Image
from minigrad.errors import ShapeError, brief

__all__ = ["mono"]

LEAST = 0.02  # added to the deviation: noise in an even picture is not made large


def mono(image: Image) -> Image:
    """Return a picture in one channel, in which its colours are as far from each other as they are.

    Two pictures that differ in their colours alone, or in which is the darker one, become the same.

    Parameters
    ----------
    image : array (C, H, W)
        Pixels from 0 to 1.

    Returns
    -------
    array (1, H, W)
        The first principal component of the colours, with mean 0 and deviation 1; the rarer side
        is above 0.

    Examples
    --------
    >>> red_on_blue = np.zeros((3, 2, 2), np.float32)
    >>> red_on_blue[2], red_on_blue[:, 0, 0] = 1, (1, 0, 0)
    >>> mono(red_on_blue).round(1).ravel()
    array([ 1.7, -0.6, -0.6, -0.6], dtype=float32)
    """
    if not isinstance(image, np.ndarray) or image.ndim < 2:
        raise ShapeError(f"mono: a picture is an array (C, H, W), got {brief(image)}")
    colours = image.reshape(len(image), -1).astype(np.float64)
    colours -= colours.mean(1, keepdims=True)
    _, axes = np.linalg.eigh(colours @ colours.T)
    grey = axes[:, -1] @ colours
    grey /= grey.std() + LEAST
    if (grey**3).sum() < 0:
        grey = -grey
    flat: Image = grey.astype(np.float32)
    return flat.reshape(1, *image.shape[1:])
