"""Sums of arrays on GPUs, by NCCL through CuPy.

There was no machine with two GPUs to run this on: it is tested against a stand-in that records what
it is asked.
"""

from __future__ import annotations

from typing import Any

from minigrad import backend
from minigrad.distributed.group import Group, Work

__all__ = ["NCCL"]

TYPES = {  # NCCL's numbers of element types
    "int8": 0, "uint8": 1, "int32": 2, "uint32": 3, "int64": 4, "uint64": 5, "float16": 6,
    "float32": 7, "float64": 8, "bfloat16": 9,
}  # fmt: skip
SUM = 0


class NCCL:
    """The GPUs of a group: each rank's current one.

    The sums have a stream of their own, so that backward computes on meanwhile. NCCL chooses the
    order in which it adds.
    """

    def __init__(self, group: Group) -> None:
        nccl = backend.nccl()
        (name, *_) = group.all_gather(nccl.get_unique_id() if group.rank == 0 else None)
        self._ranks = nccl.NcclCommunicator(group.size, name, group.rank)
        self._stream = backend.new_stream()

    def all_reduce(self, array: Any) -> Work:
        """Start to sum a contiguous array over the GPUs, in place."""
        self._stream.wait_event(backend.current_stream().record())
        address, kind = backend.address(array), TYPES[array.dtype.name]
        self._ranks.allReduce(address, address, array.size, kind, SUM, self._stream.ptr)
        return _Sum(self._stream.record())


class _Sum(Work):
    def __init__(self, event: Any) -> None:
        self._event = event

    def test(self) -> bool:
        return bool(self._event.done)

    def wait(self) -> None:
        backend.current_stream().wait_event(self._event)  # the GPU waits, Python does not
