"""Task: one kind of run, declared once.

A task says what it is configured by, what it is built of, and what it leaves behind. What is alike
for all of them is done alike: `Task.prepare` builds an experiment, `minigrad.runs.runner` trains
it, and `val`, `predict` and `explain` ask the same object what a trained model can say.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Generic

import numpy as np
from numpy.typing import NDArray

from minigrad import optim, random
from minigrad.data import (
    ConcatDataset,
    DataLoader,
    Dataset,
    ImageSpec,
    Sampler,
    Split,
    Volume,
    load_split,
)
from minigrad.errors import OptionError
from minigrad.nn import Module
from minigrad.runs.config import C
from minigrad.runs.experiment import Experiment
from minigrad.runs.findings import Findings
from minigrad.runs.parts import check_machine, optimizer_and_schedule
from minigrad.runs.suggestion import Suggestion
from minigrad.train import Callback, EarlyStopping, Freeze, Trainer
from minigrad.viz import SVG

__all__ = ["Task", "Trained"]


@dataclass(frozen=True)
class Trained(Generic[C]):
    """A trained model with what it was trained on."""

    path: Path
    task: Task[C]
    config: C
    images: ImageSpec
    model: Module

    @property
    def device(self) -> str:
        """Where the model is."""
        return next((str(p.device) for p in self.model.parameters()), "cpu")

    def held_out(self, split: Split) -> DataLoader:
        """Return batches of the held-out part, as this model wants them."""
        return DataLoader(split.test, **self.task.test_options(self.config, self.images))


class Task(ABC, Generic[C]):
    """One kind of run; a subclass declares it."""

    name: ClassVar[str]  # word of the command line
    help: ClassVar[str]  # one line about that command
    examples: ClassVar[str]  # lines of its help
    config: type[C]
    checkpoint: ClassVar[str]  # name of the file that holds the whole state of a run
    files: ClassVar[Mapping[str, str]]  # what else a finished run leaves behind, and what each is
    suffix: ClassVar[str] = ""  # of a run's default name, after that of the data set
    knows: ClassVar[str] = ""  # what its shares of the classes are, if it knows classes

    # ---- what is trained on what ------------------------------------------------------------

    def data(self, config: C) -> Split:
        """Return training and held-out part."""
        options = self.data_options(config)
        return load_split(config.data, config.download, seed=config.seed, **options)

    def everything(self, config: C) -> Split:
        """Return the data with all of them held out: what a training has never seen."""
        split = self.data(config)
        return replace(split, test=ConcatDataset([split.train, split.test]))

    def data_options(self, config: C) -> dict[str, Any]:
        """Return how `load_split` reads pictures that are no named data set."""
        return {}

    def suggest(self, wanted: Mapping[str, Any]) -> Suggestion | None:
        """Look at the data; say what to do with them that nobody has decided, if there is any."""
        return None

    @abstractmethod
    def build(self, config: C, images: ImageSpec) -> Module:
        """Build the untrained model."""

    def start(self, config: C, model: Module) -> None:
        """Load the weights that a new run begins with, if they come from an earlier one."""

    @abstractmethod
    def train_options(self, config: C, images: ImageSpec) -> dict[str, Any]:
        """Return what happens to training samples: options of their `DataLoader`."""

    def sampler(self, config: C, train: Dataset) -> Sampler | None:
        """Return what chooses the training samples of an epoch; None takes all, shuffled."""
        return None

    @abstractmethod
    def test_options(self, config: C, images: ImageSpec) -> dict[str, Any]:
        """Return what happens to held-out samples: options of their `DataLoader`."""

    @abstractmethod
    def trainer(self, config: C, model: Module, **options: Any) -> Trainer:
        """Build the trainer: loss and metrics; `options` are what every kind of run has."""

    def optimizer(
        self, config: C, model: Module, batches: int
    ) -> tuple[optim.Optimizer, optim.LRScheduler | None]:
        """Build the optimizer, and the learning rate's course over so many batches an epoch."""
        return optimizer_and_schedule(config, model, batches)

    def adapt(self, experiment: Experiment[C]) -> None:
        """Change what has been built by what the data are, before training begins."""

    def average(self, config: C) -> float:
        """Return the decay of an average of the weights; 0 for none."""
        return 0.0

    # ---- what comes out of it ---------------------------------------------------------------

    @abstractmethod
    def announce(self, experiment: Experiment[C]) -> str:
        """Say what is trained on what."""

    def callbacks(self, experiment: Experiment[C], folder: Path) -> list[Callback]:
        """Return what this kind of run does beside training."""
        return []

    @abstractmethod
    def finish(self, experiment: Experiment[C], folder: Path) -> None:
        """Save and say what came out of a training that is done."""

    def asked(self, trained: Trained[C], split: Split) -> str:
        """Say which model is about to be evaluated on what; "" says nothing."""
        return ""

    @abstractmethod
    def evaluate(self, trained: Trained[C], split: Split) -> Findings:
        """Return what the model makes of the held-out part."""

    def mistakes(
        self, trained: Trained[C], split: Split, found: Findings
    ) -> Iterator[tuple[str, SVG]]:
        """Yield pictures, each with a heading, of what the model gets wrong."""
        yield from ()

    def read(self, trained: Trained[C], path: Path) -> NDArray[Any]:
        """Return a file (C, *spatial) as the model gets it; refuse it if none can be had."""
        raise OptionError(f"{trained.path} is of 'minigrad {self.name}', which knows no classes")

    def shares(
        self, trained: Trained[C], images: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
        """Return how much of each of some files (N, C, *spatial) is of each class (N, K).

        And the class of all positions (N, *spatial), where the model knows that.
        """
        raise NotImplementedError

    def ask(
        self, trained: Trained[C], path: Path
    ) -> tuple[NDArray[Any], NDArray[np.int64] | Volume | None]:
        """Return what the model makes of a file; the mask of a volume lies in space as it does."""
        shares, masks = self.shares(trained, self.read(trained, path)[None])
        return shares[0], None if masks is None else masks[0]

    def trunk(self, trained: Trained[C]) -> Module:
        """Return the part of the model that sees whole images, for its receptive field."""
        return trained.model

    # ---- alike for all ----------------------------------------------------------------------

    def prepare(
        self, config: C, callbacks: Sequence[Callback] = (), initialise: bool = True
    ) -> Experiment[C]:
        """Build data, model, optimizer, schedule and trainer; see `minigrad.runs.prepare`."""
        check_machine(config)
        random.manual_seed(config.seed)
        split = self.data(config)
        model = self.build(config, split.spec)
        if initialise:
            self.start(config, model)
        model.to(config.device)
        sampler = self.sampler(config, split.train)
        train = DataLoader(
            split.train,
            config.batch_size,
            shuffle=sampler is None,
            sampler=sampler,
            num_workers=config.workers,
            processes=config.processes,
            drop_last=len(split.train) > config.batch_size,
            seed=config.seed,
            **self.train_options(config, split.spec),
        )
        test = DataLoader(
            split.test,
            num_workers=config.workers,
            processes=config.processes,
            **self.test_options(config, split.spec),
        )
        optimizer, schedule = self.optimizer(config, model, len(train))
        callbacks = [*callbacks]
        if config.freeze:  # after the optimizer was made: it holds what is trained later, too
            parts = [part.strip() for part in config.freeze.split(",")]
            callbacks.append(Freeze(model, parts, config.unfreeze_every))
        if config.patience:
            callbacks.append(EarlyStopping(config.monitor, config.patience))
        decay = self.average(config)
        trainer = self.trainer(
            config,
            model,
            optimizer=optimizer,
            schedule=schedule,
            ema=optim.ModelEma(model, decay) if decay else None,
            clip_grad=config.clip_grad or None,
            clip_value=config.clip_value or None,
            accumulate=config.accumulate,
            callbacks=callbacks,
            precision=config.precision,
            cuda_graph=config.cuda_graph,
            shard_optimizer=config.shard_optimizer,
        )
        experiment = Experiment(self.name, config, split, trainer, train, test)
        self.adapt(experiment)
        return experiment
