"""Ranks that MPI connects: launch, control, and sums of arrays on the CPU."""

from __future__ import annotations

import atexit
import os
import pickle
import sys
import time
from collections import deque
from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from minigrad.backend import device_of, to_device
from minigrad.distributed.group import Group, Work
from minigrad.distributed.nccl import NCCL
from minigrad.errors import MinigradError, missing_extra

__all__ = ["MPIGroup", "world"]

PAUSE = 5e-5  # seconds between two looks: whoever waits leaves the core to those who compute


def world() -> MPIGroup:
    """Return the group of all ranks that MPI's launcher has started."""
    try:
        from mpi4py import MPI
    except ImportError:
        raise missing_extra("mpi4py", "ranks") from None
    except RuntimeError as error:  # the MPI library itself is missing
        raise missing_extra(f"an MPI library ({str(error).splitlines()[0]})", "ranks") from None
    local = MPI.COMM_WORLD.Split_type(MPI.COMM_TYPE_SHARED).rank
    gpus = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")
    if local < len(gpus) or gpus == [""]:  # "cuda" is another GPU for each rank of a machine
        os.environ["CUDA_VISIBLE_DEVICES"] = str(local) if gpus == [""] else gpus[local]
    return MPIGroup(MPI.COMM_WORLD, local, _Farewells(MPI.COMM_WORLD.Dup(), MPI.Status()))


class _Farewells:
    """Who has ended, after how many conversations.

    MPI would let the others wait forever for a rank whose program has ended. So it tells them, and
    whoever has begun more conversations than it ever will knows that one of them has no end.
    """

    def __init__(self, comm: Any, status: Any) -> None:
        self.comm, self._status = comm, status
        self.begun = 0  # conversations of this rank, in all groups
        self._told = np.empty(1, np.int64)
        self._gone: dict[int, int] = {}
        atexit.register(self.say)

    def say(self) -> None:
        """Tell the others that this was all."""
        self._told[0] = self.begun
        for rank in range(self.comm.size):
            if rank != self.comm.rank:
                self.comm.Isend(self._told, rank)

    def heed(self) -> None:
        """Raise if somebody has left without whom this rank would wait forever."""
        if self.comm.Iprobe(status=self._status):
            source, count = self._status.Get_source(), np.empty(1, np.int64)
            self.comm.Recv(count, source)
            self._gone[source] = int(count[0])
        for rank, begun in self._gone.items():
            if begun < self.begun:
                raise MinigradError(
                    f"rank {rank} has ended, and the others wait for it: all ranks take the same "
                    "steps; none may leave before the last one"
                )


class MPIGroup(Group):
    """The ranks of an MPI communicator.

    A sum goes in two conversations. In the first every rank sends each other rank that one's share
    of the array; it adds the n shares that it has got in the order of the ranks. In the second the
    sums go to everybody. This moves as many bytes as a ring does, and as nothing is left to MPI but
    moving bytes, the order of the sum is ours and any element type will do. MPI moves only while it
    is asked, hence `Work.test`.
    """

    def __init__(self, comm: Any, local_rank: int, farewells: _Farewells) -> None:
        self.rank, self.size, self.local_rank = comm.rank, comm.size, local_rank
        self._farewells = farewells
        # The ranks reach a second conversation at different times: it has a communicator, and so
        # an order, of its own.
        self._comm, self._spread, self._collect = comm, comm.Dup(), comm.Dup()
        self._sums: deque[_Sum] = deque()
        self._nccl: NCCL | None = None

    def all_reduce(self, array: Any) -> Work:
        if not isinstance(array, np.ndarray):
            if self._nccl is None:
                self._nccl = NCCL(self)
            return self._nccl.all_reduce(array)
        self._farewells.begun += 1
        work = _Sum(self, array)
        self._sums.append(work)
        return work

    def broadcast(self, array: Any, root: int = 0) -> None:
        buffer = np.ascontiguousarray(to_device(array, "cpu"))
        self._finish(self._comm.Ibcast(_bytes(buffer), root))
        if self.rank != root:
            array[...] = to_device(buffer, str(device_of(array)))

    def all_gather(self, value: Any) -> list[Any]:
        mine = np.frombuffer(pickle.dumps(value, protocol=5), np.uint8)
        sizes = np.empty(self.size, np.int64)
        self._finish(self._comm.Iallgather(np.array([mine.size]), sizes))
        ends = np.cumsum(sizes)
        everything = np.empty(ends[-1], np.uint8)
        self._finish(self._comm.Iallgatherv(mine, [everything, sizes, ends - sizes, _byte()]))
        return [pickle.loads(part.tobytes()) for part in np.split(everything, ends[:-1])]

    def duplicate(self) -> MPIGroup:
        return MPIGroup(self._comm.Dup(), self.local_rank, self._farewells)

    def abort(self, status: int) -> NoReturn:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)  # the launcher ends the others; MPI_Abort would add words of its own

    def wait(self, done: Callable[[], bool]) -> None:
        """Return when something is done that the other ranks have a part in."""
        while not done():
            self._farewells.heed()
            time.sleep(PAUSE)

    def _finish(self, request: Any) -> None:
        """Have one conversation."""
        self._farewells.begun += 1
        self.wait(request.Test)

    def move(self) -> None:
        """Give the sums under way a moment; second conversations start in the order of the sums."""
        for work in self._sums:
            if not work.move():
                break
        while self._sums and self._sums[0].done:
            self._sums.popleft()


class _Sum(Work):
    """A sum under way: `parts` are the shares of this rank's array, `got` everybody's of ours."""

    def __init__(self, group: MPIGroup, array: NDArray[Any]) -> None:
        self.group, self.array = group, array
        share = -(-array.size // group.size)
        self.parts = np.zeros((group.size, share), array.dtype)
        self.parts.reshape(-1)[: array.size] = array.reshape(-1)
        self.got = np.empty_like(self.parts)
        self.total: NDArray[Any] | None = None
        self.done = False
        self.request = group._spread.Ialltoall(_bytes(self.parts), _bytes(self.got))

    def move(self) -> bool:
        """Go on as far as possible; return whether the second conversation has begun."""
        if not self.request.Test():
            return self.total is not None
        if self.total is None:
            self.total = self.got[0]
            for part in self.got[1:]:
                self.total += part
            self.request = self.group._collect.Iallgather(_bytes(self.total), _bytes(self.parts))
        elif not self.done:
            self.array[...] = self.parts.reshape(-1)[: self.array.size].reshape(self.array.shape)
            self.done = True
        return True

    def test(self) -> bool:
        self.group.move()
        return self.done

    def wait(self) -> None:
        self.group.wait(self.test)


def _bytes(array: NDArray[Any]) -> list[Any]:
    """Return what MPI is told of a contiguous array: where its bytes are."""
    return [array.reshape(-1).view(np.uint8), _byte()]


def _byte() -> Any:
    from mpi4py import MPI

    return MPI.BYTE
