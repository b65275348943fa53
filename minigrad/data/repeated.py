"""Repeated: a small data set that is shown several times in an epoch."""

from __future__ import annotations

import numpy as np

from minigrad.data.dataset import Dataset, Subset, length_of, whole_number

__all__ = ["Repeated"]


class Repeated(Subset):
    """Every sample of a data set so many times, with a number for each, and so with other chances.

    Parameters
    ----------
    dataset : Dataset
        The samples.
    times : int
        How often each comes.

    Examples
    --------
    >>> import minigrad as mg
    >>> len(Repeated(mg.data.digits(), 3)) == 3 * len(mg.data.digits())
    True
    """

    def __init__(self, dataset: Dataset, times: int) -> None:
        self.times = whole_number("Repeated: times", times, 1)
        super().__init__(dataset, np.tile(np.arange(length_of("Repeated", dataset)), self.times))

    def __repr__(self) -> str:
        return f"Repeated({self.dataset!r}, {self.times})"
