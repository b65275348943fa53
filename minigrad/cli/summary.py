"""``minigrad summary``: layers, shapes, parameters and multiply-adds of a model."""

from __future__ import annotations

import argparse
import sys

from minigrad.cli.build import add_model_options, model_from, sample_shape
from minigrad.viz import summary

HELP = "Tabulate a model's layers, output shapes, parameters and multiply-adds."


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_model_options(parser, "convnext_tiny", 224, [3, 3, 9, 3], [96, 192, 384, 768])
    parser.add_argument("--depth", type=int, default=2, metavar="N", help="levels of modules shown")


def run(args: argparse.Namespace) -> int:
    """Print the table, with rich on a terminal that has it."""
    table = summary(model_from(args), sample_shape(args), args.depth)
    if sys.stdout.isatty():
        try:
            from rich.console import Console
        except ImportError:
            pass
        else:
            Console().print(table)
            return 0
    print(table)
    return 0
