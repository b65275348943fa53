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

import argparse
import functools
import json
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import networks
from benchmarks.kernels import measure
from benchmarks.machine import moment
from benchmarks.peers import PRODUCT, PRODUCTS, RECOMPUTING, peers
from benchmarks.results import Section, add_option, record
from benchmarks.turns import TRIES, Worker, environment, middle, python, ratio, take_turns
from benchmarks.work import product_flops
from minigrad.errors import unknown

TASKS = ("kernels", "inference", "training")


def compare(
    task: str, options: networks.Options, rounds: int, names: Sequence[str] = ()
) -> Section:
    """Return a row per peer, and what other programs took; `names` chooses peers."""
    found = peers(task)
    for name in names:
        if name not in found:
            raise unknown("peer", name, found)
    chosen = {name: peer for name, peer in found.items() if not names or name in names}
    limits = peers("product") if not names else {}
    threads = options["threads"]
    if "minigrad" in chosen:
        _compile(task)
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        onnx = any(peer.exported for peer in chosen.values())
        networks.prepare(options, Path(folder), onnx)
        text = json.dumps(options | {"folder": folder})
        workers = {
            (kind, name): Worker(
                python("benchmarks.peers", kind, name, text),
                environment(threads) | peer.environment,
            )
            for kind, group in ((task, chosen), ("product", limits))
            for name, peer in group.items()
        }
        fewer = {
            (task, name): min(rounds, peer.rounds) for name, peer in chosen.items() if peer.rounds
        }
        try:
            others = take_turns(workers, rounds, fewer, tries=1 if threads == 1 else TRIES)
        finally:
            for worker in workers.values():
                worker.close()
    products = {name: worker for (kind, name), worker in workers.items() if kind == "product"}
    flops = product_flops(task, options["depths"], options["dims"], options["size"])
    ours = workers[task, next(iter(chosen))]
    rows = [_row(name, workers[task, name], ours, options["batch"], flops) for name in chosen]
    if products:
        limits = _limits(products)
        for row in rows:
            row |= {"products": limits, "share": row["gflops"] / limits["fastest"]}
    return {"others": others, "rows": rows}


@functools.cache
def _compile(task: str) -> None:
    """Fill the cache of kernels, so that no row counts the memory that compiling takes."""
    for name in ("convnext_tiny", "convnextv2_atto"):
        options = networks.describe(name, (1, 1, 1, 1)) | {"size": 64, "batch": 2}
        with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
            networks.prepare(options, Path(folder))
            text = json.dumps(options | {"folder": folder, "threads": 2})
            for peer in ("minigrad", RECOMPUTING):
                if peer in peers(task):
                    Worker(python("benchmarks.peers", task, peer, text), environment(2)).close()


def _limits(workers: Mapping[str, Worker]) -> dict[str, float]:
    """Return the GFLOP/s of each matrix product, and of the fastest of each round: medians."""
    work = PRODUCTS * 2 * PRODUCT**3 / 1e9
    turns = {name: [t["seconds"] for t in w.turns.values()] for name, w in workers.items()}
    turns["fastest"] = [min(row) for row in zip(*turns.values(), strict=True)]
    return {name: work / middle(seconds)["median"] for name, seconds in turns.items()}


def _row(name: str, worker: Worker, ours: Worker, batch: int, flops: int) -> dict[str, Any]:
    ms = middle([1e3 * turn["seconds"] / batch for turn in worker.turns.values()])
    return {
        "peer": name,
        "rounds": len(worker.turns),
        "ms": ms,
        "ratio": ratio(worker, ours),
        "before_mb": worker.ready["before_mb"],
        "peak_mb": worker.last["peak_mb"],
        "difference": float(
            np.abs(np.subtract(worker.ready["result"], ours.ready["result"])).max()
        ),
        "gflops": flops / ms["median"] / 1e6,
    }


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Print the rows as a table."""
    width = max(len(row["peer"]) for row in rows) + 2
    print(
        f"{'':{width}}{'ms/image':>9}{'quartiles':>16}{'to minigrad':>13}{'quartiles':>13}"
        f"{'of limit':>10}{'start MB':>10}{'peak MB':>9}{'differs by':>12}"
    )
    for row in rows:
        ms, to_ours = row["ms"], row["ratio"]
        spread = f"{ms['low']:.1f} to {ms['high']:.1f}"
        between = f"{to_ours['low']:.2f}-{to_ours['high']:.2f}"
        share = f"{100 * row['share']:.0f} %" if "share" in row else ""
        print(
            f"{row['peer']:{width}}{ms['median']:9.1f}{spread:>16}{to_ours['median']:13.2f}"
            f"{between:>13}{share:>10}{row['before_mb']:10.0f}{row['peak_mb']:9.0f}"
            f"{row['difference']:12.1e}"
        )
    if "products" in rows[0]:
        print(limit_line(rows[0]["products"]))
    sys.stdout.flush()


def limit_line(products: Mapping[str, float]) -> str:
    """Say what the limit is, and who multiplies how fast."""
    *others, (_, fastest) = products.items()
    each = ", ".join(f"{name} {gflops:.0f}" for name, gflops in others)
    return (
        f"The limit: {fastest:.0f} GFLOP/s in a product of {PRODUCT} × {PRODUCT} matrices ({each})."
    )


def others_line(section: Section) -> str:
    """Say how much of the machine other programs had during the turns."""
    share = section["others"]
    return "" if share is None else f"other programs had {100 * share:.0f} % of the processors"


def name_of(task: str, options: networks.Options) -> str:
    """Return the name of the section of a table."""
    name = f"{task} {options['model']} {options['size']} batch {options['batch']}"
    cores = len(os.sched_getaffinity(0))
    return name if options["threads"] == cores else f"{name} threads {options['threads']}"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks cpu", description=__doc__.split("\n")[0]
    )
    parser.add_argument("tasks", nargs="*", default=TASKS, help=", ".join(TASKS))
    parser.add_argument("--model", default="convnext_tiny")
    parser.add_argument("--size", type=int, default=224, help="side of the images")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--peers", nargs="*", default=[], help="the first one is compared with")
    add_option(parser)
    args = parser.parse_args(arguments)
    for task in args.tasks:
        if task not in TASKS:
            raise unknown("task", task, TASKS)
    for task in args.tasks:
        command = f"python -m benchmarks cpu {task}"
        if task == "kernels":
            section: Section = moment() | {"command": f"{command} --rounds {args.rounds}"}
            section |= {"kind": "kernels"} | measure(args.threads, args.rounds)
            print(others_line(section))
            if args.json:
                record(args.json, "kernels", section)
            continue
        model = networks.describe(args.model)
        for batch in args.batch:
            options = model | {"size": args.size, "batch": batch, "threads": args.threads}
            section = moment() | {
                "kind": "compare",
                "command": f"{command} --model {args.model} --size {args.size} --batch {batch} "
                f"--rounds {args.rounds}",
            }
            section |= {"options": options} | compare(task, options, args.rounds, args.peers)
            print(
                f"\n{task}, {args.model} at {args.size}, batch {batch}, {args.threads} threads, "
                f"{args.rounds} rounds; {others_line(section)}"
            )
            show(section["rows"])
            if args.json:
                record(args.json, name_of(task, options), section)


if __name__ == "__main__":
    main()
