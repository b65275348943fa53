"""The one way to compare: peers take turns, in an order that is drawn anew every round.

A change of the machine's speed meets all of them, and who comes after whom, which alone can change
a ratio by half, evens out. Single operations take turns in one process (`by_turns`). Networks have
a process each, so that nothing that one leaves behind (threads that spin, memory, settings) touches
another: a worker makes its peer, runs it twice, and then takes a turn for every line it reads. In
a turn the first call follows a pause, and the next ones a call: both are told, since a program
that answers one request at a time and one that works through a folder ask different questions.
"""

from __future__ import annotations

import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.machine import memory_now, memory_peak, processor_seconds
from minigrad.errors import MinigradError

Options = dict[str, Any]
Run = Callable[[], Any]
Clock = Callable[[], float]
now: Clock = time.perf_counter
PAUSE = 0.1  # seconds in which threads that wait, spinning, give up
CALLS = 3  # of a turn in a tight loop, after the one that follows the pause
DISTURBED = 0.03  # share of the processors that other programs may have …
TRIES = 2  # … else a round is taken again, until there are so many times more than wanted


def orders(names: Iterable[Any], seed: int = 0) -> Iterator[list[Any]]:
    """Yield the names in a new order for every round; the same orders in every run.

    Examples
    --------
    >>> rounds = orders("abcd")
    >>> sorted(next(rounds)) == sorted(next(rounds)) == ["a", "b", "c", "d"]
    True
    >>> len({tuple(next(rounds)) for _ in range(200)})  # all 24 come
    24
    """
    names, draw = list(names), random.Random(seed)
    while True:
        yield draw.sample(names, len(names))


def clock_of(threads: int) -> Clock:
    """Return the clock for a number of threads.

    With one thread it is that of the process, which other programs hardly disturb.
    """
    return time.process_time if threads == 1 else now


def timed(run: Run, clock: Clock = now) -> tuple[float, Any]:
    """Return the seconds that a run takes, and what it returns."""
    start = clock()
    value = run()
    return clock() - start, value


def by_turns(
    runs: Mapping[Any, Run],
    rounds: int,
    *,
    warm: int = 0,
    pause: float = 0.0,
    again: bool = False,
    clock: Clock = now,
) -> dict[Any, list[float]]:
    """Return the seconds of every run in every round, all in this process.

    Parameters
    ----------
    runs : mapping
        What to time, by name.
    rounds : int
        How often.
    warm : int, default 0
        Rounds before them that do not count.
    pause : float, default 0
        Seconds of rest before each turn, in which threads of the last one stop to spin.
    again : bool, default False
        Whether a turn is two calls, of which the second counts.
    clock : callable
        What tells the time.
    """
    taken: dict[Any, list[float]] = {name: [] for name in runs}
    for number, order in zip(range(-warm, rounds), orders(runs), strict=False):
        for name in order:
            time.sleep(pause)
            if again:
                runs[name]()
            seconds, _ = timed(runs[name], clock)
            if number >= 0:
                taken[name].append(seconds)
    return taken


def turn(run: Run, clock: Clock = now, calls: int = CALLS) -> dict[str, Any]:
    """Take a turn; return what its calls took and the value of the last one.

    Parameters
    ----------
    run : callable
        What to time.
    clock : callable
        What tells the time.
    calls : int
        How often to call it after the first call; 0 for a run so long that one is enough.

    Returns
    -------
    dict
        ``"paused"``, the seconds of the first call, and ``"seconds"``, the mean of the others.
    """
    (paused, value), *others = [timed(run, clock) for _ in range(1 + calls)]
    answer = {"paused": paused, "seconds": paused}
    if others:
        answer["seconds"] = statistics.fmean(seconds for seconds, _ in others)
        _, value = others[-1]
    return answer | ({"value": float(np.ravel(value)[0])} if np.size(value) == 1 else {})


def serve(make: Callable[[], Run], threads: int, warm: int = 2, calls: int = CALLS) -> None:
    """Be a worker: run what `make` returns, `warm` times at first, then a turn per line read."""
    run, clock = make(), clock_of(threads)
    before = memory_now()
    values = [run() for _ in range(warm)]
    first = np.ravel(values[0])[:10].tolist() if values else []
    ready = {"result": first, "before_mb": before}
    print(json.dumps(ready), flush=True)
    for _ in sys.stdin:
        answer = turn(run, clock, calls) | {"peak_mb": memory_peak()}
        print(json.dumps(answer), flush=True)


