"""``minigrad data``: the data sets, and which are on this machine."""

from __future__ import annotations

import argparse

from minigrad.data.catalog import sources
from minigrad.errors import unknown

HELP = "List the data sets and say which are on this machine; download one."
EXAMPLES = """examples:
  minigrad data                                      what there is, and where
  minigrad data --download fashion-mnist
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--download", metavar="NAME", help="fetch a data set, checked by SHA-256")


def run(args: argparse.Namespace) -> int:
    """Fetch what is asked for, then print the list."""
    if args.download is not None:
        if args.download not in sources:
            raise unknown("data set", args.download, sources)
        sources[args.download].load(download=True)
    for source in sources.values():
        use = f"minigrad {'segment' if source.masks else 'train'} --data {source.name}"
        print(f"{source.name}\n  {source.summary}\n  {source.licence}\n  {source.place}\n  {use}")
    return 0
