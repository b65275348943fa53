"""What ranks bring over links of a given speed: ``python -m benchmarks ranks``.

Ranks of this machine train ConvNeXt V2 atto, each on a batch of its own (weak scaling). MPI really
sums their gradients; beyond that a sum is held back until a ring over links of that bandwidth and
latency would have it, one sum after the other. Each turn is one step, the order of the turns is
drawn anew every round, the same on all ranks; "alone" is the step without any sum, on all ranks at
once, so that the efficiency is what communication leaves.

    python -m benchmarks ranks --ranks 2 --gigabits 10 1 --timeline timeline.svg
"""

from __future__ import annotations

import json
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.options import parser
from benchmarks.results import section
from benchmarks.tables import report
from benchmarks.turns import now, orders
from minigrad import distributed, models, optim
from minigrad import random as numbers
from minigrad.errors import MinigradError
from minigrad.nn import functional as F
from minigrad.tensor import Tensor
from minigrad.viz import timeline_svg

Span = tuple[str, str, float, float]  # lane, name, start, end
ALL_AT_ONCE = 1e6  # megabytes of a bucket that holds everything: sent when backward is done


def predicted(
    ranks: int, gigabits: float, *, forward: float, backward: float, rest: float,
    megabytes: float, bucket: float = 4.0, latency: float = 2e-5,
) -> float:  # fmt: skip
    """Return the seconds of a step, from those of its parts on one rank.

    A bucket is full when backward has done its share. The sums leave one after the other, each
    over the whole link: in a ring every rank sends 2 (n - 1) messages, each the n-th part of the
    bucket. The optimizer waits for the last one.
    """
    count = math.ceil(megabytes / bucket)
    bits = 8e6 * megabytes / count
    once = 2 * (ranks - 1) * (latency + bits / ranks / (gigabits * 1e9))
    free = 0.0
    for i in range(1, count + 1):
        free = max(free, forward + backward * i / count) + once
    return max(free, forward + backward) + rest


class Link(distributed.Group):
    """A group whose sums take as long as over a slower link, and that notes when they were sent."""

    def __init__(self, group: distributed.Group, gigabits: float, latency: float) -> None:
        self.group, self.rank, self.size = group, group.rank, group.size
        self.bandwidth, self.latency = gigabits * 1e9 / 8, latency
        self.free = 0.0  # when the last sum will have left the link
        self.spans: list[Span] = []

    def sent(self) -> list[Span]:
        """Return when the link was busy, and forget it."""
        spans, self.spans = self.spans, []
        return spans

    def all_reduce(self, array: Any) -> distributed.Work:
        n = self.size
        start = max(now(), self.free)
        share = 2 * (n - 1) / n * array.nbytes
        self.free = start + 2 * (n - 1) * self.latency + share / self.bandwidth
        self.spans.append((f"rank {self.rank}, link", "sum of a bucket", start, self.free))
        return Held(self.group.all_reduce(array), self.free)


class Held(distributed.Work):
    def __init__(self, work: distributed.Work, due: float) -> None:
        self.work, self.due = work, due

    def test(self) -> bool:
        return self.work.test() and now() >= self.due

    def wait(self) -> None:
        while not self.test():
            time.sleep(5e-5)


class Steps:
    """A model with its optimizer, and one batch of this rank."""

    def __init__(self, side: int, batch: int, rank: int) -> None:
        numbers.manual_seed(0)
        self.model = models.create_model("convnextv2_atto", num_classes=100)
        self.optimizer = optim.AdamW(self.model.parameters(), lr=1e-4)
        draw = np.random.default_rng(rank)
        self.x = Tensor(draw.standard_normal((batch, 3, side, side), np.float32))
        self.y = Tensor(draw.integers(0, 100, batch))

    def buckets(self, group: distributed.Group, megabytes: float) -> distributed.GradientBuckets:
        return distributed.GradientBuckets(self.model.parameters(), group, megabytes)

    def step(self, lane: str, buckets: distributed.GradientBuckets) -> list[Span]:
        """Take one step; return when its parts began and ended."""
        self.optimizer.zero_grad()
        marks = [now()]
        loss = F.cross_entropy(self.model(self.x), self.y)
        marks.append(now())
        with buckets.summing():
            loss.backward()
            marks.append(now())
        marks.append(now())
        self.optimizer.step()
        marks.append(now())
        names = ("forward", "backward", "wait", "optimizer")
        return [(lane, *part) for part in zip(names, marks, marks[1:])]  # noqa: B905


