"""Group: the ranks that train together, and the few things that they say to one another."""

from __future__ import annotations

from typing import Any, NoReturn

__all__ = ["Group", "Work"]


class Work:
    """A sum that is under way; this one is done already."""

    def test(self) -> bool:
        """Give the sum a moment to move on; return whether it is done."""
        return True

    def wait(self) -> None:
        """Return when the sum is done."""


class Group:
    """The ranks of a run. This one is a process alone; `minigrad.distributed.init` finds others.

    All ranks call the same methods in the same order: each call is one conversation of all of them.

    Attributes
    ----------
    rank : int
        Number of this process among the ranks, from 0 on.
    size : int
        How many ranks there are.
    local_rank : int
        Number of this process among those of its machine: that of its GPU.

    Examples
    --------
    >>> group = Group()
    >>> group.rank, group.size, group.all_gather("mine")
    (0, 1, ['mine'])
    """

    rank = local_rank = 0
    size = 1

    def all_reduce(self, array: Any) -> Work:
        """Start to sum an array over all ranks, in place; it is left alone until the sum is done.

        On CPUs the ranks' arrays are added in the order of their numbers, one after the other, so
        the sum has the same bits on all ranks and in every run.
        """
        return Work()

    def broadcast(self, array: Any, root: int = 0) -> None:
        """Fill the array with that of rank `root`."""

    def all_gather(self, value: Any) -> list[Any]:
        """Return the values of all ranks, any small objects, in the order of the ranks."""
        return [value]

    def duplicate(self) -> Group:
        """Return a group of the same ranks, whose conversations have an order of their own."""
        return self

    def abort(self, status: int) -> NoReturn:
        """End all ranks at once; whatever started them returns the status."""
        raise SystemExit(status)

    def __deepcopy__(self, memo: Any) -> Group:
        return self  # a copy of a model talks to the same ranks
