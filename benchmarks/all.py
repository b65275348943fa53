"""Every table of docs/benchmarks.md, recorded: ``python -m benchmarks all``, half an hour.

Leave the machine alone meanwhile. A step that was recorded is kept if a later one is stopped;
``--from 5`` goes on with the fifth.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from functools import partial

from benchmarks.options import parser
from benchmarks.results import path_here
from benchmarks.tables import say
from benchmarks.turns import timed
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
    steps = list(enumerate(STEPS, 1))
    made = parser("all", __doc__, epilog="\n".join(f"{i:3}  {step}" for i, step in steps))
    made.add_argument("--from", type=int, default=1, dest="first", metavar="N", help="first step")
    made.set_defaults(json=path_here())
    args = made.parse_args(arguments)
    if not 1 <= args.first <= len(STEPS):
        raise OptionError(f"--from must lie between 1 and {len(STEPS)}, got {args.first}")
    for number, step in steps[args.first - 1 :]:
        say(f"\n{number} of {len(STEPS)}: python -m benchmarks {step}")
        name, *words = step.split()
        command = importlib.import_module(f"benchmarks.{name}")
        seconds, _ = timed(partial(command.main, [*words, "--json", str(args.json)]))
        say(f"({seconds:.0f} s)")
    print(f"\nrecorded in {args.json}")


if __name__ == "__main__":
    main()
