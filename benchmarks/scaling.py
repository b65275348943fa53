"""How time and memory grow with batch, side and depth: ``python -m benchmarks scaling``.

ConvNeXt-T in minigrad and in PyTorch, tuned. At every point they take turns in new
processes, so that the memory is that of the point alone. Inference and training; the side varies
at batch 4, the depth (blocks of the third stage) at batch 4 and 224 × 224.

    python -m benchmarks scaling training --along batch
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks import networks
from benchmarks.cpu import compare
from benchmarks.options import check, parser
from benchmarks.peers import peers
from benchmarks.results import Section, section
from benchmarks.tables import report, say
from minigrad.errors import missing_extra

TASKS = ("inference", "training")
PEERS = ("minigrad", "torch, tuned")
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
    """Return a row per value and peer, and the most that other programs took."""
    names = [name for name in PEERS if name in peers(task)]
    if not names:
        raise missing_extra("numba", "fast")
    rows, others = [], []
    for value in values:
        say(f"{task}, {axis} {value}")
        point = compare(task, options_at(axis, value, model, threads), rounds, names)
        others.append(point["others"])
        rows += [{axis: value} | {key: row[key] for key in KEPT} for row in point["rows"]]
    return {"others": None if None in others else max(others), "rows": rows}


def main(arguments: Sequence[str] | None = None) -> None:
    made = parser("scaling", __doc__, rounds=3, threads=True)
    made.add_argument("tasks", nargs="*", default=TASKS, help=", ".join(TASKS))
    made.add_argument("--along", nargs="+", default=list(AXES), help=", ".join(AXES))
    made.add_argument("--values", type=int, nargs="+", help="points other than the usual ones")
    made.add_argument("--model", default="convnext_tiny")
    args = made.parse_args(arguments)
    check("task", args.tasks, TASKS)
    check("axis", args.along, AXES)
    for task in args.tasks:
        for axis in args.along:
            command = f"scaling {task} --along {axis} --rounds {args.rounds}"
            taken = section("scaling", command, task=task, axis=axis, model=args.model)
            values = args.values or AXES[axis]
            taken |= sweep(task, axis, values, args.model, args.threads, args.rounds)
            report(f"scaling {task} {axis}", taken, args.json)


if __name__ == "__main__":
    main()
