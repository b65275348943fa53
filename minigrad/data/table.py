"""Tables: a CSV file that names pictures, and says of each its class, its labels or its numbers."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minigrad.data.dataset import (
    Dataset,
    Image,
    Subset,
    random_split,
    stratified_split,
    whole_number,
)
from minigrad.data.picture import read_image, require_pillow
from minigrad.data.source import TARGETS
from minigrad.errors import DataError, OptionError, brief, unknown
from minigrad.files import opened, to_path

__all__ = [
    "Columns",
    "PictureTable",
    "is_table",
    "kind_of_table",
    "no_part",
    "number_in",
    "read_columns",
    "split_table",
    "targets_of",
]

ENDINGS = {".csv": ",", ".tsv": "\t"}
PATHS = ("path", "file", "filename", "file_name", "image", "picture", "image_path", "file_path")
PARTS = ("split", "part", "subset", "fold")  # a column that says what a picture is for
HELD = ("test", "val", "valid", "validation")
CLASSES = ("class", "label", "category", "species", "target_class")
BETWEEN = ("|", ";")  # several labels in one field
LIMIT = 1 << 28  # bytes of a table


@dataclass(frozen=True)
class Columns:
    """A table as it was read: whose picture, what for, and the fields that say what it shows."""

    source: Path
    lines: list[int]
    paths: list[Path]
    parts: list[str]
    fields: dict[str, list[str]]  # by column


class PictureTable:
    r"""The pictures that a CSV file lists, each with what its other columns say.

    Parameters
    ----------
    path : path
        A CSV file (or ``.tsv``) with a header. The pictures stand in a column called path, file or
        image; relative to the file's folder. A column split says by train, val or test what a
        picture is for. What is left are the targets.
    targets : {"class", "labels", "numbers"}, optional
        One class of each picture (text in one column); labels of which it has several (in one
        column, with ``|`` or ``;`` between; or a column of 0 and 1 for each); or numbers. By
        default what the columns look like (`kind_of_table`).
    channels : int, default 3
        As for `read_image`.

    Attributes
    ----------
    classes : tuple of str
        Names of the classes or labels, sorted; of the columns, where they are numbers.
    samples : list of (Path, target)
        Every picture with the number of its class, or an array of 0 and 1, or of numbers.

    Raises
    ------
    DataError
        If the file is no such table, or names pictures that are missing; the line is named.
    OptionError
        If the columns are no such targets.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> np.save(root / "a.npy", np.zeros((4, 4, 3), np.uint8))
    >>> _ = (root / "table.csv").write_text("path,labels\na.npy,red|round\na.npy,red\n")
    >>> table = PictureTable(root / "table.csv")
    >>> table.targets, table.classes, table[1][1]
    ('labels', ('red', 'round'), array([1., 0.], dtype=float32))
    """

    def __init__(self, path: str | Path, targets: str | None = None, channels: int = 3) -> None:
        columns = _read(to_path(path))
        self.path = columns.source
        self.channels = whole_number("PictureTable: channels", channels, 1)
        self.targets = targets_of(columns) if targets is None else targets
        if not isinstance(self.targets, str) or self.targets not in TARGETS:
            raise unknown("kind of targets", targets, TARGETS)
        self.classes, values = _PARSERS[self.targets](columns)
        self.samples = list(zip(columns.paths, values, strict=True))
        self.lines, self.parts = columns.lines, columns.parts
        if any(picture.suffix.lower() != ".npy" for picture in columns.paths):
            require_pillow()

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int, /) -> tuple[Image, Any]:
        path, target = self.samples[index]
        return read_image(path, self.channels), target

    def __repr__(self) -> str:
        return f"PictureTable({str(self.path)!r}, {len(self)} images, {self.targets})"


def is_table(path: str | Path) -> bool:
    """Return whether a name is that of a table that is there.

    Examples
    --------
    >>> is_table("no/such/table.csv")
    False
    """
    return to_path(path).suffix.lower() in ENDINGS and os.path.isfile(path)


def kind_of_table(path: str | Path) -> tuple[str, str]:
    r"""Return what the columns of a table look like, and by what that is seen.

    Examples
    --------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> np.save(root / "a.npy", np.zeros((4, 4, 3), np.uint8))
    >>> _ = (root / "ages.csv").write_text("image,age\na.npy,31\n")
    >>> kind_of_table(root / "ages.csv")
    ('numbers', 'age holds numbers')
    """
    columns = _read(to_path(path))
    kind = targets_of(columns)
    names = " and ".join(columns.fields)
    why = {
        "class": f"{names} holds one name for each picture",
        "labels": f"{names} hold several labels at once",
        "numbers": f"{names} {'holds' if len(columns.fields) == 1 else 'hold'} numbers",
    }
    return kind, why[kind]


def split_table(table: PictureTable, seed: int = 0) -> tuple[Dataset, Dataset]:
    """Return what to train on and what is held out: by the column split, else a fifth by chance."""
    if any(table.parts):
        parts = np.array([part.lower() for part in table.parts])
        held = np.isin(parts, HELD)
        strange = ~held & (parts != "train")
        if strange.any():
            row = int(np.flatnonzero(strange)[0])
            raise DataError(f"{table.path}: line {table.lines[row]}: {no_part(table.parts[row])}")
        if held.all() or not held.any():
            raise DataError(
                f"{table.path}: all pictures are for {table.parts[0]}; some must be to train on, "
                "and others val or test"
            )
        return Subset(table, np.flatnonzero(~held)), Subset(table, np.flatnonzero(held))
    if len(table) < 2:
        raise DataError(f"{table.path}: one picture is not enough to train on and hold others out")
    if table.targets == "class":
        train, test = stratified_split(table, 0.2, seed)
        if len(test):
            return train, test
    held_out = max(1, round(0.2 * len(table)))
    train, test = random_split(table, [len(table) - held_out, held_out], seed)
    return train, test


# ---- reading ------------------------------------------------------------------------------------


def _read(path: Path) -> Columns:
    """Read a table that is whole; refuse the first line that is wrong."""
    columns, faults = read_columns(path)
    if faults:
        more = f"; {len(faults) - 1:,} more lines are wrong" if len(faults) > 1 else ""
        raise DataError(f"{path}: {min(faults)[2]}{more}; 'minigrad data --check' lists all faults")
    return columns


def read_columns(path: Path) -> tuple[Columns, list[tuple[int, Path, str]]]:
    """Read the lines that are right, and return beside them what is wrong with the others.

    That is the line's number, its picture, and a sentence that begins with the line.

    Raises
    ------
    DataError
        If it is no table, or its header does not say where pictures are and what they show.
    """
    header, rows = _fields(path)
    lowered = {name.lower(): header.index(name) for name in header}
    place = next((lowered[name] for name in PATHS if name in lowered), None)
    if place is None:
        raise DataError(
            f"{path}: no column says where the pictures are; call it path (columns are "
            f"{brief(header)})"
        )
    part = next((lowered[name] for name in PARTS if name in lowered), None)
    told = [i for i in range(len(header)) if i not in (place, part)]
    if not told:
        raise DataError(f"{path}: beside {header[place]} a column must say what the pictures show")
    several = {i for i in told if any(mark in row[i] for _, row in rows if len(row) > i
                                      for mark in BETWEEN)}  # fmt: skip
    right, faults = [], []
    for number, row in rows:
        line = f"line {number}"
        if len(row) != len(header):
            count = f"has {len(row)} fields, but the header has {len(header)}"
            faults.append((number, path, f"{line} {count}"))
            continue
        picture = path.parent / row[place]
        empty = next((header[i] for i in told if not row[i] and i not in several), None)
        if not os.path.isfile(picture):
            faults.append(
                (number, picture, f"{line}: {brief(row[place])}: no such picture; paths are "
                 "relative to the table's folder")
            )  # fmt: skip
        elif empty is not None:  # of several labels there may be none
            faults.append((number, picture, f"{line}: {empty} is empty"))
        else:
            right.append((number, picture, row))
    columns = Columns(
        path,
        [number for number, _, _ in right],
        [picture for _, picture, _ in right],
        ["" if part is None else row[part] for _, _, row in right],
        {header[i]: [row[i] for _, _, row in right] for i in told},
    )
    return columns, faults


def _fields(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Return the names of the columns, and of every line its number and fields."""
    with opened(path) as source:
        raw = source.read(LIMIT + 1)
    if len(raw) > LIMIT:
        raise DataError(f"{path}: larger than {LIMIT:,} bytes")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not a table ({error}); save it as UTF-8") from None
    delimiter = ENDINGS.get(path.suffix.lower(), ",")
    first = text.split("\n", 1)[0]
    if delimiter == "," and "," not in first and ";" in first:
        delimiter = ";"  # as spreadsheets of some countries write it
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter)
    rows: list[tuple[int, list[str]]] = []
    try:
        for row in reader:
            if any(row) or not rows:  # else an empty line
                rows.append((reader.line_num, [field.strip() for field in row]))
    except csv.Error as error:
        raise DataError(f"{path}: not a table ({error})") from None
    if len(rows) < 2:
        raise DataError(f"{path}: a header and one line for each picture are needed")
    header = rows[0][1]
    longest = max(header, key=len, default="")
    if len(longest) > 100:
        raise DataError(f"{path}: {brief(longest)} is too long for a column's name")
    if len(set(header)) < len(header) or "" in header:
        raise DataError(f"{path}: every column needs a name of its own, got {brief(header)}")
    return header, rows[1:]


