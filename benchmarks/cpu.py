"""Speed and memory on the CPU beside the peers: ``python -m benchmarks cpu``.

Each framework lives in a process of its own and waits; they take turns, in an order drawn anew
every round, so that a change of the machine's speed meets all of them. Printed are the median over
the rounds and its quartiles, in a tight loop and after a pause, the ratio to minigrad's time in the
same round, the share of the fastest matrix product that was seen in the same rounds, and the memory
of the process before its first call and at most. Peers that are not installed are left out
(pip install torch==2.13.0 onnx onnxruntime openvino jax).

    python -m benchmarks cpu inference --model convnext_tiny --batch 1 8
    python -m benchmarks cpu training --model unet_3d --size 32 --batch 4 --short
    python -m benchmarks cpu training --batch 8 --precision bfloat16
    python -m benchmarks cpu kernels
"""

from __future__ import annotations

import functools
import os
import shlex
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks import kernels, networks
from benchmarks.compare import compare_peers
from benchmarks.frameworks import BFLOAT16
from benchmarks.options import check, parser
from benchmarks.peers import RECOMPUTING, Peer, peers, worker
from benchmarks.results import Section, section
from benchmarks.tables import report
from benchmarks.turns import CALLS, TRIES, Options, Worker
from benchmarks.work import product_flops

TASKS = ("kernels", "inference", "training")
PRECISIONS = ("float32", BFLOAT16)
SHORT = {"rounds": 5, "calls": 2}  # at most


def compare(
    task: str, options: Options, rounds: int, names: Sequence[str] = (), tries: int = TRIES
) -> Section:
    """Return a row per peer, and what other programs took; `names` chooses peers."""

    def prepare(folder: Path, chosen: Mapping[str, Peer]) -> None:
        if "minigrad" in chosen:
            _compile(task, options["model"], options.get("precision", "float32"))
        networks.prepare(options, folder, any(peer.exported for peer in chosen.values()))

    counted = "depths" in options and options.get("precision") != BFLOAT16
    found = compare_peers(
        task, options, rounds, names, prepare, per=options["batch"], limit=counted and not names,
        tries=tries,
    )  # fmt: skip
    if counted:
        flops = product_flops(task, options["depths"], options["dims"], options["size"])
        for row in found["rows"]:
            row["gflops"] = flops / row["ms"]["median"] / 1e6
            if "products" in row:
                row["share"] = row["gflops"] / row["products"]["fastest"]
    return found


@functools.cache
def _compile(task: str, model: str, precision: str) -> None:
    """Fill the cache of kernels, so that no row counts the memory that compiling takes."""
    small = {"size": 32, "batch": 2, "threads": 2, "precision": precision, "warm": 1}
    if model in networks.UNETS:
        options = networks.describe(model) | small
    else:
        options = networks.describe(model, (1, 1, 1, 1)) | small | {"size": 64}
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        networks.prepare(options, Path(folder))
        for peer in peers(task, options):
            if peer in ("minigrad", RECOMPUTING):
                Worker(worker(task, peer, options | {"folder": folder})).close()


def name_of(task: str, options: Options) -> str:
    """Return the name of the section of a table."""
    name = f"{task} {options['model']} {options['size']} batch {options['batch']}"
    if options["precision"] != "float32":
        name += f" {options['precision']}"
    cores = len(os.sched_getaffinity(0))
    return name if options["threads"] == cores else f"{name} threads {options['threads']}"


def main(arguments: Sequence[str] | None = None) -> None:
    made = parser("cpu", __doc__, rounds=9, threads=True)
    made.add_argument("tasks", nargs="*", default=TASKS, help=", ".join(TASKS))
    made.add_argument(
        "--model", default="convnext_tiny", help="or another, or " + ", ".join(networks.UNETS)
    )
    made.add_argument("--size", type=int, default=224, help="side of the images")
    made.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    made.add_argument("--precision", choices=PRECISIONS, default="float32")
    made.add_argument("--peers", nargs="*", default=[], help="the first one is compared with")
    made.add_argument(
        "--short", action="store_true", help="tuned peers alone, few turns: about a minute"
    )
    args = made.parse_args(arguments)
    check("task", args.tasks, TASKS)
    rounds, calls = args.rounds, CALLS
    if args.short:
        rounds, calls = min(rounds, SHORT["rounds"]), SHORT["calls"]
    for task in args.tasks:
        if task == "kernels":
            taken = section("kernels", f"cpu kernels --rounds {rounds}")
            taken |= kernels.measure(args.threads, rounds)
            report("kernels", taken, args.json)
            continue
        for batch in args.batch:
            options = networks.describe(args.model) | {
                "size": args.size, "batch": batch, "threads": args.threads,
                "precision": args.precision, "calls": calls,
            }  # fmt: skip
            words = f"cpu {task} --model {args.model} --size {args.size} --batch {batch}"
            words += f" --precision {args.precision}" * (args.precision != "float32")
            words += f" --rounds {rounds}" + " --short" * args.short
            words += f" --peers {shlex.join(args.peers)}" if args.peers else ""
            names = args.peers or (args.short and _tuned(task, options)) or ()
            taken = section("compare", words, options=options)
            taken |= compare(task, options, rounds, names, 1 if args.short else TRIES)
            report(name_of(task, options), taken, args.json)


def _tuned(task: str, options: Options) -> list[str]:
    return [name for name, peer in peers(task, options).items() if peer.tuned and not peer.slow]


if __name__ == "__main__":
    main()
