"""Ranks as threads of one process: what groups do, without MPI."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from minigrad.distributed import Group, Work

__all__ = ["together"]


class Table:
    """Where the threads meet: everybody lays something down, then everybody looks."""

    def __init__(self, size: int) -> None:
        self.barrier, self.places = threading.Barrier(size), [None] * size

    def exchange(self, rank: int, value: Any) -> list[Any]:
        self.places[rank] = value
        self.barrier.wait()
        found = list(self.places)
        self.barrier.wait()
        return found


class Thread(Group):
    def __init__(self, rank: int, table: Table) -> None:
        self.rank, self.table, self.size = rank, table, len(table.places)
        self.sent: list[int] = []  # sizes of what was summed, in order

    def all_gather(self, value: Any) -> list[Any]:
        return self.table.exchange(self.rank, value)

    def all_reduce(self, array: Any) -> Work:
        self.sent.append(array.size)
        first, *others = self.all_gather(array.copy())
        for other in others:
            first = first + other
        array[...] = first
        return Work()

    def broadcast(self, array: Any, root: int = 0) -> None:
        array[...] = self.all_gather(array.copy())[root]


def together(size: int, function: Callable[[Thread], Any]) -> list[Any]:
    """Call ``function(group)`` on every rank; return what each gave."""
    table = Table(size)

    def call(rank: int) -> Any:
        try:
            return function(Thread(rank, table))
        except BaseException:
            table.barrier.abort()  # nobody waits for this one
            raise

    with ThreadPoolExecutor(size) as pool:
        futures = [pool.submit(call, rank) for rank in range(size)]
    errors = [error for future in futures if (error := future.exception())]
    for error in sorted(errors, key=lambda e: isinstance(e, threading.BrokenBarrierError)):
        raise error  # the cause before those who waited
    return [future.result() for future in futures]
