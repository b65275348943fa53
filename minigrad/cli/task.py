"""Task: one kind of run, declared once; and the one road on which every kind is trained.

A task says what it is configured by, how it is prepared, and what it leaves behind. `Task.run` does
the rest alike for all of them, and `val`, `predict` and `explain` ask the same object what a
trained model of its kind can say.
"""

from __future__ import annotations

import argparse
import os
import shlex
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from minigrad import io
from minigrad.backend import quiet
from minigrad.cli.parser import add_config_options, given_options, plain
from minigrad.data import ImageSpec, Split
from minigrad.errors import MinigradError, OptionError
from minigrad.nn import Module
from minigrad.runs import Config, Experiment, initial_sizes, read_toml
from minigrad.runs.folders import check_output, claimed, held, run_name
from minigrad.train import Callback, Checkpoint, Log, Progress, Trainer, load_checkpoint
from minigrad.train.threads import blas_threads
from minigrad.viz import curves_svg

__all__ = ["Task", "Trained"]

C = TypeVar("C", bound=Config)
HARMLESS = {"workers", "checkpoint_every", "download"}  # may change on resume


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


class Curves(Callback):
    """Draw ``curves.svg`` anew after every epoch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_fit_start(self, trainer: Trainer) -> None:
        if trainer.history:  # resumed
            self.on_epoch_end(trainer)

    def on_epoch_end(self, trainer: Trainer) -> None:
        curves_svg(trainer.history, title=self.folder.name).save(self.folder / "curves.svg")


class Task(ABC, Generic[C]):
    """One kind of run; a subclass declares it."""

    config: type[C]
    checkpoint: ClassVar[str]  # name of the file that holds the whole state of a run
    files: ClassVar[Mapping[str, str]]  # what a finished run leaves behind, and what each is
    recipes: ClassVar[Mapping[str, Mapping[str, Any]]]  # defaults of each data set, for the help
    suffix: ClassVar[str] = ""  # of a run's default name, after that of the data set
    knows: ClassVar[str] = ""  # what its shares of the classes are, if it knows classes

    # ---- what a subclass declares -----------------------------------------------------------

    @abstractmethod
    def prepare(self, config: C, initialise: bool) -> Experiment:
        """Build data, model and trainer; `initialise` with the weights that it starts from."""

    @abstractmethod
    def build(self, config: C, images: ImageSpec) -> Module:
        """Build the untrained model."""

    @abstractmethod
    def data(self, config: C) -> Split:
        """Return training and held-out part."""

    @abstractmethod
    def announce(self, experiment: Experiment) -> str:
        """Say what is trained on what."""

    @abstractmethod
    def finish(self, experiment: Experiment, folder: Path) -> None:
        """Save and say what came out of a training that is done."""

    def callbacks(self, experiment: Experiment, folder: Path) -> list[Callback]:
        """Return what this kind of run does beside training."""
        return []

    @abstractmethod
    def evaluate(self, trained: Trained[C], split: Split) -> None:
        """Print what the model makes of the held-out part."""

    def read(self, trained: Trained[C], path: Path) -> NDArray[Any]:
        """Return a file (C, *spatial) as the model gets it; refuse it if none can be had."""
        raise OptionError(
            f"{trained.path} is a pre-training, which knows no classes; fine-tune it with "
            f"'minigrad train --init-from {trained.path.parent}'"
        )

    def shares(
        self, trained: Trained[C], image: NDArray[Any]
    ) -> tuple[NDArray[Any], NDArray[np.int64] | None]:
        """Return how much of what was read is of each class; and the classes of all positions."""
        raise NotImplementedError

    # ---- the road ---------------------------------------------------------------------------

    @property
    def command(self) -> str:
        """Word of the command line."""
        return self.config.command

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options of the command."""
        parser.epilog = "other defaults, by data set:\n" + "\n".join(
            f"  {name}: " + ", ".join(f"{key} {plain(value)}" for key, value in recipe.items())
            for name, recipe in self.recipes.items()
            if recipe
        )
        called = "that of the data set" + (f" and {self.suffix}" if self.suffix else "")
        add = parser.add_argument
        add("--config", metavar="FILE", help="TOML file of the options below")
        add("--name", help=f"name of the run (default: {called})")
        add("--output", default="runs", metavar="DIR", help="folder of the runs (default: runs)")
        add("--resume", action="store_true", help="go on with that run from its last checkpoint")
        add_config_options(parser.add_argument_group("what is trained, and how"), self.config)

    def run(self, args: argparse.Namespace) -> int:
        """Train, or go on training; then say what came out."""
        file = read_toml(args.config) if args.config else {}
        wanted = file | given_options(args, self.config)
        data = os.path.basename(os.path.abspath(str(wanted.get("data", self.config.data))))
        output, name = Path(args.output), run_name(args.name, data + self.suffix)
        check_output(output)
        with ExitStack() as stack:
            if args.resume:
                folder = stack.enter_context(held(output / name))
                config, state = self._saved(folder, wanted)
            else:
                start, state = wanted.get("init_from"), None
                sizes = initial_sizes(str(start)) if start else {}
                config = self.config.from_values(sizes, wanted)
            experiment = self.prepare(config, state is None)
            if state is not None:
                experiment.trainer.load_state_dict(state)
            experiment.rehearse()
            if not args.resume:
                folder = stack.enter_context(claimed(output, name))
            self._train(experiment, folder)
        return 0

    def _saved(self, folder: Path, wanted: dict[str, Any]) -> tuple[C, dict[str, Any] | None]:
        """Return config and last checkpoint of a run, if nothing else is asked of it."""
        for other in Task.__subclasses__():
            if other.checkpoint != self.checkpoint and (folder / other.checkpoint).is_file():
                raise OptionError(
                    f"{folder} is a run of 'minigrad {other().command}'; resume it with that "
                    "command"
                )
        if not (folder / "config.toml").is_file():  # killed before anything was written
            return self.config.from_values(wanted), None
        saved = read_toml(folder / "config.toml")
        config = self.config.from_values(saved, wanted)
        before = self.config.from_values(saved).to_dict()
        for key in wanted:
            value = config.to_dict()[key]
            if key not in HARMLESS and before[key] != value:
                raise OptionError(
                    f"{folder} was trained with {key}={plain(before[key])}, not {plain(value)}; "
                    "leave the option out to resume it, or give a new --name"
                )
        path = folder / self.checkpoint
        return config, load_checkpoint(path) if path.is_file() else None

    def _train(self, experiment: Experiment, folder: Path) -> None:
        """Train to the end, in a folder that this process holds."""
        trainer, config = experiment.trainer, experiment.config
        io.remove_leftovers(folder)
        kept = Checkpoint(folder / self.checkpoint, config.checkpoint_every, experiment.about)
        trainer.callbacks += [Progress(), kept, Log(folder), Curves(folder)]
        trainer.callbacks += self.callbacks(experiment, folder)
        io.write_text(folder / "config.toml", config.to_toml())
        with self._stoppable(trainer, kept):
            went = f", from epoch {trainer.epoch + 1}, batch {trainer.batch}" * bool(trainer.step)
            if trainer.epoch >= config.epochs:
                went = ", done already"
            print(self.announce(experiment) + went, flush=True)
            quiet(experiment.fit)  # the trainer refuses a loss that is no number
            with blas_threads(config.threads):
                self.finish(experiment, folder)
            for file, what in self.files.items():
                if (folder / file).is_file():
                    print(f"  {folder / file}  {what}")

    @contextmanager
    def _stoppable(self, trainer: Trainer, kept: Checkpoint) -> Iterator[None]:
        """Say after Ctrl-C, at whatever moment, what is kept and how to go on."""
        folder = kept.path.parent
        words = ["minigrad", self.command, "--output", str(folder.parent), "--name", folder.name]
        again = f"go on with: {shlex.join([*words, '--resume'])}"
        try:
            yield
        except KeyboardInterrupt:
            if kept.saved is None:
                print(f"nothing of it is kept yet but the options, in {folder / 'config.toml'}")
            else:
                epochs, batches = kept.saved
                part = f" and {batches} batches" if batches else ""
                print(f"{kept.path} holds {epochs} of {trainer.epochs} epochs{part}")
                if epochs == trainer.epochs:
                    print("training is done; only its last evaluation is missing")
            print(f"stopped; {again}", flush=True)
            raise
        except BrokenPipeError:
            raise MinigradError(
                f"nobody reads what the run prints, so it stopped; {again}"
            ) from None


def count(model: Module) -> int:
    """Return the number of a model's parameters."""
    return sum(p.numel() for p in model.parameters())
