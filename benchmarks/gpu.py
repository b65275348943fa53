"""``python -m benchmarks gpu``: kernels against their floors, networks beside PyTorch, on a GPU.

First everything is computed on the CPU too and compared: there are no figures of wrong results.
Then the card itself is measured (how fast it copies and multiplies), each kernel against the least
time that its bytes and operations allow on this card, and ConvNeXt-T and V2-T in training and in
inference beside PyTorch, all in the same run and process. It ends within ``--minutes``;
what there was no time for is listed as left out. Prints tables and writes one file per card.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import gpu_kernels, gpu_networks
from benchmarks.machine import moment, slug
from benchmarks.options import parser
from benchmarks.results import FOLDER, write
from benchmarks.tables import plain, show
from minigrad import backend


def options(arguments: Sequence[str]) -> argparse.Namespace:
    made = parser("gpu", __doc__, json=False)
    made.add_argument("--device", default="cuda", help="which GPU (default: cuda)")
    made.add_argument("--batch", type=int, default=128, help="images per step (default: 128)")
    made.add_argument("--size", type=int, default=224, help="side of the images (default: 224)")
    made.add_argument("--models", nargs="+", default=["convnext_tiny", "convnextv2_tiny"])
    made.add_argument(
        "--precisions", nargs="+", default=["bfloat16", "float16", "tf32"],
        choices=["bfloat16", "float16", "tf32"],
    )  # fmt: skip
    made.add_argument("--minutes", type=float, default=9.5, help="stop in time (default: 9.5)")
    made.add_argument("--repeats", type=int, default=20, help="timed runs of each (default: 20)")
    made.add_argument("--megabytes", type=int, default=1024, help="size of the copied memory")
    made.add_argument("--side", type=int, default=8192, help="side of the multiplied matrices")
    made.add_argument("--only", choices=["card", "kernels", "networks"], help="one part alone")
    made.add_argument("--output", type=Path, help="the file (default: benchmarks/results/gpu-…)")
    return made.parse_args(arguments)


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


def main(arguments: Sequence[str] = ()) -> None:
    """Measure, print and record."""
    asked = options(arguments)
    end = time.monotonic() + 60 * asked.minutes
    backend.namespace(asked.device)  # one clear error where there is no GPU
    with backend.guard(asked.device):
        found: dict[str, Any] = {"machine": card(asked.device), "run": moment()}
        found["run"]["options"] = {k: str(v) for k, v in vars(asked).items() if v is not None}
        show(*plain([found["machine"]]))
        found["correctness"] = gpu_kernels.correctness() | gpu_networks.correctness()
        print("\nlargest relative difference to the CPU")
        show(*plain([{"what": k, "error": v} for k, v in found["correctness"].items()]))
        found["limits"] = gpu_kernels.limits(asked.megabytes, asked.side, asked.repeats)
        print("\nthe card")
        show(*plain([found["limits"]]))
        if asked.only in (None, "kernels"):
            rows = gpu_kernels.measure(asked.batch, asked.size, found["limits"], asked.repeats)
            found["kernels"] = rows
            print("\nkernels")
            show(*plain(rows))
        if asked.only in (None, "networks"):
            found["networks"], found["left_out"] = gpu_networks.measure(asked, end)
            print("\nnetworks")
            show(*plain(found["networks"]))
            for line in found["left_out"]:
                print(f"left out: {line}")
    path = asked.output or FOLDER / f"gpu-{slug(found['machine']['card'])}.json"
    write(path, found)
    print(f"\nwrote {path}")
