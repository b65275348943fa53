"""``minigrad data``: the data sets, and which are on this machine; your own checked."""

from __future__ import annotations

import argparse
from pathlib import Path

from minigrad import io
from minigrad.cli.options import check_file
from minigrad.data import check_folder, check_table
from minigrad.data.catalog import sources
from minigrad.errors import OptionError, unknown
from minigrad.viz import folder_page

HELP = "List the data sets and say which are on this machine; download one; check your own."
EXAMPLES = """examples:
  minigrad data                                      what there is, and where
  minigrad data --download fashion-mnist
  minigrad data --check pictures --page pictures.html    every picture of a folder
  minigrad data --check table.csv                    every line of a table, and its pictures
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--download", metavar="NAME", help="fetch a data set, checked by SHA-256")
    add(
        "--check",
        metavar="PATH",
        help="read every picture of a folder, or of a table (.csv); say all that is wrong",
    )
    add("--page", metavar="FILE", help="with --check: the findings as one HTML file, with pictures")


def run(args: argparse.Namespace) -> int:
    """Check a folder or a table; or fetch what is asked for, then print the list."""
    if args.check is not None:
        return _check(args)
    if args.page is not None:
        raise OptionError("--page is what --check found; name the folder or table with --check")
    if args.download is not None:
        if args.download not in sources:
            raise unknown("data set", args.download, sources)
        sources[args.download].load(download=True)
    for source in sources.values():
        use = f"minigrad {'segment' if source.masks else 'train'} --data {source.name}"
        print(f"{source.name}\n  {source.summary}\n  {source.licence}\n  {source.place}\n  {use}")
    return 0


def _check(args: argparse.Namespace) -> int:
    """Return 1 if something cannot be read, so that a script may stop there."""
    if args.download is not None:
        raise OptionError("--check and --download are two things; ask for one of them")
    check_file(args.page)
    found = (check_folder if Path(args.check).is_dir() else check_table)(args.check)
    print(found)
    if args.page is not None:
        io.write_text(args.page, folder_page(found))
        print(f"{args.page}: the same as a page, with pictures")
    return 0 if found.ok else 1
