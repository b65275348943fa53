"""Repeated: a small data set that is shown several times in an epoch."""

from __future__ import annotations

from typing import Any

from minigrad.data.dataset import Dataset, length_of, whole_number

__all__ = ["Repeated"]


class Repeated:
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
        length_of("Repeated", dataset)
        self.dataset, self.times = dataset, whole_number("Repeated: times", times, 1)
        self.classes: tuple[str, ...] = getattr(dataset, "classes", ())

    def __len__(self) -> int:
        return self.times * len(self.dataset)

    def __getitem__(self, index: int, /) -> Any:
        return self.dataset[index % len(self.dataset)]

    def __repr__(self) -> str:
        return f"Repeated({self.dataset!r}, {self.times})"
