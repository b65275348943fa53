"""Record: what the folder of a run tells of it, without its model and its data."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigrad.errors import DataError, OptionError, unknown
from minigrad.files import to_path
from minigrad.runs.catalog import task_of
from minigrad.runs.config import Config, read_notes, read_toml
from minigrad.runs.folders import best_of
from minigrad.runs.task import Task
from minigrad.train import best_epoch, read_history

__all__ = ["Record", "read_run"]


@dataclass(frozen=True)
class Record:
    """A run as its folder has it.

    Attributes
    ----------
    folder : Path
        Where it is.
    task : Task
        What kind of run.
    config : Config
        All its options.
    notes : str
        What was chosen for its data and why, and the machine that it was begun on.
    history : list of dict
        A row for every epoch that is done; empty if there is none.
    checkpoint : Path, optional
        The state to evaluate: of the best epoch, where a run keeps it, else of the last one.
    missing : tuple of str
        What a finished run has and this one has not.

    Examples
    --------
    >>> from minigrad.runs import TrainConfig, tasks
    >>> history = [{"epoch": 1, "val_loss": 0.4}, {"epoch": 2, "val_loss": 0.5}]
    >>> record = Record(Path("a"), tasks["train"], TrainConfig(), "", history, None, ())
    >>> record.name, record.monitor, record.best
    ('a', 'val_loss', {'epoch': 1, 'val_loss': 0.4})
    """

    folder: Path
    task: Task[Any]
    config: Config
    notes: str
    history: list[dict[str, float]]
    checkpoint: Path | None
    missing: tuple[str, ...]

    @property
    def name(self) -> str:
        """That of the folder."""
        return self.folder.resolve().name

    @property
    def monitor(self) -> str:
        """The column that its best epoch is judged by; "" if there is no epoch."""
        wanted = (self.config.monitor, "val_loss", "train_loss")
        shared = set.intersection(*map(set, self.history)) if self.history else set()
        return next((name for name in wanted if name in shared), "")

    @property
    def best(self) -> dict[str, float] | None:
        """The row of the best epoch."""
        return self.history[best_epoch(self.history, self.monitor)] if self.monitor else None


def read_run(folder: str | Path) -> Record:
    """Read what a run has left behind.

    Parameters
    ----------
    folder : path
        A run that is done, under way, or was stopped at any moment.

    Raises
    ------
    DataError, OptionError
        If it is no folder, not that of a run, or its options cannot be read.

    Examples
    --------
    >>> import tempfile
    >>> from minigrad.runs import run, tasks
    >>> wanted = {"epochs": 2, "depths": (1,), "dims": (4,), "batch_size": 256}
    >>> record = read_run(run(tasks["train"], wanted, output=tempfile.mkdtemp()))
    convnextv2 ...
    >>> record.task.name, record.config.epochs, len(record.history), record.missing
    ('train', 2, 2, ())
    """
    folder = to_path(folder)
    if os.path.isfile(folder):  # where a name is too long, pathlib raises
        raise DataError(f"{folder}: a file; name the folder of a run")
    if not os.path.isdir(folder):
        raise unknown("run", str(folder), map(str, _runs_beside(folder)))
    file = folder / "config.toml"
    if not file.is_file():
        raise DataError(f"{folder}: a folder, but not of a run (looked for {file.name})")
    try:
        values = read_toml(file)
        task = task_of({"config": values})
        config = task.config.from_values(values)
    except OptionError as error:
        raise DataError(f"{file}: {error}") from None
    except KeyError:
        raise DataError(f"{file}: these are options of no task") from None
    missing: list[str] = []
    history: list[dict[str, float]] = []
    try:
        history = read_history(folder / "log.jsonl")
    except DataError as error:
        missing.append(f"no epoch is told of: {error}")
    if history and len(history) < config.epochs and not config.patience:
        missing.append(f"{len(history)} of {config.epochs} epochs are done")
    checkpoint = folder / task.checkpoint
    if not checkpoint.is_file():
        missing.append(f"there is no {checkpoint.name}, so no model that could be asked")
    missing += [
        f"there is no {name}, {what}"
        for name, what in task.files.items()
        if not (folder / name).is_file()
    ]
    there = best_of(checkpoint) if checkpoint.is_file() else None
    return Record(folder, task, config, read_notes(file), history, there, tuple(missing))


def _runs_beside(folder: Path) -> list[Path]:
    try:
        return [path.parent for path in folder.parent.glob("*/config.toml")]
    except OSError:
        return []
