"""The catalog of tasks, and which one a configuration belongs to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from minigrad.errors import OptionError
from minigrad.runs.classification import Classification
from minigrad.runs.config import C
from minigrad.runs.experiment import Experiment
from minigrad.runs.pretraining import Pretraining
from minigrad.runs.segmentation import Segmentation
from minigrad.runs.task import Task
from minigrad.train import Callback

__all__ = ["prepare", "task_of", "tasks"]

tasks: dict[str, Task[Any]] = {
    task.name: task for task in (Classification(), Pretraining(), Segmentation())
}


def prepare(
    config: C, callbacks: Sequence[Callback] = (), initialise: bool = True
) -> Experiment[C]:
    """Build data, model, optimizer, schedule and trainer.

    Parameters
    ----------
    config : TrainConfig, PretrainConfig or SegmentConfig
        What to build. The global generator is seeded with ``config.seed``.
    callbacks : sequence of Callback
        Handed to the trainer.
    initialise : bool, default True
        Whether to load the weights of ``config.init_from``; a resumed run needs none.

    Raises
    ------
    DataError
        If the data are not on this machine; the message says how to get them.
    OptionError, ShapeError
        If the model cannot be built for them.

    Examples
    --------
    >>> from minigrad.runs import PretrainConfig, TrainConfig
    >>> experiment = prepare(TrainConfig(epochs=1, depths=(1,), dims=(8,)))
    >>> [row["epoch"] for row in experiment.fit()]
    [1]
    >>> config = PretrainConfig(epochs=1, depths=(1, 1), dims=(8, 8), decoder_dim=8)
    >>> sorted(prepare(config).fit()[0])
    ['epoch', 'lr', 'seconds', 'train_loss', 'val_loss']
    """
    for task in tasks.values():
        if type(config) is task.config:
            return task.prepare(config, callbacks, initialise)
    raise OptionError(
        f"prepare: a config of a task is needed, got {type(config).__name__}; they are "
        f"{', '.join(task.config.__name__ for task in tasks.values())}"
    )


def task_of(about: Mapping[str, Any]) -> Task[Any]:
    """Return the task of a run from what its checkpoint says about it.

    Raises
    ------
    KeyError
        If it is none of ours.
    """
    if "task" in about:
        return tasks[about["task"]]
    for task in tasks.values():  # of a file without the name: by options that no other task has
        if about["config"].keys() <= task.config.__dataclass_fields__.keys():
            return task
    raise KeyError("task")
