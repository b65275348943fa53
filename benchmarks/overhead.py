"""What one recorded operation costs: ``python -m benchmarks overhead``.

A chain of alternating `add` and `mul` on 10-element float32 tensors, forward, and forward plus
backward, in microseconds per operation. The frameworks take turns, so that a change of the
machine's speed meets all of them; printed are the median over the rounds, its quartiles, and its
ratio to ours. Peers that are not installed are left out
(pip install torch==2.13.0 autograd mygrad).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.options import parser
from benchmarks.results import section
from benchmarks.tables import report
from benchmarks.turns import Run, by_turns, middle

Pair = tuple[Run, Run]
START = np.ones(10, np.float32)
WEIGHT = np.full(10, 1.001, np.float32)


def chain(x, w, length: int):
    y = x
    for _ in range(length // 2):
        y = (y + w) * w
    return y


def like_torch(library: Any, length: int) -> Pair:
    x, w = (library.tensor(start, requires_grad=True) for start in (START, WEIGHT))
    g = library.ones(10)

    def both() -> None:
        x.grad = w.grad = None
        chain(x, w, length).backward(g)

    return lambda: chain(x, w, length), both


def minigrad(length: int) -> Pair:
    import minigrad as mg

    return like_torch(mg, length)


def torch(length: int) -> Pair:
    import torch

    torch.set_num_threads(1)
    return like_torch(torch, length)


def autograd(length: int) -> Pair:
    from autograd import make_vjp

    def f(pair):
        return chain(pair[0], pair[1], length)

    def forward():
        return make_vjp(f)((START, WEIGHT))

    def both():
        vjp, _ = make_vjp(f)((START, WEIGHT))
        return vjp(np.ones(10, np.float32))

    return forward, both


def mygrad(length: int, guarded: bool = True) -> Pair:
    import mygrad as mg

    guard = mg.mem_guard_on if guarded else mg.mem_guard_off
    x, w = mg.tensor(START), mg.tensor(WEIGHT)

    def forward() -> None:
        with guard:
            chain(x, w, length)

    def both() -> None:
        with guard:
            x.null_grad()
            w.null_grad()
            chain(x, w, length).backward(np.ones(10, np.float32))

    return forward, both


FRAMEWORKS: dict[str, Callable[[int], Pair]] = {
    "minigrad": minigrad,
    "torch": torch,
    "autograd": autograd,
    "mygrad": mygrad,  # as it comes, …
    "mygrad unguarded": lambda length: mygrad(length, guarded=False),  # … without its memory guard
}


def measure(length: int, rounds: int) -> list[dict[str, Any]]:
    """Return a row per framework: microseconds per operation, medians and quartiles."""
    runs = {}
    for name, build in FRAMEWORKS.items():
        try:
            importlib.import_module(name.split()[0])
        except ImportError:
            continue
        runs[name] = build(length)
    kinds = ("forward", "both")
    times = by_turns(
        {(name, kind): run for name in runs for kind, run in zip(kinds, runs[name], strict=True)},
        rounds,
        warm=2,
    )
    return [
        {"peer": name}
        | {kind: middle([t / length * 1e6 for t in times[name, kind]]) for kind in kinds}
        for name in runs
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    made = parser("overhead", __doc__, rounds=100)
    made.add_argument("--length", type=int, default=200, help="operations in the chain")
    args = made.parse_args(arguments)
    taken = section("overhead", f"overhead --length {args.length} --rounds {args.rounds}")
    report("overhead", taken | {"rows": measure(args.length, args.rounds)}, args.json)


if __name__ == "__main__":
    main()
