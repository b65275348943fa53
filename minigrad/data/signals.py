"""Signals: MNIST-1D, and reading one from a file.

MNIST-1D (Greydanus, Kobak, "Scaling down deep learning with MNIST-1D", 2024) draws the ten digits
as short curves, shifted, sheared and noisy. The package ``mnist1d`` (Apache-2.0) computes it from a
seed, so nothing is downloaded and everybody has the same numbers.
"""

from __future__ import annotations

import random
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.data.dataset import ArrayDataset, Dataset, Image
from minigrad.data.npy import read_npy
from minigrad.data.source import ImageSpec, Source, Split
from minigrad.errors import DataError, missing_extra

__all__ = ["find_mnist1d", "mnist1d", "read_signal"]


def find_mnist1d() -> str | None:
    """Return what computes the data on this machine; None where the package is missing."""
    return "computed by the package mnist1d" if find_spec("mnist1d") else None


@cache
def _all() -> dict[str, Any]:
    try:
        from mnist1d.data import get_dataset_args, make_dataset
    except ImportError:
        raise missing_extra("mnist1d", "signals") from None
    kept = random.getstate(), np.random.get_state()  # noqa: NPY002  (the package seeds them)
    try:
        made: dict[str, Any] = make_dataset(get_dataset_args())
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])  # noqa: NPY002
    return made


def mnist1d(train: bool = True) -> Dataset:
    """Return MNIST-1D: 4,000 signals to train on, or the 1,000 held-out ones.

    Parameters
    ----------
    train : bool, default True
        Which part, as the package divides them.

    Returns
    -------
    Dataset
        Signals (1, 40) of mean 0 and standard deviation 1, labels 0 to 9.

    Raises
    ------
    MissingExtra
        If the package ``mnist1d`` is missing.
    """
    part = "" if train else "_test"
    signals = _all()[f"x{part}"][:, None].astype(np.float32)
    return ArrayDataset(signals, _all()[f"y{part}"], tuple(map(str, range(10))))


def read_signal(path: str | Path, channels: int, length: int) -> Image:
    """Read a signal as float32 (C, L) from a ``.npy`` array of shape (C, L) or (L,).

    Raises
    ------
    DataError
        If the file is missing or damaged, or its shape is another.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "signal.npy")
    >>> np.save(path, np.zeros(40))
    >>> read_signal(path, 1, 40).shape
    (1, 40)
    """
    values = read_npy(path)
    if values.ndim == 1:
        values = values[None]
    if values.shape != (channels, length) or values.dtype.kind not in "iuf":
        raise DataError(
            f"{path}: the model takes signals of shape ({channels}, {length}), this is "
            f"{values.dtype} of {values.shape}"
        )
    signal: Image = values.astype(np.float32)
    return signal


def _split(download: bool) -> Split:
    train, test = mnist1d(train=True), mnist1d(train=False)
    names = tuple(map(str, range(10)))
    return Split(train, test, ImageSpec(names, 1, 40, (0.0,), (1.0,), spatial_dims=1))


SOURCE = Source(
    "mnist1d",
    "5,000 signals of length 40 that draw digits, 4,000 to train on",
    "Apache-2.0 (Greydanus, Kobak 2024)",
    find_mnist1d,
    _split,
    "pip install 'minigrad[signals]'",
)
