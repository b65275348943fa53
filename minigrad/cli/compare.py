"""``minigrad compare``: in what runs differ, and what came of it."""

from __future__ import annotations

import argparse
from pathlib import Path

from minigrad.cli.options import check_file
from minigrad.errors import unknown
from minigrad.runs import compare

HELP = "Lay runs side by side: the options in which they differ, their scores and curves."
EXAMPLES = """examples:
  minigrad compare runs/a runs/b                     tables; the curves go to comparison.svg
  minigrad compare runs/*/ --output lr.svg
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("runs", nargs="+", metavar="RUN", help="folders of two runs or more, of any kind")
    add("--output", "-o", default="comparison.svg", metavar="FILE", help="the curves, .svg")


def run(args: argparse.Namespace) -> int:
    """Print what differs and what came out; draw the curves."""
    if Path(args.output).suffix.lower() != ".svg":
        raise unknown("ending", Path(args.output).suffix or args.output, [".svg"])
    check_file(args.output)
    found = compare(args.runs)
    print(found)
    if any(record.history for record in found.runs):
        found.svg().save(args.output)
        print(f"{args.output}: their curves")
    return 0
