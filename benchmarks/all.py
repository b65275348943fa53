"""Every table of docs/benchmarks.md, recorded: ``python -m benchmarks all``, an hour.

Leave the machine alone meanwhile. A step that was recorded is kept if a later one is stopped;
``all 5 6`` takes the fifth and the sixth alone.
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
    "cpu training --model convnextv2_atto --size 64 --batch 16 --rounds 15",
    "cpu training --model unet_2d --size 64 --batch 8 --rounds 9",
    "cpu training --model unet_3d --size 32 --batch 4 --rounds 9",
    "cpu inference --model convnext_tiny --batch 8 1 --precision bfloat16 --rounds 11",
    "cpu training --model convnext_tiny --batch 8 --precision bfloat16 --rounds 9",
    "cpu kernels --rounds 15",
    "fashion step --rounds 60",
    "fashion epoch --rounds 3",
    "overhead",
    "scaling training",
    "scaling inference",
)


def main(arguments: Sequence[str] | None = None) -> None:
    steps = dict(enumerate(STEPS, 1))
    listed = "\n".join(f"{number:3}  {step}" for number, step in steps.items())
    made = parser("all", __doc__, epilog=listed)
    made.add_argument("steps", type=int, nargs="*", help="which, by number (default: all)")
    made.set_defaults(json=path_here())
    args = made.parse_args(arguments)
    for number in args.steps or steps:
        if number not in steps:
            raise OptionError(f"a step must lie between 1 and {len(STEPS)}, got {number}")
        step = steps[number]
        say(f"\n{number} of {len(STEPS)}: python -m benchmarks {step}")
        name, *words = step.split()
        command = importlib.import_module(f"benchmarks.{name}")
        seconds, _ = timed(partial(command.main, [*words, "--json", str(args.json)]))
        say(f"({seconds:.0f} s)")
    print(f"\nrecorded in {args.json}")


if __name__ == "__main__":
    main()
