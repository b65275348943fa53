"""The claims of speed, and what the recorded figures say of each: ``python -m benchmarks claims``.

The goals were set before the kernels were written, on another machine; a goal that is missed is
shown as missed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.options import parser
from benchmarks.peers import NUMPY_ONLY, RECOMPUTING, TUNED, UNLOCKED
from benchmarks.results import Section, newest, read
from benchmarks.tables import Row, show
from minigrad.errors import DataError

COLUMNS = ("Claim", "Goal", "Measured", "Verdict")


@dataclass(frozen=True)
class Claim:
    """A sentence, the section that decides it, how, and the goal."""

    text: str
    section: str
    measure: Callable[[Section], float]
    goal: float | None  # None: stated without one
    at_most: bool = False
    unit: str = "×"

    def judge(self, sections: Mapping[str, Section]) -> tuple[str, str, str, str]:
        """Return text, goal, figure and verdict."""
        goal = "" if self.goal is None else f"{'≤' if self.at_most else '≥'} {self._say(self.goal)}"
        try:
            value = self.measure(sections[self.section])
        except (KeyError, StopIteration):  # no such section, or that peer was not there
            return self.text, goal, "", "not measured"
        if self.goal is None:
            return self.text, goal, self._say(value), "stated"
        met = value <= self.goal if self.at_most else value >= self.goal
        return self.text, goal, self._say(value), "met" if met else "missed"

    def _say(self, value: float) -> str:
        if self.unit == "×":
            return f"{value:.2f}×"
        return f"{value:.0f} {self.unit}"


def _row(section: Section, name: str) -> Row:
    return next(row for row in section["rows"] if row["peer"] == name)


def faster_than(peer: str) -> Callable[[Section], float]:
    """Return what finds a peer's time over minigrad's."""
    return lambda section: _row(section, peer)["ratio"]["median"]


def slower_than(peer: str) -> Callable[[Section], float]:
    """Return what finds NumPy-only minigrad's time over a peer's."""
    return lambda s: _row(s, NUMPY_ONLY)["ms"]["median"] / _row(s, peer)["ms"]["median"]


def memory(name: str) -> Callable[[Section], float]:
    """Return what finds a row's peak memory over PyTorch's."""
    return lambda s: _row(s, name)["peak_mb"] / _row(s, "torch channels_last")["peak_mb"]


def slowest_kernel(start: str) -> Callable[[Section], float]:
    """Return what finds the least GFLOP/s among kernels whose names start so."""

    def least(section: Section) -> float:
        rows = [row for row in section["rows"] if row["kernel"].startswith(start)]
        if not rows:
            raise KeyError(start)
        return min(row["flops"] / row["ms"] / 1e6 for row in rows)

    return least


def overhead(kind: str) -> Callable[[Section], float]:
    return lambda section: section["rows"][0][kind]["median"]


T8, T1 = "inference convnext_tiny 224 batch 8", "inference convnext_tiny 224 batch 1"
V8, V1 = "inference convnextv2_tiny 224 batch 8", "inference convnextv2_tiny 224 batch 1"
TRAINING = "training convnext_tiny 224 batch 8"
ATTO = "training convnextv2_atto 64 batch 16"
LAST, COMPILE = "torch channels_last", "torch.compile"

CLAIMS = (
    Claim("Inference of ConvNeXt-T, batch 8: as fast as onnxruntime, times", T8,
          faster_than("onnxruntime"), 1.12),
    Claim("… as OpenVINO", T8, faster_than("openvino"), 1.12),
    Claim("… as PyTorch channels_last", T8, faster_than(LAST), 1.3),
    Claim("… as PyTorch channels_last with glibc tuned", T8, faster_than(TUNED), 1.12),
    Claim("… as PyTorch with glibc and MKL tuned", T8, faster_than(UNLOCKED), None),
    Claim("ConvNeXt-T, batch 1: as onnxruntime", T1, faster_than("onnxruntime"), 1.0),
    Claim("… as PyTorch channels_last", T1, faster_than(LAST), 1.1),
    Claim("ConvNeXt V2-T, batch 8: as PyTorch channels_last", V8, faster_than(LAST), 1.3),
    Claim("… with glibc tuned", V8, faster_than(TUNED), 1.12),
    Claim("ConvNeXt V2-T, batch 1: as PyTorch channels_last", V1, faster_than(LAST), 1.1),
    Claim("Training step of ConvNeXt-T, batch 8: as PyTorch channels_last", TRAINING,
          faster_than(LAST), 1.2),
    Claim("… as torch.compile", TRAINING, faster_than(COMPILE), 1.2),
    Claim("… as PyTorch with glibc and MKL tuned", TRAINING, faster_than(UNLOCKED), None),
    Claim("… its peak memory, of PyTorch's", TRAINING, memory("minigrad"), 0.8, at_most=True),
    Claim("… with recomputation", TRAINING, memory(RECOMPUTING), 0.6, at_most=True),
    Claim("… the time that recomputation takes, of that without", TRAINING,
          faster_than(RECOMPUTING), None),
    Claim("Training step of V2-atto at 64 × 64, batch 16: as PyTorch channels_last", ATTO,
          faster_than(LAST), 1.2),
    Claim("… as PyTorch with glibc and MKL tuned", ATTO, faster_than(UNLOCKED), None),
    Claim("Fashion-MNIST, a step of the default training: as PyTorch", "fashion step",
          faster_than("torch"), None),
    Claim("Fashion-MNIST, an epoch: as PyTorch", "fashion epoch", faster_than("torch"), None),
    Claim("Depthwise 7 × 7 on 56 × 56 × 96, the slowest of forward and both gradients", "kernels",
          slowest_kernel("depthwise 7 × 7 on 56"), 110, unit="GFLOP/s"),
    Claim("With NumPy alone, ConvNeXt-T, batch 8: PyTorch channels_last's time, times", T8,
          slower_than(LAST), 2.0, at_most=True),
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    made = parser("claims", __doc__, json=False)
    made.add_argument("--json", type=Path, help="file of results; default: the newest recorded")
    path = made.parse_args(arguments).json or newest()
    if path is None:
        raise DataError(
            "nothing is recorded yet; take figures with 'python -m benchmarks cpu --json'"
        )
    sections = read(path)["sections"]
    show(COLUMNS, [claim.judge(sections) for claim in CLAIMS])


if __name__ == "__main__":
    main()
