"""The claims of speed, and what the recorded figures say of each: ``python -m benchmarks claims``.

Speed is judged against whoever is fastest in the same run and precision, as it comes or tuned. The
goals were set before the kernels were written; a goal that is missed is shown as missed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.frameworks import BFLOAT16
from benchmarks.machine import label
from benchmarks.options import parser
from benchmarks.peers import NUMPY_ONLY, RECOMPUTING
from benchmarks.results import Section, read, recorded
from benchmarks.tables import Row, Table, show
from minigrad.errors import DataError

Measure = Callable[[Section], tuple[float, str]]  # the figure, and who it is about
NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Claim:
    """A sentence, the section that decides it, how, and the goal."""

    text: str
    section: str
    measure: Measure
    goal: float | None = None  # None: stated without one
    at_most: bool = False
    unit: str = "×"

    @property
    def aim(self) -> str:
        """The goal as the table says it."""
        if self.goal is None:
            return ""
        return f"{'≤' if self.at_most else '≥'} {self._say(self.goal)}"

    def judge(self, sections: Mapping[str, Section]) -> str:
        """Return the figure of a machine, who it is about, and the verdict."""
        try:
            value, who = self.measure(sections[self.section])
        except (KeyError, ValueError):  # no such section, or that peer was not there
            return NOT_MEASURED
        said = self._say(value) + (f" ({who})" if who else "")
        if self.goal is None:
            return said
        met = value <= self.goal if self.at_most else value >= self.goal
        return f"{said}: {'met' if met else 'missed'}"

    def _say(self, value: float) -> str:
        if self.unit == "×":
            return f"{value:.2f}×"
        return f"{value:.0f} {self.unit}"


def rows_of(section: Section, start: str, precision: str = "float32") -> list[Row]:
    """Return the rows of those whose names start so, in one precision."""
    return [
        row
        for row in section["rows"]
        if row["peer"].startswith(start) and row["precision"] == precision
    ]


def fastest_peer(precision: str = "float32") -> Measure:
    """Return what finds the time of the fastest other over minigrad's, and who that is."""

    def find(section: Section) -> tuple[float, str]:
        ours = rows_of(section, "minigrad", precision)
        others = [row for row in rows_of(section, "", precision) if row not in ours]
        fastest = min(others, key=lambda row: row["ratio"]["median"])
        return fastest["ratio"]["median"], fastest["peer"]

    return find


def slower_than(peer: str, who: str) -> Measure:
    """Return what finds the time of one of minigrad's rows over that of another row."""

    def find(section: Section) -> tuple[float, str]:
        to_minigrad = {row["peer"]: row["ratio"]["median"] for row in section["rows"]}
        return to_minigrad[who] / to_minigrad[peer], ""

    return find


def memory(name: str, kept: bool = True, precision: str = "float32") -> Measure:
    """Return what finds a row's peak memory over the least of PyTorch's.

    `kept` chooses those of PyTorch that keep what backward needs; otherwise those that recompute.
    """

    def find(section: Section) -> tuple[float, str]:
        (ours,) = (row for row in rows_of(section, name, precision) if row["peer"] == name)
        theirs = [
            row
            for row in rows_of(section, "torch", precision)
            if ("recomputing" in row["peer"]) != kept
        ]
        least = min(theirs, key=lambda row: row["peak_mb"])
        return ours["peak_mb"] / least["peak_mb"], least["peer"]

    return find


def slowest_kernel(start: str) -> Measure:
    """Return what finds the least GFLOP/s among kernels whose names start so."""

    def least(section: Section) -> tuple[float, str]:
        rows = [row for row in section["rows"] if row["kernel"].startswith(start)]
        return min(row["flops"] / row["ms"] / 1e6 for row in rows), ""

    return least


