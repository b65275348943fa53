"""Comparison: in what runs differ, and what came of it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigrad.errors import OptionError
from minigrad.loading import several
from minigrad.runs.config import plain
from minigrad.runs.record import Record, read_run
from minigrad.showing import table
from minigrad.viz import SVG, comparison_svg

__all__ = ["Comparison", "compare"]

KEPT = ("lr", "seconds", "train_smoothing")  # columns of a history that judge nothing
NONE = "–"


@dataclass(frozen=True)
class Comparison:
    """Runs side by side; printed, a table of what differs and of what came out.

    Attributes
    ----------
    runs : sequence of Record
        As their folders have them.

    Examples
    --------
    >>> from minigrad.runs import TrainConfig, tasks
    >>> def epoch(name, lr, loss):
    ...     config, history = TrainConfig(lr=lr), [{"epoch": 1, "val_loss": loss}]
    ...     return Record(Path(name), tasks["train"], config, "", history, None, ())
    >>> print(Comparison([epoch("a", 1e-3, 0.75), epoch("b", 1e-2, 0.5)]))
                              a     b
    lr                    0.001  0.01
    epochs                    1     1
    best epoch                1     1
    val_loss               0.75   0.5
    val_loss, best epoch   0.75   0.5
    seconds in all            0     0
    """

    runs: Sequence[Record]

    def __post_init__(self) -> None:
        """Refuse what are no runs."""
        if not several("Comparison", "runs", self.runs, Record):
            raise OptionError("Comparison: one run at least is needed")

    @property
    def names(self) -> list[str]:
        """What the runs are called: the shortest ends of their paths that differ."""
        parts = [record.folder.resolve().parts for record in self.runs]
        ends = (["/".join(p[-n:]) for p in parts] for n in range(1, max(map(len, parts)) + 1))
        return next(names for names in ends if len(set(names)) == len(names))

    def options(self) -> dict[str, list[str]]:
        """Return the options in which they differ, with the value of each run; – where it has none.

        The kind of run comes first, if it is not the same.
        """
        said = [
            {"task": record.task.name}
            | {name: plain(value) or "none" for name, value in record.config.to_dict().items()}
            for record in self.runs
        ]
        names = dict.fromkeys(name for values in said for name in values)
        rows = {name: [values.get(name, NONE) for values in said] for name in names}
        return {name: row for name, row in rows.items() if len(set(row)) > 1}

    def scores(self) -> dict[str, list[float | None]]:
        """Return the last and the best value of every column that a run has logged."""
        columns = dict.fromkeys(name for r in self.runs for row in r.history for name in row)
        rows: dict[str, list[float | None]] = {
            "epochs": [float(len(record.history)) for record in self.runs]
        }
        best = [record.best or {} for record in self.runs]
        last = [record.history[-1] if record.history else {} for record in self.runs]
        rows["best epoch"] = [row.get("epoch") for row in best]
        for name in columns:
            if name not in (*KEPT, "epoch"):
                rows[name] = [row.get(name) for row in last]
                rows[f"{name}, best epoch"] = [row.get(name) for row in best]
        rows["seconds in all"] = [
            sum(row.get("seconds", 0.0) for row in record.history) for record in self.runs
        ]
        return rows

    def svg(self) -> SVG:
        """Draw the curves of all, a panel for each column.

        Raises
        ------
        OptionError
            If no run has logged an epoch.
        """
        histories = (
            [{name: x for name, x in row.items() if name not in KEPT} for row in record.history]
            for record in self.runs
        )
        return comparison_svg(dict(zip(self.names, histories, strict=True)))

    def __str__(self) -> str:
        lines = [["", *self.names], *self._cells()]
        widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
        return "\n".join(
            "  ".join(f"{cell:{'>' if i else ''}{width}}" for i, (cell, width) in
                      enumerate(zip(line, widths, strict=True))).rstrip()
            for line in lines
        )  # fmt: skip

    def _repr_html_(self) -> str:
        """Return the table that notebooks show."""
        return table(self._cells(), ["", *self.names])

    def _cells(self) -> Iterator[list[str]]:
        for name, values in self.options().items():
            yield [name, *values]
        for name, numbers in self.scores().items():
            yield [name, *(_number(value) for value in numbers)]


def compare(folders: Sequence[str | Path]) -> Comparison:
    """Read several runs, and lay them side by side.

    Parameters
    ----------
    folders : sequence of path
        Two runs or more, of any kind, done or not.

    Raises
    ------
    DataError, OptionError
        If one is not the folder of a run, or they are not at least two different ones.

    Examples
    --------
    >>> import tempfile
    >>> from minigrad.runs import run, tasks
    >>> wanted = {"epochs": 1, "depths": (1,), "dims": (4,), "batch_size": 256}
    >>> output, rates = tempfile.mkdtemp(), (1e-3, 1e-2)
    >>> runs = [run(tasks["train"], wanted | {"lr": r}, output=output) for r in rates]
    convnextv2 ...
    >>> compare(runs).options()
    {'lr': ['0.001', '0.01']}
    """
    paths = several("compare", "folders", folders, str | os.PathLike)
    if len(paths) < 2:
        raise OptionError(f"compare: two runs or more are compared, got {folders}")
    found = Comparison([read_run(path) for path in paths])
    if len({record.folder.resolve() for record in found.runs}) < len(found.runs):
        raise OptionError("compare: a run is named twice; compare different ones")
    return found


def _number(value: Any) -> str:
    return NONE if value is None else f"{value:.4f}".rstrip("0").rstrip(".") or "0"
