"""Evaluating a trained model: on the held-out part of its data, or on others."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from minigrad.data import Split
from minigrad.errors import DataError, OptionError
from minigrad.loading import check_kinds, check_switches
from minigrad.runs.findings import Findings
from minigrad.runs.task import Trained
from minigrad.train.threads import blas_threads

__all__ = ["evaluate", "held_out"]


def evaluate(trained: Trained[Any], data: str | None = None, everything: bool = False) -> Findings:
    """Say what a trained model makes of data that it has not seen.

    Parameters
    ----------
    trained : Trained
        From `load_trained`.
    data : str, optional
        A data set or a folder; by default what the model was trained on.
    everything : bool, default False
        Take all of `data`, not only what a training on it would hold out.

    Returns
    -------
    Findings

    Raises
    ------
    DataError, OptionError
        If the data are not there, or do not fit the model.

    Examples
    --------
    >>> import tempfile
    >>> from minigrad.runs import find_trained, load_trained, run, tasks
    >>> wanted = {"epochs": 1, "depths": (1,), "dims": (4,), "batch_size": 256}
    >>> folder = run(tasks["train"], wanted, output=tempfile.mkdtemp())
    convnextv2 ...
    >>> found = evaluate(load_trained(find_trained(str(folder)), "cpu"))
    >>> found.confusion
    ConfusionMatrix(10 classes, 360 positions)
    >>> [path.name for path in found.save(folder / "findings")][:2]
    ['findings.json', 'classes.csv']
    """
    check_kinds("evaluate", Trained, "load_trained(path, 'cpu') loads one", trained=trained)
    check_switches("evaluate", everything=everything)
    trained, split = held_out(trained, data, everything)
    with blas_threads(trained.config.threads):
        return trained.task.evaluate(trained, split)


def held_out(
    trained: Trained[Any], data: str | None = None, everything: bool = False
) -> tuple[Trained[Any], Split]:
    """Return the data to evaluate on, and the trained model with a config that names them."""
    if everything and data is None:
        raise OptionError(
            "--all is for data that training has not seen, most of its own it has: name others "
            "with --data"
        )
    if data is not None:
        chosen = trained.task.config.from_values(trained.config.to_dict(), {"data": data})
        trained = replace(trained, config=chosen)
    try:
        task = trained.task
        return trained, (task.everything if everything else task.data)(trained.config)
    except (DataError, OptionError) as error:
        if data is not None:
            raise
        raise DataError(
            f"{error}; {trained.path} was trained on it: say where the data are now with --data"
        ) from None
