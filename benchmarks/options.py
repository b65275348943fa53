"""What the commands have in common: the form of their options, and a mend for a wrong name."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from pathlib import Path

from benchmarks.results import path_here
from minigrad.errors import unknown


def parser(
    name: str, doc: str | None, *, rounds: int | None = None, threads: bool = False,
    json: bool = True, epilog: str | None = None,
) -> argparse.ArgumentParser:  # fmt: skip
    """Return the parser of a command: its module's docstring is the help."""
    made = argparse.ArgumentParser(
        prog=f"python -m benchmarks {name}", description=doc, epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    if rounds is not None:
        made.add_argument(
            "--rounds", type=int, default=rounds, help=f"turns of each (default: {rounds})"
        )
    if threads:
        made.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    if json:
        made.add_argument(
            "--json", type=Path, nargs="?", const=path_here(), metavar="FILE",
            help="record the figures; without FILE in benchmarks/results, under this machine's "
            "name",
        )  # fmt: skip
    return made


def check(kind: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse a name that is not known."""
    known = list(known)
    for name in given:
        if name not in known:
            raise unknown(kind, name, known)
