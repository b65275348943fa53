"""Every table of docs/benchmarks.md, recorded: ``python -m benchmarks all``, half an hour.

Leave the machine alone meanwhile. A step that was recorded is kept if a later one is stopped;
``--from 5`` goes on with the fifth.
"""

from __future__ import annotations

import argparse
import importlib
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.results import path_here
from minigrad.errors import OptionError

STEPS = (
    "cpu inference --model convnext_tiny --batch 8 1 --rounds 11",
    "cpu training --model convnext_tiny --batch 8 --rounds 9",
    "cpu inference --model convnextv2_tiny --batch 8 1 --rounds 11",
    "cpu training --model convnextv2_atto --size 64 --batch 16 --rounds 25",
    "cpu kernels --rounds 15",
    "fashion step --rounds 60",
    "fashion epoch --rounds 3",
    "overhead",
    "scaling training",
    "scaling inference",
)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks all", description=__doc__.split("\n")[0],
        epilog="\n".join(f"{i:3}  {step}" for i, step in enumerate(STEPS, 1)),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--json", type=Path, default=path_here(), help="where to record")
    parser.add_argument("--from", type=int, default=1, dest="first", metavar="N", help="first step")
    args = parser.parse_args(arguments)
    if not 1 <= args.first <= len(STEPS):
        raise OptionError(f"--from must lie between 1 and {len(STEPS)}, got {args.first}")
    for number, step in list(enumerate(STEPS, 1))[args.first - 1 :]:
        print(f"\n--- {number} of {len(STEPS)}: python -m benchmarks {step}", flush=True)
        start = time.perf_counter()
        name, *words = step.split()
        importlib.import_module(f"benchmarks.{name}").main([*words, "--json", str(args.json)])
        print(f"({time.perf_counter() - start:.0f} s)", flush=True)
    print(f"\nrecorded in {args.json}")


if __name__ == "__main__":
    main()
