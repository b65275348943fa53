"""How long a training takes, by a few of its steps, and how many epochs fit into given minutes."""

from __future__ import annotations

import dataclasses
import statistics
import time

from minigrad.errors import OptionError
from minigrad.runs.config import C
from minigrad.runs.experiment import Experiment
from minigrad.train.finders import endless, undone
from minigrad.train.progress import duration
from minigrad.train.threads import blas_threads

__all__ = ["seconds_of_epoch", "within"]

STEPS, LONGEST = 8, 5.0  # that are timed; seconds after which no other one is
FORWARD = 1 / 3  # share of a step that a held-out sample costs: forward without backward


def seconds_of_epoch(experiment: Experiment[C]) -> float:
    """Take a few steps, which are then undone, and return what an epoch will take by them.

    Ranks agree on what the slowest needs.
    """
    trainer, group = experiment.trainer, experiment.trainer.group
    batches = endless(experiment.train, (group.rank, group.size))
    taken: list[float] = []
    with undone(trainer), blas_threads(experiment.config.threads):
        trainer.train_on_batch(*next(batches))  # compiles kernels, makes the optimizer's state
        for _ in range(STEPS):
            start = time.perf_counter()
            trainer.train_on_batch(*next(batches))
            taken.append(time.perf_counter() - start)
            if any(group.all_gather(sum(taken) > LONGEST)):
                break
    step: float = max(group.all_gather(statistics.median(taken)))
    test = experiment.test.count(len(experiment.test)) / experiment.train.batch_size
    return step * (len(experiment.train) + FORWARD * test)


def within(config: C, seconds: float) -> C:
    """Return the config with as many epochs, of so many seconds each, as its `minutes` allow.

    The learning rate rises for the same share of them.

    Raises
    ------
    OptionError
        If they do not allow one.

    Examples
    --------
    >>> from minigrad.runs import TrainConfig
    >>> config = within(TrainConfig(minutes=5, epochs=30, warmup_epochs=3), 20.0)
    >>> config.epochs, config.warmup_epochs
    (15, 1.5)
    """
    if not config.minutes:
        return config
    epochs = min(config.epochs, int(60 * config.minutes / seconds))
    if not epochs:
        raise OptionError(
            f"minutes={config.minutes:g} are less than one epoch takes here, about "
            f"{duration(seconds)}: give more, or train a smaller model on smaller or fewer samples"
        )
    warmup = config.warmup_epochs * epochs / config.epochs
    return dataclasses.replace(config, epochs=epochs, warmup_epochs=warmup)
