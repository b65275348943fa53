"""k-fold cross-validation: a run for every fold, and what they say together."""

from __future__ import annotations

import csv
import io as text
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from minigrad import io
from minigrad.distributed import init
from minigrad.distributed.launch import one_voice
from minigrad.errors import OptionError
from minigrad.files import to_path
from minigrad.runs.config import C
from minigrad.runs.folders import run_name
from minigrad.runs.runner import check_asked, run
from minigrad.runs.task import Task
from minigrad.train import best_epoch

__all__ = ["cross_validate"]


def cross_validate(
    task: Task[C],
    wanted: Mapping[str, Any],
    *,
    output: str | Path = "runs",
    name: str | None = None,
) -> Path:
    """Train once for each fold of the training part; print mean and standard deviation.

    Parameters
    ----------
    task : Task
        Classification.
    wanted : mapping
        Options that differ from the defaults, with ``folds``.
    output, name : optional
        As in `run`; the runs are called ``NAME-fold1`` ….

    Returns
    -------
    Path
        ``OUTPUT/NAME-folds.csv``, the last epoch of every fold, or the best one if that is kept.

    Examples
    --------
    >>> import tempfile
    >>> from minigrad.runs import tasks
    >>> wanted = {"folds": 2, "epochs": 1, "batch_size": 512}
    >>> wanted |= {"depths": (1,), "dims": (4,)}
    >>> table = cross_validate(tasks["train"], wanted, output=tempfile.mkdtemp())
    fold 1 of 2
    ...
    val_accuracy over 2 folds: ...
    >>> len(table.read_text().splitlines())
    3
    """
    check_asked("cross_validate", task, wanted)
    config, output = task.config.from_values(wanted), to_path(output)
    folds = getattr(config, "folds", 0)
    if not folds:
        raise OptionError("cross_validate: say how many folds there are, as in {'folds': 5}")
    group, name = init(), run_name(name, Path(config.data).name + task.suffix)
    with one_voice(group):
        rows: list[dict[str, float]] = []
        for fold in range(1, folds + 1):
            print(f"fold {fold} of {folds}", flush=True)
            folder = run(task, {**wanted, "fold": fold}, output=output, name=f"{name}-fold{fold}")
            lines = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
            history = [json.loads(line) for line in lines]
            kept = config.keep_best or config.patience
            row = history[best_epoch(history, config.monitor) if kept else -1]
            rows.append({"fold": fold, **row})
        out = text.StringIO()
        writer = csv.DictWriter(out, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        path = output / f"{name}-folds.csv"
        if group.rank == 0:
            io.write_text(path, out.getvalue())
        values = np.array([row[config.monitor] for row in rows])
        print(
            f"{config.monitor} over {len(rows)} folds: {values.mean():.4f} ± "
            f"{values.std(ddof=1):.4f} (mean and standard deviation)"
        )
        print(f"  {path}  every fold")
    return path
