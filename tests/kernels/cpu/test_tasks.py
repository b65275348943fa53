"""Work is cut between the panels of packed matrices, and every task is done once."""

from __future__ import annotations

from typing import Any

import numba
import numpy as np
import pytest

from minigrad.kernels.cpu.arrays import lanes
from minigrad.kernels.cpu.gemm import panel_width
from minigrad.kernels.cpu.mlp_backward import pieces
from minigrad.kernels.cpu.tasks import Tasks, take


@numba.njit(parallel=True)
def _count(done: Any, tasks: Any) -> None:
    for _thread in numba.prange(tasks.threads):
        task = take(tasks)
        while task < len(done):
            done[task] += 1
            task = take(tasks)


def test_every_task_is_taken_once() -> None:
    done = np.zeros(1000, np.int64)
    _count(done, Tasks.new())
    assert (done == 1).all()


@pytest.mark.parametrize(
    ("hidden", "chunk"), [(384, 384), (1536, 384), (100, 100), (800, 336), (33, 33)]
)
def test_weights_are_cut_between_panels(hidden: int, chunk: int) -> None:
    lane = lanes(np.dtype(np.float32))
    cuts = pieces(hidden, chunk).tolist()
    assert [j + width for j, width in cuts] == [j for j, _ in cuts[1:]] + [hidden]
    panels = set()
    for k in range(0, hidden, chunk):
        j, end = k, min(k + chunk, hidden)
        while j < end:
            panels.add(j)
            j += panel_width.py_func(end - j, lane)
    assert panels >= {j for j, _ in cuts}