def no_part(name: str) -> str:
    """Say that a picture cannot be for what the column split says."""
    return f"a picture is for train, val or test, got {brief(name)}"


def targets_of(columns: Columns) -> str:
    """Return what the columns look like: a class, labels or numbers."""
    numbers = {name: _numbers(values) for name, values in columns.fields.items()}
    if len(numbers) > 1:
        if all(found is not None and set(found) <= {0.0, 1.0} for found in numbers.values()):
            return "labels"
        return "numbers"
    ((name, found),) = numbers.items()
    if any(mark in value for value in columns.fields[name] for mark in BETWEEN):
        return "labels"
    return "class" if found is None or name.lower() in CLASSES else "numbers"


def _numbers(values: Sequence[str]) -> list[float] | None:
    try:
        found = [float(value) for value in values]
    except ValueError:
        return None
    return found if all(map(math.isfinite, found)) else None


def _classes(columns: Columns) -> tuple[tuple[str, ...], list[Any]]:
    if len(columns.fields) > 1:
        raise OptionError(
            f"{columns.source}: the class stands in one column, found "
            f"{brief(list(columns.fields))}; leave the others out"
        )
    (values,) = columns.fields.values()
    names = sorted(set(values))
    number = {name: i for i, name in enumerate(names)}
    return tuple(names), [number[value] for value in values]


