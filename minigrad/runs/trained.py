"""Trained models: one road from a checkpoint to the model, whatever kind of run made it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minigrad import io
from minigrad.backend import Device
from minigrad.data import ImageSpec
from minigrad.errors import DataError, OptionError
from minigrad.files import to_path
from minigrad.runs.catalog import task_of, tasks
from minigrad.runs.folders import best_of, latest
from minigrad.runs.task import Trained
from minigrad.train import load_checkpoint

__all__ = ["find_trained", "load_trained"]


def find_trained(checkpoint: str | None, classes: bool = True) -> Path:
    """Return the checkpoint that is asked for.

    Parameters
    ----------
    checkpoint : str, optional
        A checkpoint or the folder of a run; by default the latest run is taken. Of a run that keeps
        its best epoch, that one is taken.
    classes : bool, default True
        Whether the latest one must know classes; a pre-training does not.

    Raises
    ------
    DataError, OptionError
        If there is none.
    """
    if checkpoint is None:
        return latest(task.checkpoint for task in tasks.values() if task.knows or not classes)
    path = to_path(checkpoint)
    if not path.is_dir():
        return path
    for task in tasks.values():
        if (path / task.checkpoint).is_file():
            return best_of(path / task.checkpoint)
    if (path / "config.toml").is_file():
        raise DataError(f"{path}: this run has saved no checkpoint yet; it does after an epoch")
    names = ", ".join(task.checkpoint for task in tasks.values())
    raise DataError(f"{path}: a folder, but not of a run (looked for {names})")


def load_trained(path: Path, device: str) -> Trained[Any]:
    """Load a model for evaluation: the averaged weights if there are any.

    Raises
    ------
    DataError
        If the checkpoint is missing or damaged, or no run of ours made it.

    Examples
    --------
    >>> import tempfile
    >>> import minigrad as mg
    >>> from minigrad.runs import run, tasks
    >>> wanted = {"epochs": 1, "depths": (1,), "dims": (4,), "batch_size": 256}
    >>> folder = run(tasks["train"], wanted, output=tempfile.mkdtemp())
    convnextv2 with 474 parameters ...
    >>> trained = load_trained(find_trained(str(folder)), "cpu")
    >>> trained.model(mg.zeros(2, 1, 8, 8)).shape, trained.images.classes[:3]
    ((2, 10), ('0', '1', '2'))
    """
    Device(device)
    state = load_checkpoint(path)
    try:
        about = state["about"]
        task = task_of(about)
        config, images = task.config.from_values(about["config"]), ImageSpec(**about["images"])
        weights = state["ema"] or state["model"]
    except OptionError as error:
        raise DataError(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError):
        raise DataError(
            f"{path}: this checkpoint was made by none of "
            + ", ".join(f"'minigrad {task.name}'" for task in tasks.values())
        ) from None
    with io.building(path, weights):
        model = task.build(config, images)
        model.load_state_dict(weights)
    return Trained(path, task, config, images, model.to(device).eval())
