"""``minigrad models``: the names of all models."""

from __future__ import annotations

import argparse
import sys

from minigrad.models import list_models

HELP = "List the models that have a name."
EXAMPLES = """examples:
  minigrad models --family convnext
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--family", metavar="NAME", help="only one family, e.g. convnext")


def run(args: argparse.Namespace) -> int:
    """Print the catalog on a terminal, one name per line elsewhere."""
    found = list_models(args.family)
    print(found if sys.stdout.isatty() else "\n".join(found))
    return 0