class Command(NamedTuple):
    """How a worker is started."""

    words: Sequence[str]
    environment: Mapping[str, str]
    folder: Path | None = None


class Worker:
    """A process that makes its peer, says when it is warm, and runs it when asked."""

    def __init__(self, command: Command) -> None:
        words, environment, folder = command
        self.what = " ".join(words[3:5]) or words[-1]
        self.errors = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors, text=True,
            env={**os.environ, **environment}, cwd=folder,
        )  # fmt: skip
        self.taken: dict[int, dict[str, float]] = {}  # round -> answer
        self.turns: dict[int, dict[str, float]] = {}  # those of them that are kept
        self.ready = self._answer()

    @property
    def last(self) -> dict[str, float]:
        """The answer of the last turn."""
        return self.taken[max(self.taken)]

    def take_turn(self, number: int) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        self.taken[number] = self._answer()

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


def python(module: str, *words: str) -> list[str]:
    """Return the command that runs a module."""
    return [sys.executable, "-m", module, *words]


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


def ratio(theirs: Worker, ours: Worker, what: str = "seconds") -> dict[str, float]:
    """Return the middle of their times over ours, round by round."""
    return middle([turn[what] / ours.taken[n][what] for n, turn in theirs.turns.items()])


def take_turns(
    workers: Mapping[Any, Worker],
    rounds: int,
    at_most: Mapping[Any, int] | None = None,
    tries: int = TRIES,
) -> float | None:
    """Let every worker take a turn per round, some in fewer rounds.

    A round in which other programs had more than `DISTURBED` of the processors is taken again; but
    there are no more than `tries` times as many in all, of which the least disturbed are kept.
    Which those are does not depend on what the calls took.

    Return the share of the processors that other programs had in the rounds that are kept, on
    average; None if it is not known.
    """
    watch = Others([worker.process.pid for worker in workers.values()])
    wanted = {name: (at_most or {}).get(name, rounds) for name in workers}
    calm = dict.fromkeys(workers, 0)
    shares: list[float] = []
    for order in orders(workers):
        taking = [
            name
            for name in order
            if calm[name] < wanted[name] and len(workers[name].taken) < tries * wanted[name]
        ]
        if not taking:
            break
        for name in taking:
            time.sleep(PAUSE)
            with watch:
                workers[name].take_turn(len(shares))
        shares.append(watch.share())
        for name in taking:
            calm[name] += shares[-1] <= DISTURBED
    for name, worker in workers.items():
        best = sorted(worker.taken, key=shares.__getitem__)[: wanted[name]]
        worker.turns = {number: worker.taken[number] for number in sorted(best)}
    kept = {number for worker in workers.values() for number in worker.turns}
    return statistics.fmean(shares[number] for number in kept) if watch.known else None


def race(
    commands: Mapping[Any, Command],
    rounds: int,
    at_most: Mapping[Any, int] | None = None,
    tries: int = TRIES,
) -> tuple[dict[Any, Worker], float | None]:
    """Start a worker for every command, let them take turns, and end them.

    Return the workers with the turns they had, and what `take_turns` returns.
    """
    workers: dict[Any, Worker] = {}
    try:
        for name, command in commands.items():
            workers[name] = Worker(command)
        return workers, take_turns(workers, rounds, at_most, tries)
    finally:
        for worker in workers.values():
            worker.close()


class Others:
    """Watches what share of the processors other programs than `processes` and this one have.

    ``with others:`` watches; pauses between two such blocks do not count.
    """

    def __init__(self, processes: Sequence[int] = ()) -> None:
        self.processes = processes
        self.known = processor_seconds() is not None
        self.theirs = self.seconds = 0.0

    def __enter__(self) -> None:
        self.start = now(), processor_seconds(self.processes)

    def __exit__(self, *error: object) -> None:
        (start, before), after = self.start, processor_seconds(self.processes)
        if before is not None and after is not None:
            self.theirs += (after[0] - before[0]) - (after[1] - before[1])
            self.seconds += now() - start

    def share(self) -> float:
        """Return the share since the last time it was asked; 0 if it is not known."""
        had = self.seconds * len(os.sched_getaffinity(0))
        share = max(0.0, self.theirs / had) if had else 0.0
        self.theirs = self.seconds = 0.0
        return share
