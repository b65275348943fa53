"""Check of a table: every line and every picture once, and all that is wrong said together."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from minigrad.data.check import ACROSS, TORN, TWICE, FolderCheck, Seen, look, twins
from minigrad.data.survey import warnings_of_counts
from minigrad.data.table import (
    BETWEEN,
    CLASSES,
    HELD,
    Columns,
    no_part,
    number_in,
    read_columns,
    targets_of,
)
from minigrad.errors import brief
from minigrad.files import to_path

__all__ = ["check_table"]

STRAY = 0.1  # share of a column's fields that may be no numbers where numbers were meant


def check_table(path: str | Path) -> FolderCheck:
    r"""Read every line of a table and every picture; collect what is wrong instead of stopping.

    Parameters
    ----------
    path : path
        As for `PictureTable`.

    Returns
    -------
    FolderCheck
        A line that is wrong is a file with a fault, which begins with the line's number.

    Raises
    ------
    DataError
        If it is no table, or its header does not say where pictures are and what they show.
    MissingExtra
        If a picture needs Pillow, and it is not installed.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> np.save(root / "a.npy", np.zeros((4, 6), np.uint8))
    >>> text = "path,class\na.npy,cat\nb.npy,dog\n\na.npy,dog\n"
    >>> _ = (root / "pets.csv").write_text(text)
    >>> found = check_table(root / "pets.csv")
    >>> found.counts(), found.bad[0].fault[:6]
    ({'cat': {'': 1}, 'dog': {'': 1}}, 'line 3')
    >>> found.twins[0][1]
    'in two classes: one label is wrong (lines 2 and 5)'
    """
    path = to_path(path)
    columns, faults = read_columns(path)
    kind = targets_of(columns) if columns.lines else "class"
    labels = _labels(columns, kind)
    wrong = dict(_wrong_fields(columns, kind))
    asked = [row for row in range(len(columns.lines)) if row not in wrong]
    seen = look([(columns.paths[row], columns.parts[row].lower(), labels[row]) for row in asked])
    at = dict(zip(asked, seen, strict=True))
    rows = [
        (line, replace(at[row], fault=at[row].fault and f"line {line}: {at[row].fault}"))
        if row in at
        else (line, Seen(columns.paths[row], "", "", fault=f"line {line}: {wrong[row]}"))
        for row, line in enumerate(columns.lines)
    ]
    rows += [(line, Seen(picture, "", "", fault=text)) for line, picture, text in faults]
    rows.sort(key=lambda pair: pair[0])
    found = FolderCheck(path, [file for _, file in rows], targets=kind)
    good = [(line, file) for line, file in rows if not file.fault]
    found.twins.extend(_repeated(good))
    found.twins.extend(twins(list({file.path: file for _, file in good}.values())))
    found.notes.extend(_ranges(columns, kind, at))
    found.warnings.extend(_warnings(found, columns, kind))
    return found


def _labels(columns: Columns, kind: str) -> list[str]:
    """Return what every line says of its picture, labels with a bar between."""
    if kind == "numbers":
        return [""] * len(columns.lines)
    if len(columns.fields) == 1:
        (values,) = columns.fields.values()
        mark = next((m for m in BETWEEN if any(m in value for value in values)), BETWEEN[0])
        return [BETWEEN[0].join(filter(None, map(str.strip, v.split(mark)))) for v in values]
    rows = zip(*columns.fields.values(), strict=True)
    return [
        BETWEEN[0].join(n for n, v in zip(columns.fields, row, strict=True) if number_in(v) == 1)
        for row in rows
    ]


def _wrong_fields(columns: Columns, kind: str) -> Iterator[tuple[int, str]]:
    """Yield the rows whose fields do not fit their columns, with what is wrong."""
    for row, part in enumerate(columns.parts):
        if part and part.lower() not in ("train", *HELD):
            yield row, no_part(part)
    if kind == "class" or (kind == "labels" and len(columns.fields) == 1):
        return
    known = (0.0, 1.0) if kind == "labels" else None
    for name, values in columns.fields.items():
        for row, value in enumerate(values):
            number = number_in(value)
            if not math.isfinite(number) or (known and number not in known):
                yield row, f"{name} must be {'0 or 1' if known else 'a number'}, got {brief(value)}"


def _repeated(rows: list[tuple[int, Seen]]) -> Iterator[tuple[list[Path], str]]:
    """Yield pictures that stand in several lines."""
    by_path = defaultdict(list)
    for line, file in rows:
        by_path[file.path].append((line, file))
    for path, members in by_path.items():
        if len(members) > 1:
            what = ACROSS if len({file.part for _, file in members}) > 1 else TWICE
            what = TORN if len({file.label for _, file in members}) > 1 else what
            yield [path], f"{what} (lines {' and '.join(str(line) for line, _ in members)})"


def _ranges(columns: Columns, kind: str, at: dict[int, Seen]) -> Iterator[str]:
    """Yield where the numbers of every column lie."""
    rows = [row for row, file in at.items() if not file.fault]
    for name, values in columns.fields.items() if kind == "numbers" and rows else ():
        numbers = np.array([number_in(values[row]) for row in rows])
        yield f"{name}: {numbers.min():g} to {numbers.max():g}, mean {numbers.mean():.4g}"


def _warnings(found: FolderCheck, columns: Columns, kind: str) -> Iterator[str]:
    parts = {file.part for file in found.good}
    first = "train" if "train" in parts else ""
    counts = found.counts()
    if kind == "class":
        yield from warnings_of_counts({label: row.get(first, 0) for label, row in counts.items()})
        ((name, values),) = columns.fields.items() if len(columns.fields) == 1 else [("", [])]
        strange = [i for i, value in enumerate(values) if not math.isfinite(number_in(value))]
        if 0 < len(strange) <= STRAY * len(values) and name.lower() not in CLASSES:
            yield (
                f"{name} holds numbers but for line {columns.lines[strange[0]]}, "
                f"{brief(values[strange[0]])}, and is taken for classes; mend or leave out such "
                "lines"
            )
    if parts - {""} and not (first and parts - {"train"}):
        yield "the pictures are all for one part; some must be to train on, and others val or test"
    for label, row in counts.items():
        if first and first not in row and kind != "numbers":
            yield f"{label} is only in {' and '.join(row)}: nothing is learned about it"
