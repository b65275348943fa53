"""``minigrad data``: the data sets, and which are on this machine."""

from __future__ import annotations

import argparse

from minigrad.data import load_split
from minigrad.data.catalog import sources

HELP = "List the data sets and say which are on this machine; download one."


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--download", metavar="NAME", help="fetch a data set, checked by SHA-256")


def run(args: argparse.Namespace) -> int:
    """Fetch what is asked for, then print the list."""
    if args.download is not None:
        load_split(args.download, download=True)
    for source in sources.values():
        place = source.where() or f"not here; minigrad data --download {source.name}"
        print(f"{source.name}\n  {source.summary}\n  {source.licence}\n  {place}")
    return 0
