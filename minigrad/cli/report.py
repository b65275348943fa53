"""``minigrad report``: everything about a run in one HTML file."""

from __future__ import annotations

import argparse
from pathlib import Path

from minigrad import io
from minigrad.cli.options import check_file
from minigrad.runs import find_trained, report

HELP = "Write a page about a run: options, data, curves, scores of every class and mistakes."
EXAMPLES = """examples:
  minigrad report runs/digits                        writes runs/digits/report.html
  minigrad report runs/digits --output page.html     one file, which asks no other
  minigrad report runs/cats --data elsewhere/cats    the data lie elsewhere now
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("folder", nargs="?", metavar="RUN", help="the run (default: the latest below runs/)")
    add("--output", "-o", metavar="FILE", help="the page (default: report.html in the run)")
    add("--data", metavar="NAME", help="where the data are now (default: where they were)")
    add("--device", default="cpu", metavar="NAME", help="cpu, cuda or cuda:<number>")


def run(args: argparse.Namespace) -> int:
    """Write the page."""
    folder = Path(args.folder) if args.folder else find_trained(None, classes=False).parent
    output = Path(args.output or folder / "report.html")
    check_file(str(output))
    io.write_text(output, report(folder, args.data, args.device))
    print(f"{output}: the run as a page")
    return 0
