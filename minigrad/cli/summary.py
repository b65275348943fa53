"""``minigrad summary``: layers, shapes, parameters and multiply-adds of a model."""

from __future__ import annotations

import argparse
import shutil
import sys

from minigrad.cli.build import add_model_options, chosen_model
from minigrad.errors import OptionError
from minigrad.viz import summary

HELP = "Tabulate a model's layers, output shapes, parameters and multiply-adds."
EXAMPLES = """examples:
  minigrad summary convnextv2_atto                   a model that has a name
  minigrad summary convnext --depths 1 1 --dims 8 16 --size 32
  minigrad summary unet --encoder convnextv2_atto --spatial-dims 3 --size 32
  minigrad summary runs/digits                       the model of a run
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_model_options(parser, "convnext_tiny", [3, 3, 9, 3], [96, 192, 384, 768])
    parser.add_argument("--depth", type=int, default=2, metavar="N", help="levels of modules shown")


def run(args: argparse.Namespace) -> int:
    """Print the table, with rich on a terminal that has it and is wide enough for all numbers."""
    if args.depth < 0:
        raise OptionError(f"--depth must be 0 or more, got {args.depth}")
    model, shape, _ = chosen_model(args)
    table = summary(model, shape, args.depth)
    width = max(map(len, str(table).splitlines()))
    if sys.stdout.isatty() and width < shutil.get_terminal_size().columns:
        try:
            from rich.console import Console
        except ImportError:
            pass
        else:
            Console().print(table)
            return 0
    print(table)
    return 0
