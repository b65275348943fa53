"""Tasks that threads take one by one: a core that is held up takes fewer.

``prange`` gives every thread its share beforehand, and in the end all wait for the slowest. A loop
whose tasks take long is written

    for _thread in prange(tasks.threads):
        task = take(tasks)
        while task < count:
            ...
            task = take(tasks)

with ``Tasks.new()`` among its arguments. No result may depend on who has a task.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from minigrad.kernels.cpu.compile import threads
from minigrad.kernels.cpu.simd import pointers

__all__ = ["Tasks", "take"]


class Tasks(NamedTuple):
    """The tasks of one run of a loop."""

    threads: int  # that take them
    taken: Any  # how many are taken: (1,)

    @classmethod
    def new(cls) -> Tasks:
        return cls(threads(), np.zeros(1, np.int64))


@intrinsic
def take(typing: Any, tasks: Any) -> Any:
    """Return the number of the next task, which no other thread gets."""

    def write(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _, taken = pointers(context, builder, signature, arguments)
        return builder.atomic_rmw("add", taken, ir.Constant(ir.IntType(64), 1), "monotonic")

    return types.int64(tasks), write
