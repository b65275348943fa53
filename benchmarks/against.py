"""This checkout beside another one, in one run: ``python -m benchmarks against PATH``.

What a change does to the speed: the time of the other checkout (before) over the time of this one
(after), so above 1 it has become faster. Each checkout runs its own benchmarks in processes of its
own, which take turns in an order drawn anew every round. Import time is that of ``import minigrad``
in a new process.

    git worktree add ../before HEAD~10
    python -m benchmarks against ../before
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import networks
from benchmarks.machine import HERE, moment
from benchmarks.results import Section, add_option, record
from benchmarks.turns import Worker, environment, middle, python, ratio, take_turns
from minigrad.errors import DataError, unknown

CHAIN = "from benchmarks import overhead, turns; run = overhead.minigrad(200)[{kind}]; "
REPEAT = "turns.serve(lambda: lambda: [run() for _ in range(20)] and 0.0, 1)"
IMPORT = (
    "import subprocess, sys; from benchmarks import turns; "
    "turns.serve(lambda: lambda: subprocess.call([sys.executable, '-c', 'import minigrad']), 2)"
)
NETWORKS = {  # name -> task, model, side, batch
    "inference": ("inference", "convnext_tiny", 224, 8),
    "inference 1": ("inference", "convnext_tiny", 224, 1),
    "training": ("training", "convnext_tiny", 224, 8),
    "training atto": ("training", "convnextv2_atto", 64, 16),
}
SMALL = {
    "forward": [sys.executable, "-c", CHAIN.format(kind=0) + REPEAT],
    "forward and backward": [sys.executable, "-c", CHAIN.format(kind=1) + REPEAT],
    "import": [sys.executable, "-c", IMPORT],
}
WHATS = (*SMALL, *NETWORKS)


def compare(what: str, other: Path, rounds: int, threads: int) -> dict[str, Any]:
    """Return the middle of both times in ms, and of their ratio, of one thing to measure."""
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        command = SMALL.get(what)
        if command is None:
            command, threads_here = _network(what, Path(folder), threads), threads
        else:
            threads_here = 1
        workers = {
            name: Worker(command, environment(threads_here), checkout)
            for name, checkout in (("before", other), ("after", HERE.parent))
        }
        try:
            others = take_turns(workers, rounds)
        finally:
            for worker in workers.values():
                worker.close()
    times = {
        name: middle([1e3 * turn["seconds"] for turn in worker.turns.values()])
        for name, worker in workers.items()
    }
    between = ratio(workers["before"], workers["after"])
    return {"what": what, "rounds": rounds, "others": others, **times, "ratio": between}


def _network(what: str, folder: Path, threads: int) -> list[str]:
    task, model, side, batch = NETWORKS[what]
    options = networks.describe(model) | {"size": side, "batch": batch, "threads": threads}
    networks.prepare(options, folder)
    text = json.dumps(options | {"folder": str(folder)})
    return python("benchmarks.peers", task, "minigrad", text)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks against", description=__doc__.split("\n")[0]
    )
    parser.add_argument("other", type=Path, help="folder of the other checkout")
    parser.add_argument("whats", nargs="*", help=", ".join(WHATS) + " (default: all)")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    add_option(parser)
    args = parser.parse_args(arguments)
    for what in args.whats:
        if what not in WHATS:
            raise unknown("thing to measure", what, WHATS)
    if not (args.other / "benchmarks" / "turns.py").is_file():
        raise DataError(f"{args.other} is no checkout of minigrad: it has no benchmarks/turns.py")
    print(f"{'ms':22}{'before':>10}{'after':>10}{'before/after':>14}{'quartiles':>14}")
    rows = []
    for what in args.whats or WHATS:
        row = compare(what, args.other.resolve(), args.rounds, args.threads)
        rows.append(row)
        between = f"{row['ratio']['low']:.2f}-{row['ratio']['high']:.2f}"
        print(
            f"{what:22}{row['before']['median']:10.2f}{row['after']['median']:10.2f}"
            f"{row['ratio']['median']:14.3f}{between:>14}",
            flush=True,
        )
    if args.json:
        section: Section = moment() | {"kind": "against", "rows": rows}
        section["command"] = f"python -m benchmarks against {args.other} --rounds {args.rounds}"
        record(args.json, "against", section)


if __name__ == "__main__":
    main()
