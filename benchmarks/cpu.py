"""Speed and memory on the CPU beside the peers: ``python -m benchmarks cpu``.

Each framework lives in a process of its own and waits; they take turns, one call each per round, so
that a change of the machine's speed meets all of them. Printed are the median over the rounds and
its quartiles, the ratio to minigrad's time in the same round (median and quartiles), the share of
the fastest matrix product that was seen in the same rounds, and the memory of the process before
its first call and at most. Peers that are not installed are left out
(pip install torch==2.13.0 onnx onnxruntime openvino jax).

    python -m benchmarks cpu inference --model convnext_tiny --batch 1 8
    python -m benchmarks cpu training --batch 8
    python -m benchmarks cpu kernels
"""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import kernels, networks
from benchmarks.compare import compare_peers
from benchmarks.options import check, parser
from benchmarks.peers import RECOMPUTING, Peer, peers, worker
from benchmarks.results import Section, section
from benchmarks.tables import report
from benchmarks.turns import Options, Worker
from benchmarks.work import product_flops

TASKS = ("kernels", "inference", "training")


def compare(task: str, options: Options, rounds: int, names: Sequence[str] = ()) -> Section:
    """Return a row per peer, and what other programs took; `names` chooses peers."""

    def prepare(folder: Path, chosen: Mapping[str, Peer]) -> None:
        if "minigrad" in chosen:
            _compile(task)
        networks.prepare(options, folder, any(peer.exported for peer in chosen.values()))

    found = compare_peers(
        task, options, rounds, names, prepare, per=options["batch"], limit=not names
    )
    flops = product_flops(task, options["depths"], options["dims"], options["size"])
    for row in found["rows"]:
        row["gflops"] = flops / row["ms"]["median"] / 1e6
        if "products" in row:
            row["share"] = row["gflops"] / row["products"]["fastest"]
    return found


@functools.cache
def _compile(task: str) -> None:
    """Fill the cache of kernels, so that no row counts the memory that compiling takes."""
    for name in ("convnext_tiny", "convnextv2_atto"):
        options = networks.describe(name, (1, 1, 1, 1)) | {"size": 64, "batch": 2, "threads": 2}
        with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
            networks.prepare(options, Path(folder))
            for peer in peers(task):
                if peer in ("minigrad", RECOMPUTING):
                    Worker(worker(task, peer, options | {"folder": folder})).close()


def name_of(task: str, options: Options) -> str:
    """Return the name of the section of a table."""
    name = f"{task} {options['model']} {options['size']} batch {options['batch']}"
    cores = len(os.sched_getaffinity(0))
    return name if options["threads"] == cores else f"{name} threads {options['threads']}"


def main(arguments: Sequence[str] | None = None) -> None:
    made = parser("cpu", __doc__, rounds=9, threads=True)
    made.add_argument("tasks", nargs="*", default=TASKS, help=", ".join(TASKS))
    made.add_argument("--model", default="convnext_tiny")
    made.add_argument("--size", type=int, default=224, help="side of the images")
    made.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    made.add_argument("--peers", nargs="*", default=[], help="the first one is compared with")
    args = made.parse_args(arguments)
    check("task", args.tasks, TASKS)
    rounds = f"--rounds {args.rounds}"
    for task in args.tasks:
        if task == "kernels":
            taken = section("kernels", f"cpu kernels {rounds}")
            taken |= kernels.measure(args.threads, args.rounds)
            report("kernels", taken, args.json)
            continue
        for batch in args.batch:
            options = networks.describe(args.model)
            options |= {"size": args.size, "batch": batch, "threads": args.threads}
            words = f"--model {args.model} --size {args.size} --batch {batch} {rounds}"
            taken = section("compare", f"cpu {task} {words}", options=options)
            taken |= compare(task, options, args.rounds, args.peers)
            report(name_of(task, options), taken, args.json)


if __name__ == "__main__":
    main()
