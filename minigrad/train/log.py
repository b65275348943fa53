"""Log: the history of a run as CSV and as JSON lines."""

from __future__ import annotations

import csv
import io as text
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from minigrad import io
from minigrad.errors import DataError
from minigrad.files import opened, to_path
from minigrad.loading import Entries
from minigrad.train.trainer import Callback, Trainer

__all__ = ["Log", "read_history", "to_csv", "to_json_lines"]

LIMIT = 1 << 24  # bytes of a log: a hundred thousand epochs


class Log(Callback):
    """Write ``log.csv`` and ``log.jsonl``, one line per epoch, into a folder.

    Both are rewritten from the trainer's history, atomically; so after a resume they hold
    every epoch once, even if the process was killed between a checkpoint and its log.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Log(folder).folder == Path(folder)
    True
    """

    rank_0_only = True

    def __init__(self, folder: str | Path) -> None:
        self.folder = to_path(folder)

    def on_fit_start(self, trainer: Trainer) -> None:
        if trainer.history:
            self.on_epoch_end(trainer)

    def on_epoch_end(self, trainer: Trainer) -> None:
        io.write_text(self.folder / "log.csv", to_csv(trainer.history))
        io.write_text(self.folder / "log.jsonl", to_json_lines(trainer.history))


def to_csv(history: Sequence[Mapping[str, float]]) -> str:
    """Return the history as CSV with a header line.

    Examples
    --------
    >>> print(to_csv([{"epoch": 1, "train_loss": 0.5}]).strip())
    epoch,train_loss
    1,0.5
    """
    names = list(dict.fromkeys(name for row in history for name in row))
    out = text.StringIO()
    writer = csv.DictWriter(out, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(history)
    return out.getvalue()


def to_json_lines(history: Sequence[Mapping[str, float]]) -> str:
    r"""Return the history as one JSON object per line.

    Examples
    --------
    >>> to_json_lines([{"epoch": 1, "train_loss": 0.5}])
    '{"epoch": 1, "train_loss": 0.5}\n'
    """
    return "".join(json.dumps(row) + "\n" for row in history)


def read_history(path: str | Path) -> list[dict[str, float]]:
    r"""Read the JSON lines of a history again.

    Raises
    ------
    DataError
        If the file is missing, or its lines are no numbers by name.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "log.jsonl")
    ...     _ = path.write_text('{"epoch": 1, "train_loss": 0.5}\n')
    ...     read_history(path)
    [{'epoch': 1, 'train_loss': 0.5}]
    """
    with opened(path) as source:
        content = source.read(LIMIT + 1)
    try:
        if len(content) > LIMIT:
            raise ValueError(f"it is larger than {LIMIT:,} bytes")
        rows = [json.loads(line) for line in content.decode().splitlines()]
    except (ValueError, RecursionError) as error:
        raise DataError(f"{path}: no log of a run ({str(error)[:200]})") from None
    try:
        return Entries("log", {"history": rows}, ["history"]).rows("history")
    except DataError:
        raise DataError(
            f"{path}: no log of a run; each of its lines is a mapping of names to numbers"
        ) from None
