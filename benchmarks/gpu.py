"""``python -m benchmarks gpu``: kernels against their floors, networks beside PyTorch, on a GPU.

First everything is computed on the CPU too and compared: there are no figures of wrong results.
Then the card itself is measured (how fast it copies and multiplies), each kernel against the least
time that its bytes and operations allow on this card, and ConvNeXt-T and V2-T in training and in
inference beside PyTorch, all in the same run and process. It ends within ``--minutes``;
what there was no time for is listed as left out. Prints tables and writes one file per card.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import gpu_kernels, gpu_networks
from benchmarks.machine import HERE, moment
from minigrad import backend
from minigrad.io import write_text

FOLDER = HERE / "results"


def options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks gpu", description=__doc__)
    parser.add_argument("--device", default="cuda", help="which GPU (default: cuda)")
    parser.add_argument("--batch", type=int, default=128, help="images per step (default: 128)")
    parser.add_argument("--size", type=int, default=224, help="side of the images (default: 224)")
    parser.add_argument("--models", nargs="+", default=["convnext_tiny", "convnextv2_tiny"])
    parser.add_argument(
        "--precisions", nargs="+", default=["bfloat16", "float16", "tf32"],
        choices=["bfloat16", "float16", "tf32"],
    )  # fmt: skip
    parser.add_argument("--minutes", type=float, default=9.5, help="stop in time (default: 9.5)")
    parser.add_argument("--repeats", type=int, default=20, help="timed runs of each (default: 20)")
    parser.add_argument("--megabytes", type=int, default=1024, help="size of the copied memory")
    parser.add_argument("--side", type=int, default=8192, help="side of the multiplied matrices")
    parser.add_argument("--only", choices=["card", "kernels", "networks"], help="one part alone")
    parser.add_argument("--output", type=Path, help="the file (default: benchmarks/results/gpu-…)")
    return parser.parse_args(arguments)


def card(device: str) -> dict[str, Any]:
    """Return what the GPU is, and with what it is driven."""
    cupy = backend.namespace(device)
    number = backend.Device(device).index
    runtime = cupy.cuda.runtime
    about = runtime.getDeviceProperties(number)
    return {
        "card": about["name"].decode(),
        "memory_gib": round(about["totalGlobalMem"] / 2**30, 1),
        "multiprocessors": about["multiProcessorCount"],
        "compute_capability": f"{about['major']}.{about['minor']}",
        "cuda": runtime.runtimeGetVersion(),
        "driver": runtime.driverGetVersion(),
        "cupy": cupy.__version__,
        "torch": gpu_networks.torch_version(),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Return rows of equal keys as text.

    Examples
    --------
    >>> print(table([{"kernel": "gelu", "ms": 1.25}, {"kernel": "grn", "ms": None}]))
    kernel    ms
    gelu    1.25
    grn        —
    """
    if not rows:
        return "(nothing)"
    names = list(rows[0])
    cells = [[_cell(row.get(name)) for name in names] for row in rows]
    widths = [max(len(n), *(len(c[i]) for c in cells)) for i, n in enumerate(names)]
    numeric = [any(isinstance(row.get(n), (int, float)) for row in rows) for n in names]
    lines = []
    for line in [names, *cells]:
        words = [
            c.rjust(w) if right else c.ljust(w)
            for c, w, right in zip(line, widths, numeric, strict=True)
        ]
        lines.append("  ".join(words).rstrip())
    return "\n".join(lines)


def _cell(value: Any) -> str:
    if value is None:
        return "—"
    if isinstance(value, float):
        return f"{value:.4g}" if value < 1000 else f"{value:.0f}"
    return str(value)


def file_of(name: str) -> Path:
    """Return the file for a card.

    Examples
    --------
    >>> file_of("NVIDIA H100 80GB HBM3").name
    'gpu-nvidia-h100-80gb-hbm3.json'
    """
    return FOLDER / f"gpu-{'-'.join(re.findall(r'[a-z0-9.]+', name.lower()))}.json"


def main(arguments: Sequence[str] = ()) -> None:
    """Measure, print and record."""
    asked = options(arguments)
    end = time.perf_counter() + 60 * asked.minutes
    backend.namespace(asked.device)  # one clear error where there is no GPU
    with backend.guard(asked.device):
        report: dict[str, Any] = {"machine": card(asked.device), "run": moment()}
        report["run"]["options"] = {k: str(v) for k, v in vars(asked).items() if v is not None}
        print(", ".join(f"{k} {v}" for k, v in report["machine"].items()), flush=True)
        report["correctness"] = gpu_kernels.correctness() | gpu_networks.correctness()
        print("\ncorrectness, largest relative difference to the CPU:")
        print(table([{"what": k, "error": v} for k, v in report["correctness"].items()]))
        limits = gpu_kernels.limits(asked.megabytes, asked.side, asked.repeats)
        report["limits"] = limits
        print("\nthe card: " + ", ".join(f"{k} {_cell(v)}" for k, v in limits.items()), flush=True)
        if asked.only in (None, "kernels"):
            report["kernels"] = gpu_kernels.measure(asked.batch, asked.size, limits, asked.repeats)
            print("\nkernels\n" + table(report["kernels"]), flush=True)
        if asked.only in (None, "networks"):
            rows, left_out = gpu_networks.measure(asked, end)
            report["networks"], report["left_out"] = rows, left_out
            print("\nnetworks, images/s\n" + table(rows))
            for line in left_out:
                print(f"left out: {line}")
    path = asked.output or file_of(report["machine"]["card"])
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(report, indent=1) + "\n")
    print(f"\nwrote {path}")
