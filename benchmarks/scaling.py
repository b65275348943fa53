"""How time and memory grow with batch, side and depth: ``python -m benchmarks scaling``.

ConvNeXt-T in minigrad and in PyTorch (channels_last). At every point they take turns in new
processes, so that the memory is that of the point alone. Inference and training; the side varies
at batch 4, the depth (blocks of the third stage) at batch 4 and 224 × 224.

    python -m benchmarks scaling training --along batch
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from benchmarks import networks
from benchmarks.cpu import compare
from benchmarks.machine import moment
from benchmarks.peers import peers
from benchmarks.results import Section, add_option, record
from minigrad.errors import missing_extra, unknown

TASKS = ("inference", "training")
PEERS = ("minigrad", "torch channels_last")
AXES: dict[str, tuple[int, ...]] = {
    "batch": (1, 2, 4, 8, 16, 32),
    "side": (64, 128, 224, 320, 512),
    "depth": (3, 9, 27, 54),
}
BATCH, SIDE = 4, 224  # of the points along the other axes
KEPT = ("peer", "rounds", "ms", "before_mb", "peak_mb")


def options_at(axis: str, value: int, model: str, threads: int) -> networks.Options:
    """Return the options of one point."""
    options = networks.describe(model) | {"size": SIDE, "batch": BATCH, "threads": threads}
    if axis == "depth":
        options["depths"][2] = value
        return options
    return options | {"size" if axis == "side" else "batch": value}


def sweep(
    task: str, axis: str, values: Sequence[int], model: str, threads: int, rounds: int
) -> Section:
    """Return a row per value and peer, and the most that other programs took; print them."""
    names = [name for name in PEERS if name in peers(task)]
    if not names:
        raise missing_extra("numba", "fast")
    width = max(map(len, names)) + 2
    print(f"\n{task}, {model}, along {axis}, {threads} threads ({rounds} rounds)")
    print(f"{axis:>8}  {'':{width}}{'ms/image':>9}{'quartiles':>16}{'start MB':>10}{'peak MB':>9}")
    rows, others = [], []
    for value in values:
        point = compare(task, options_at(axis, value, model, threads), rounds, names)
        others.append(point["others"])
        for row in point["rows"]:
            rows.append({axis: value} | {key: row[key] for key in KEPT})
            ms = row["ms"]
            spread = f"{ms['low']:.1f} to {ms['high']:.1f}"
            print(
                f"{value:8}  {row['peer']:{width}}{ms['median']:9.1f}{spread:>16}"
                f"{row['before_mb']:10.0f}{row['peak_mb']:9.0f}",
                flush=True,
            )
    share = None if None in others else max(others)
    return {"others": share, "rows": rows}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks scaling", description=__doc__.split("\n")[0]
    )
    parser.add_argument("tasks", nargs="*", default=TASKS, help=", ".join(TASKS))
    parser.add_argument("--along", nargs="+", default=list(AXES), help=", ".join(AXES))
    parser.add_argument("--values", type=int, nargs="+", help="points other than the usual ones")
    parser.add_argument("--model", default="convnext_tiny")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=3)
    add_option(parser)
    args = parser.parse_args(arguments)
    for kind, given, known in (("task", args.tasks, TASKS), ("axis", args.along, AXES)):
        for name in given:
            if name not in known:
                raise unknown(kind, name, known)
    for task in args.tasks:
        for axis in args.along:
            section = moment() | {
                "kind": "scaling",
                "command": f"python -m benchmarks scaling {task} --along {axis} "
                f"--rounds {args.rounds}",
                "task": task,
                "axis": axis,
                "model": args.model,
            }
            values = args.values or AXES[axis]
            section |= sweep(task, axis, values, args.model, args.threads, args.rounds)
            if args.json:
                record(args.json, f"scaling {task} {axis}", section)


if __name__ == "__main__":
    main()
