"""Peers that take turns: each framework in a process of its own, one call each per round.

A change of the machine's speed meets all of them, and nothing that one of them leaves behind
(threads that spin, memory, settings) touches another. A worker makes its peer, runs it twice, and
then once for every line it reads, answering with what that took.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.machine import busy, memory_now, memory_peak
from minigrad.errors import MinigradError

Options = dict[str, Any]
Run = Callable[[], Any]
PAUSE = 0.1  # seconds in which threads that wait, spinning, give up


def serve(make: Callable[[], Run], threads: int, warm: int = 2) -> None:
    """Be a worker: run what `make` returns, `warm` times at first, then once per line read.

    With one thread the clock is that of the process, which other programs hardly disturb.
    """
    clock = time.process_time if threads == 1 else time.perf_counter
    run = make()
    before = memory_now()
    values = [run() for _ in range(warm)]
    first = np.ravel(values[0])[:10].tolist() if values else []
    ready = {"result": first, "before_mb": before, "cpu": time.process_time()}
    print(json.dumps(ready), flush=True)
    for _ in sys.stdin:
        start = clock()
        value = run()
        seconds = clock() - start
        answer = {"seconds": seconds, "peak_mb": memory_peak(), "cpu": time.process_time()}
        if np.size(value) == 1:
            answer["value"] = float(np.ravel(value)[0])
        print(json.dumps(answer), flush=True)


class Worker:
    """A process that makes its peer, says when it is warm, and runs it when asked."""

    def __init__(self, module: str, words: list[str], environment: Mapping[str, str]) -> None:
        self.what = " ".join(words[:2])
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            [sys.executable, "-m", module, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self.errors, text=True, env={**os.environ, **environment},
        )  # fmt: skip
        self.turns: list[dict[str, float]] = []
        self.ready = self._answer()

    def take_turn(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.turns.append(self._answer())

    def close(self) -> None:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        self.errors.close()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        self.errors.seek(0)
        last = "\n".join(self.errors.read().splitlines()[-15:])
        self.close()
        raise MinigradError(f"the worker of {self.what} ended; the last it said was\n{last}")


def environment(threads: int) -> dict[str, str]:
    """Return the variables that limit every framework to `threads` threads."""
    names = ("OMP", "OPENBLAS", "MKL", "NUMBA")
    limits = {f"{name}_NUM_THREADS": str(threads) for name in names}
    return limits | {"TORCHINDUCTOR_COMPILE_THREADS": "1"}  # compiles in the process itself


def middle(values: list[float]) -> dict[str, float]:
    """Return median and quartiles.

    Examples
    --------
    >>> middle([4.0, 1.0, 3.0, 2.0, 5.0])
    {'median': 3.0, 'low': 2.0, 'high': 4.0}
    """
    low, high = values[0], values[0]
    if len(values) > 1:
        low, _, high = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": statistics.median(values), "low": low, "high": high}


def take_turns(
    workers: Mapping[str, Worker], rounds: int, at_most: Mapping[str, int] | None = None
) -> float | None:
    """Let every worker run once per round, some in the first rounds only.

    Return the share of the processors that other programs had meanwhile, None if it is not known.
    """
    watch = Others()
    for number in range(rounds):
        for name, worker in workers.items():
            if number < (at_most or {}).get(name, rounds):
                time.sleep(PAUSE)
                worker.take_turn()
    return watch.share(sum(w.turns[-1]["cpu"] - w.ready["cpu"] for w in workers.values()))


class Others:
    """Watches how much of the processors other programs have, from its making on."""

    def __init__(self) -> None:
        self.start = self._now()

    def share(self, workers: float = 0.0) -> float | None:
        """Return the share; `workers` is what our other processes had, in processor seconds."""
        (start, own, busy), (end, own_end, busy_end) = self.start, self._now()
        if busy is None or busy_end is None:
            return None
        others = busy_end - busy - (own_end - own) - workers
        return max(0.0, others / ((end - start) * len(os.sched_getaffinity(0))))

    @staticmethod
    def _now() -> tuple[float, float, float | None]:
        return time.perf_counter(), time.process_time(), busy()
