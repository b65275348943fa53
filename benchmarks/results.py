"""The file of results: one per machine, a section per table, each with how it was taken.

A run replaces its own section and leaves the others, so the long set can be taken in parts.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from benchmarks.machine import HERE, machine, moment, name_of
from minigrad.errors import DataError
from minigrad.io import write_text

FOLDER = HERE / "results"
Section = dict[str, Any]


def path_here() -> Path:
    """Return the file of this machine."""
    return FOLDER / f"cpu-{name_of(machine())}.json"


def recorded() -> list[Path]:
    """Return the files of all machines, by name."""
    return sorted(FOLDER.glob("cpu-*.json"))


def read(path: Path) -> dict[str, Any]:
    """Return ``{"machine": …, "sections": {name: section}}``."""
    result: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return result


def section(kind: str, command: str, **more: Any) -> Section:
    """Begin a section: which table it is, how it is taken, when, and beside how much other work."""
    return moment() | {"kind": kind, "command": f"python -m benchmarks {command}"} | more


def record(path: Path, name: str, section: Section) -> None:
    """Write one section into the file, in place of an older one of the same name.

    Raises
    ------
    DataError
        If the file is of another machine, or of other versions of the same packages.
    """
    here = machine()
    whole = read(path) if path.exists() else {"machine": here, "sections": {}}
    there = whole["machine"]
    packages = there["packages"]
    changed = [p for p, version in here["packages"].items() if packages.get(p, version) != version]
    for what in ("processor", "cores"):
        if there[what] != here[what]:
            raise DataError(
                f"{path} has figures of another machine ({what} {there[what]!r}, here "
                f"{here[what]!r}); choose another file"
            )
    if changed:
        raise DataError(
            f"{path} was taken with other versions of {', '.join(changed)}; delete it and take all "
            "of it again, or choose another file"
        )
    packages |= here["packages"]
    whole["sections"][name] = section
    write(path, whole)


def write(path: Path, whole: dict[str, Any]) -> None:
    """Write a file of results, and the folders above it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(whole, indent=1, ensure_ascii=False) + "\n")