def worker(settings: dict[str, Any]) -> None:
    """Be one rank; rank 0 writes the seconds of every turn, and the spans of one step."""
    group = distributed.init()
    steps = Steps(settings["side"], settings["batch"], group.rank)
    links: dict[str, Link] = {}
    kinds = {"alone": steps.buckets(distributed.Group(), settings["megabytes"])}
    for gigabits in settings["gigabits"]:
        for kind, megabytes in (("", settings["megabytes"]), (", no overlap", ALL_AT_ONCE)):
            name = f"{gigabits:g} Gbit/s{kind}"
            links[name] = Link(group, gigabits, settings["latency"])
            kinds[name] = steps.buckets(links[name], megabytes)
    taken: dict[str, list[Any]] = {name: [] for name in kinds}
    drawn = orders(kinds)
    for turn in range(-1, settings["rounds"]):  # the first one warms up
        for name in next(drawn):
            group.all_gather(None)  # all begin together
            start = now()
            spans = steps.step(f"rank {group.rank}", kinds[name])
            if name in links:
                spans += links[name].sent()
            end = now()
            spans = [(lane, what, a - start, b - start) for lane, what, a, b in spans]
            all_ = group.all_gather((end - start, spans))
            if turn >= 0:
                slowest = max(seconds for seconds, _ in all_)
                taken[name].append((slowest, [span for _, own in all_ for span in own]))
    if group.rank == 0:
        Path(settings["file"]).write_text(json.dumps(taken))


def measure(settings: dict[str, Any], ranks: int) -> dict[str, list[Any]]:
    """Return by kind of turn: seconds, and the spans of all ranks."""
    with tempfile.TemporaryDirectory() as folder:
        settings = settings | {"file": f"{folder}/taken.json"}
        status = distributed.launch(ranks, ["-m", "benchmarks.ranks", json.dumps(settings)])
        if status:
            raise MinigradError(f"the ranks ended with status {status}")
        taken: dict[str, list[Any]] = json.loads(Path(settings["file"]).read_text())
    return taken


def spent(turns: list[Any], part: str) -> float:
    """Return the median over the turns of what the ranks spent with a part, on average."""
    means = [
        statistics.fmean(end - start for _, what, start, end in spans if what == part)
        for _, spans in turns
    ]
    return statistics.median(means)


def main(arguments: Sequence[str] | None = None) -> None:
    made = parser("ranks", __doc__, rounds=9)
    made.add_argument("--ranks", type=int, default=2)
    made.add_argument(
        "--gigabits",
        type=float,
        nargs="+",
        default=[math.inf, 10.0, 2.0],
        help="of a link; inf: only what MPI takes here",
    )
    made.add_argument("--latency", type=float, default=2e-5, help="seconds of a message")
    made.add_argument("--megabytes", type=float, default=4.0, help="of a bucket")
    made.add_argument("--batch", type=int, default=8, help="images of a rank")
    made.add_argument("--side", type=int, default=96)
    made.add_argument("--timeline", metavar="FILE", help="picture of one step over the last link")
    args = made.parse_args(arguments)
    settings = {k: v for k, v in vars(args).items() if k not in ("json", "timeline", "ranks")}
    taken = measure(settings, args.ranks)
    parts = {part: spent(taken["alone"], part) for part in ("forward", "backward", "optimizer")}
    megabytes = sum(p.nbytes for p in Steps(args.side, 1, 0).model.parameters()) / 1e6
    rows = []
    for name, turns in taken.items():
        link, _, kind = name.partition(" Gbit/s")
        model = sum(parts.values())
        if name != "alone":
            model = predicted(
                args.ranks, float(link), forward=parts["forward"], backward=parts["backward"],
                rest=parts["optimizer"], megabytes=megabytes, latency=args.latency,
                bucket=megabytes if kind else args.megabytes,
            )  # fmt: skip
        ratios = [a / b for (a, _), (b, _) in zip(taken["alone"], turns, strict=True)]
        rows.append({
            "link": name, "ms": 1e3 * statistics.median(seconds for seconds, _ in turns),
            "ms waited": 1e3 * spent(turns, "wait"), "efficiency": statistics.median(ratios),
            "by the model": sum(parts.values()) / model,
        })  # fmt: skip
    parts_ms = {f"{name}_ms": 1e3 * seconds for name, seconds in parts.items()}
    print(f"alone: {parts_ms}; gradients of {megabytes:.1f} MB", file=sys.stderr)
    command = f"ranks --ranks {args.ranks} --batch {args.batch} --side {args.side}"
    about = section("ranks", command, ranks=args.ranks, megabytes=megabytes, **parts_ms)
    report(f"ranks {args.ranks}", about | {"rows": rows}, args.json)
    if args.timeline:
        link = f"{args.gigabits[-1]:g} Gbit/s"
        turns = sorted(taken[link])
        _, spans = turns[len(turns) // 2]
        shown = [(lane, name, 1e3 * a, 1e3 * b) for lane, name, a, b in sorted(spans)]
        title = f"one step of {args.ranks} ranks over {link}"
        timeline_svg(shown, title, unit="ms").save(args.timeline)


if __name__ == "__main__":
    worker(json.loads(sys.argv[1])) if sys.argv[1][:1] == "{" else main()