def _labels(columns: Columns) -> tuple[tuple[str, ...], list[Any]]:
    if len(columns.fields) > 1:
        return tuple(columns.fields), _rows(columns, (0.0, 1.0), "0 or 1")
    (values,) = columns.fields.values()
    mark = next((mark for mark in BETWEEN if any(mark in value for value in values)), BETWEEN[0])
    sets = [{name.strip() for name in value.split(mark)} - {""} for value in values]
    names = sorted(set().union(*sets))
    if not names:
        raise DataError(f"{columns.source}: no picture has a label")
    return tuple(names), [
        np.array([name in chosen for name in names], np.float32) for chosen in sets
    ]


def _values(columns: Columns) -> tuple[tuple[str, ...], list[Any]]:
    return tuple(columns.fields), _rows(columns, None, "a number")


def _rows(columns: Columns, known: tuple[float, ...] | None, kind: str) -> list[Any]:
    """Return one array per picture, with a number from each column."""
    table = np.zeros((len(columns.paths), len(columns.fields)), np.float32)
    for place, (name, values) in enumerate(columns.fields.items()):
        for row, value in enumerate(values):
            number = number_in(value)
            if not math.isfinite(number) or (known and number not in known):
                raise OptionError(
                    f"{columns.source}: line {columns.lines[row]}: {name} must be {kind}, got "
                    f"{brief(value)}"
                )
            table[row, place] = number
    return list(table)


def number_in(text: str) -> float:
    """Return the number that a field holds, NaN if it is none."""
    try:
        return float(text)
    except ValueError:
        return math.nan


_PARSERS = {"class": _classes, "labels": _labels, "numbers": _values}
