"""The handwritten digits that come with the package: 1,797 grey images of 8×8.

Source: E. Alpaydin and C. Kaynak, "Optical Recognition of Handwritten Digits", UCI Machine
Learning Repository, 1998, https://doi.org/10.24432/C50P49, licensed CC BY 4.0
(https://creativecommons.org/licenses/by/4.0/). ``digits.npz`` holds the test part of that set,
the same 1,797 images as scikit-learn's ``load_digits``, as unchanged pixel values 0 to 16.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np

from minigrad.data.dataset import ArrayDataset, Dataset, random_split
from minigrad.data.npy import read_npz
from minigrad.data.source import ImageSpec, Source, Split

__all__ = ["digits"]


@cache
def _all() -> ArrayDataset:
    arrays = read_npz(Path(__file__).with_name("digits.npz"))
    images, labels = arrays["images"], arrays["labels"]
    return ArrayDataset((images / np.float32(16))[:, None].astype(np.float32), labels)


def digits(train: bool | None = None, *, held_out: float = 0.2, seed: int = 0) -> Dataset:
    """Return the embedded handwritten digits; nothing is downloaded.

    Parameters
    ----------
    train : bool, optional
        True for the images to train on, False for the held-out ones, None for all 1,797.
    held_out : float, default 0.2
        Fraction that is held out.
    seed : int, default 0
        Chooses which images are held out. The 13 writers appear in both parts.

    Returns
    -------
    Dataset
        Images (1, 8, 8) in [0, 1], labels 0 to 9.

    Examples
    --------
    >>> import minigrad as mg
    >>> image, label = mg.data.digits()[0]
    >>> image.shape, label, len(mg.data.digits(train=False))
    ((1, 8, 8), 0, 360)
    """
    if train is None:
        return _all()
    return random_split(_all(), [1 - held_out, held_out], seed)[0 if train else 1]


def _split(download: bool) -> Split:
    names = tuple(map(str, range(10)))
    train, test = digits(train=True), digits(train=False)
    return Split(train, test, ImageSpec(names, 1, 8, (0.3053,), (0.3760,)))


SOURCE = Source(
    "digits",
    "1,797 grey 8x8 handwritten digits, 1,437 to train on",
    "CC BY 4.0, UCI (Alpaydin, Kaynak 1998)",
    lambda: "comes with minigrad",
    _split,
)
