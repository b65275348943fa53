"""How the stand-in runs an operation: what it counts, what it refuses, what a graph records.

A real GPU works through a queue while Python goes on. Whatever makes Python wait for it counts as
a synchronisation here. Inside a stream capture nothing is executed: operations are noted, fresh
results are filled with NaN, and anything that waits or copies from the host raises.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np


class CUDARuntimeError(RuntimeError):
    """The stand-in of ``cupy.cuda.runtime.CUDARuntimeError``."""


class Counts:
    """What happened since the beginning of a `counting` block."""

    def __init__(self) -> None:
        self.synchronisations: list[str] = []
        self.uploads: list[str] = []  # copies from the host
        self.launches = 0


class State(threading.local):
    """What a thread is doing."""

    null: Any = None  # the default stream, set by `devices`

    def __init__(self) -> None:
        self.counting: list[Counts] = []
        self.stream = self.null
        self.device = 0


state = State()


@contextmanager
def counting() -> Iterator[Counts]:
    """Count synchronisations, uploads and launches of this thread inside the block."""
    counts = Counts()
    state.counting.append(counts)
    try:
        yield counts
    finally:
        state.counting.remove(counts)


@contextmanager
def synchronisations() -> Iterator[list[str]]:
    """Give the list of what waited for the device inside the block."""
    with counting() as counts:
        yield counts.synchronisations


def synchronise(what: str) -> None:
    """Note that Python waits for the device."""
    if capturing() is not None:
        raise CUDARuntimeError(
            f"cudaErrorStreamCaptureUnsupported: {what} waits for the device, and a capture "
            "does not run"
        )
    for counts in state.counting:
        counts.synchronisations.append(what)


def upload(what: str) -> None:
    """Note a copy from the host."""
    if capturing() is not None:
        raise CUDARuntimeError(
            f"cudaErrorStreamCaptureUnsupported: {what} copies from the host, whose memory is "
            "another's when the graph is replayed"
        )
    for counts in state.counting:
        counts.uploads.append(what)


def capturing() -> list[Callable[[], None]] | None:
    """Return the list of the capture on the current stream, or None."""
    nodes: list[Callable[[], None]] | None = state.stream.nodes
    if nodes is None and state.stream.is_null and type(state.stream).captures:
        raise CUDARuntimeError(
            "cudaErrorStreamCaptureImplicit: work on the default stream while another captures"
        )
    return nodes


def execute(work: Callable[[], None]) -> None:
    """Do something that changes device memory; in a capture only note it."""
    for counts in state.counting:
        counts.launches += 1
    nodes = capturing()
    if nodes is None:
        work()
    else:
        nodes.append(work)


def compute(f: Callable[..., Any], args: Any, kwargs: Any, owned: Callable[[Any], bool]) -> Any:
    """Return ``f(*args, **kwargs)`` on NumPy arrays; in a capture, results without their values."""
    for counts in state.counting:
        counts.launches += 1
    nodes = capturing()
    if nodes is None:
        return f(*args, **kwargs)
    with np.errstate(all="ignore"):
        results = f(*args, **kwargs)
    several = results if isinstance(results, (tuple, list)) else (results,)
    if any(not owned(np.asarray(r)) for r in several):  # a view: made on the host, nothing runs
        return results
    # Memory of their own, or who wraps them would copy what only the launches fill.
    fresh = [np.array(r, order="K") for r in several]

    def again() -> None:
        values = f(*args, **kwargs)
        values = values if isinstance(values, (tuple, list)) else (values,)
        for out, value in zip(fresh, values, strict=True):
            out[...] = value

    nodes.append(again)
    for r in fresh:
        r.fill(np.nan if r.dtype.kind in "fV" else 0)
    if isinstance(results, (tuple, list)):
        return tuple(fresh)
    return fresh[0]
