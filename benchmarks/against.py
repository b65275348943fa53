"""This checkout beside another one, in one run: ``python -m benchmarks against PATH``.

What a change does to the speed: the time of the other checkout (before) over the time of this one
(after), so above 1 it has become faster. Each checkout runs its own benchmarks in processes of its
own, which take turns in an order drawn anew every round. Import time is that of ``import minigrad``
in a new process.

    git worktree add ../before HEAD~10
    python -m benchmarks against ../before
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import networks
from benchmarks.machine import HERE
from benchmarks.options import check, parser
from benchmarks.results import record, section
from benchmarks.tables import against, say, show
from benchmarks.turns import Command, environment, middle, python, race, ratio
from minigrad.errors import DataError

CHAIN = "from benchmarks import overhead, turns; run = overhead.minigrad(200)[{kind}]; "
REPEAT = "turns.serve(lambda: lambda: [run() for _ in range(20)] and 0.0, 1)"
IMPORT = (
    "import subprocess, sys; from benchmarks import turns; "
    "turns.serve(lambda: lambda: subprocess.call([sys.executable, '-c', 'import minigrad']), 2)"
)
KEEP_BYTECODE = {"PYTHONDONTWRITEBYTECODE": ""}  # else every import would compile the sources
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
        if what in SMALL:
            words, limits = SMALL[what], environment(1) | KEEP_BYTECODE
        else:
            words, limits = _network(what, Path(folder), threads), environment(threads)
        checkouts = {"before": other, "after": HERE.parent}
        commands = {name: Command(words, limits, path) for name, path in checkouts.items()}
        workers, others = race(commands, rounds)
    times = {
        name: middle([1e3 * turn["seconds"] for turn in worker.turns.values()])
        for name, worker in workers.items()
    }
    between = ratio(workers["before"], workers["after"])
    say(f"{what}: {between['median']:.3f}")
    return {"what": what, "rounds": rounds, "others": others, **times, "ratio": between}


def _network(what: str, folder: Path, threads: int) -> Sequence[str]:
    task, model, side, batch = NETWORKS[what]
    options = networks.describe(model) | {"size": side, "batch": batch, "threads": threads}
    networks.prepare(options, folder)
    text = json.dumps(options | {"folder": str(folder)})
    return python("benchmarks.peers", task, "minigrad", text)


def main(arguments: Sequence[str] | None = None) -> None:
    made = parser("against", __doc__, rounds=15, threads=True)
    made.add_argument("other", type=Path, help="folder of the other checkout")
    made.add_argument("whats", nargs="*", help=", ".join(WHATS) + " (default: all)")
    args = made.parse_args(arguments)
    check("thing to measure", args.whats, WHATS)
    if not (args.other / "benchmarks" / "turns.py").is_file():
        raise DataError(f"{args.other} is no checkout of minigrad: it has no benchmarks/turns.py")
    taken = section("against", f"against {args.other} --rounds {args.rounds}")
    whats, other = args.whats or WHATS, args.other.resolve()
    taken["rows"] = [compare(what, other, args.rounds, args.threads) for what in whats]
    show(*against(taken))
    if args.json:
        record(args.json, "against", taken)


if __name__ == "__main__":
    main()
