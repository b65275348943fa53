"""The peers of a task in turns, a process each: a row per peer, as the tables want it."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.frameworks import PRODUCT, PRODUCTS
from benchmarks.options import check
from benchmarks.peers import SLOW, Peer, peers, worker
from benchmarks.results import Section
from benchmarks.turns import CALLS, PAUSE, TRIES, Options, Worker, middle, race, ratio

EXACT = "minigrad, float32"  # whose results others are compared with, where it takes part
Prepare = Callable[[Path, Mapping[str, Peer]], None]


def compare_peers(
    task: str,
    options: Options,
    rounds: int,
    names: Sequence[str],
    prepare: Prepare,
    *,
    per: int = 1,
    limit: bool = False,
    tries: int = TRIES,
) -> Section:
    """Return a row per peer, how they were measured, and what other programs took.

    Parameters
    ----------
    task : str
        Whose peers.
    options : dict
        What the workers must know; of it, ``"precision"`` decides who they are.
    rounds : int
        Turns of each peer, but for slow ones.
    names : sequence of str
        Which peers, the first one to compare with; none: all.
    prepare : callable
        Writes the files that these peers read to the folder it is given.
    per : int, default 1
        What to divide the times by: images in a call.
    limit : bool, default False
        Whether matrix products take turns with them, to say how fast this machine multiplies.
    tries : int
        See `benchmarks.turns.take_turns`.
    """
    found = peers(task, options)
    check("peer", names, found)
    chosen = {name: peer for name, peer in found.items() if not names or name in names}
    beside = peers("product") if limit else {}
    tries = 1 if options["threads"] == 1 else tries
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        prepare(Path(folder), chosen)
        options = options | {"folder": folder}
        asked = [(task, name) for name in chosen] + [("product", name) for name in beside]
        fewer = {(task, n): min(rounds, SLOW) for n, peer in chosen.items() if peer.slow}
        workers, others = race(
            {each: worker(*each, options) for each in asked}, rounds, fewer, tries
        )
    ours = workers[task, next(iter(chosen))]
    exact = workers.get((task, EXACT), ours)
    rows = [
        row(name, workers[task, name], ours, exact, per) | {"precision": peer.precision}
        for name, peer in chosen.items()
    ]
    if beside:
        products = limits({name: workers["product", name] for name in beside})
        rows = [each | {"products": products} for each in rows]
    method = (
        f"Order drawn anew every round; a turn is {PAUSE} s of rest, a call, and "
        f"{options.get('calls', CALLS)} more in a row."
    )
    return {"others": others, "method": method, "rows": rows}


def row(name: str, peer: Worker, ours: Worker, exact: Worker, per: int = 1) -> dict[str, Any]:
    """Return what a peer's turns say; its times beside ours, its results beside the exact ones."""
    result, expected = peer.ready["result"], exact.ready["result"]
    difference = float(np.abs(np.subtract(result, expected)).max()) if result else None
    return {
        "peer": name,
        "rounds": len(peer.turns),
        **{
            name: middle([1e3 * turn[what] / per for turn in peer.turns.values()])
            for name, what in (("ms", "seconds"), ("paused_ms", "paused"))
        },
        "ratio": ratio(peer, ours),
        "paused_ratio": ratio(peer, ours, "paused"),
        "before_mb": peer.ready["before_mb"],
        "peak_mb": peer.last["peak_mb"],
        "difference": difference,
        "last": peer.last.get("value"),
    }


def limits(workers: Mapping[str, Worker]) -> dict[str, float]:
    """Return the GFLOP/s of each matrix product, and of the fastest of each round: medians."""
    work = PRODUCTS * 2 * PRODUCT**3 / 1e9
    turns = {name: [t["seconds"] for t in w.turns.values()] for name, w in workers.items()}
    turns["fastest"] = [min(each) for each in zip(*turns.values(), strict=True)]
    return {name: work / middle(seconds)["median"] for name, seconds in turns.items()}