T8, T1 = "inference convnext_tiny 224 batch 8", "inference convnext_tiny 224 batch 1"
V8, V1 = "inference convnextv2_tiny 224 batch 8", "inference convnextv2_tiny 224 batch 1"
TRAINING = "training convnext_tiny 224 batch 8"
ATTO = "training convnextv2_atto 64 batch 16"
UNET_2D, UNET_3D = "training unet_2d 64 batch 8", "training unet_3d 32 batch 4"
SPEED = (  # beside the fastest other in float32, and in bfloat16
    Claim("Inference of ConvNeXt-T, batch 8", T8, fastest_peer(), 1.12),
    Claim("… batch 1", T1, fastest_peer(), 1.0),
    Claim("Inference of ConvNeXt V2-T, batch 8", V8, fastest_peer(), 1.12),
    Claim("… batch 1", V1, fastest_peer(), 1.0),
    Claim("Training step of ConvNeXt-T, batch 8", TRAINING, fastest_peer(), 1.1),
    Claim("… of ConvNeXt V2-atto at 64 × 64, batch 16", ATTO, fastest_peer(), 1.2),
    Claim("… of a U-Net on images, 64 × 64, batch 8", UNET_2D, fastest_peer(), 1.0),
    Claim("… of a U-Net on volumes, 32 × 32 × 32, batch 4", UNET_3D, fastest_peer(), 1.0),
    Claim("In bfloat16: inference of ConvNeXt-T, batch 8", f"{T8} {BFLOAT16}",
          fastest_peer(BFLOAT16), 1.2),
    Claim("… batch 1", f"{T1} {BFLOAT16}", fastest_peer(BFLOAT16), 1.1),
    Claim("… training step of ConvNeXt-T, batch 8", f"{TRAINING} {BFLOAT16}",
          fastest_peer(BFLOAT16), 1.2),
)  # fmt: skip
CLAIMS = (
    *SPEED,
    Claim("Peak memory of a training step of ConvNeXt-T, batch 8, of PyTorch's", TRAINING,
          memory("minigrad"), 0.65, at_most=True),
    Claim("… with recomputation, of PyTorch's without", TRAINING, memory(RECOMPUTING), 0.5,
          at_most=True),
    Claim("… with recomputation, of PyTorch's with it", TRAINING,
          memory(RECOMPUTING, kept=False)),
    Claim("… in bfloat16, of PyTorch's", f"{TRAINING} {BFLOAT16}",
          memory("minigrad", precision=BFLOAT16), 0.65, at_most=True),
    Claim("The time that recomputation takes, of that without", TRAINING,
          slower_than("minigrad", RECOMPUTING)),
    Claim("Fashion-MNIST, a step of the default training", "fashion step", fastest_peer()),
    Claim("… an epoch", "fashion epoch", fastest_peer()),
    Claim("Depthwise 7 × 7 on 56 × 56 × 96, the slowest of forward and both gradients", "kernels",
          slowest_kernel("depthwise 7 × 7 on 56"), 110, unit="GFLOP/s"),
    Claim("With NumPy alone, ConvNeXt-T, batch 8: the time of PyTorch as it comes, times", T8,
          slower_than("torch", NUMPY_ONLY), 2.0, at_most=True),
)  # fmt: skip


def table(claims: Sequence[Claim], wholes: Sequence[Mapping[str, Any]]) -> Table:
    """Return the claims with their goals, and a column for every machine."""
    head = ["", "goal", *(label(whole["machine"]) for whole in wholes)]
    return head, [
        [claim.text, claim.aim, *(claim.judge(whole["sections"]) for whole in wholes)]
        for claim in claims
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    made = parser("claims", __doc__, json=False)
    made.add_argument(
        "--json", type=Path, nargs="+", default=recorded(), help="files of results; default: all"
    )
    paths = made.parse_args(arguments).json
    if not paths:
        raise DataError(
            "nothing is recorded yet; take figures with 'python -m benchmarks cpu --json'"
        )
    show(*table(CLAIMS, list(map(read, paths))))


if __name__ == "__main__":
    main()
