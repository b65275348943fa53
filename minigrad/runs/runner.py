"""The one road on which every kind of run is trained, and resumed after an interruption."""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from minigrad import io
from minigrad.backend import quiet
from minigrad.errors import MinigradError, OptionError
from minigrad.runs.catalog import tasks
from minigrad.runs.config import C, plain, read_toml
from minigrad.runs.experiment import Experiment
from minigrad.runs.folders import check_output, claimed, held, run_name
from minigrad.runs.initial import initial_sizes
from minigrad.runs.task import Task
from minigrad.train import Callback, Checkpoint, Log, Progress, Trainer, load_checkpoint
from minigrad.train.threads import blas_threads
from minigrad.viz import curves_svg

__all__ = ["run"]

FILES = {  # of every kind of run
    "log.csv": "losses and scores by epoch (log.jsonl has them too)",
    "curves.svg": "the same as a picture",
}
HARMLESS = {"workers", "checkpoint_every", "download"}  # may change on resume


def run(
    task: Task[C],
    wanted: Mapping[str, Any],
    *,
    output: str | Path = "runs",
    name: str | None = None,
    resume: bool = False,
) -> Path:
    """Train, or resume training; print how it goes and what came out.

    Parameters
    ----------
    task : Task
        What kind of run.
    wanted : mapping
        Options that differ from the defaults.
    output : path, default "runs"
        Folder of the runs.
    name : str, optional
        Name of the run; by default that of the data set.
    resume : bool, default False
        Resume that run from its last checkpoint; what is wanted may not differ from it.

    Returns
    -------
    Path
        The folder of the run.

    Raises
    ------
    MinigradError
        If something wanted is wrong, before a folder is made; or if the training diverges.

    Examples
    --------
    >>> import tempfile
    >>> wanted = {"epochs": 1, "depths": (1,), "dims": (4,), "batch_size": 256}
    >>> folder = run(tasks["train"], wanted, output=tempfile.mkdtemp())
    convnextv2 with 474 parameters on digits: 1,437 images to train on, 360 held out
    epoch 1/1 ...
    >>> sorted(path.name for path in folder.glob("*.safetensors"))
    ['checkpoint.safetensors', 'model.safetensors']
    """
    data = os.path.basename(os.path.abspath(task.config.data_of(wanted)))
    output, name = Path(output), run_name(name, data + task.suffix)
    check_output(output)
    with ExitStack() as stack:
        if resume:
            folder = stack.enter_context(held(output / name))
            config, state = _saved(task, folder, wanted)
        else:
            start, state = wanted.get("init_from"), None
            sizes = initial_sizes(str(start)) if start else {}
            config = task.config.from_values(sizes, wanted)
        experiment = task.prepare(config, initialise=state is None)
        if state is not None:
            experiment.trainer.load_state_dict(state)
        experiment.rehearse()
        if not resume:
            folder = stack.enter_context(claimed(output, name))
        _train(task, experiment, folder)
    return folder


def _saved(
    task: Task[C], folder: Path, wanted: Mapping[str, Any]
) -> tuple[C, dict[str, Any] | None]:
    """Return config and last checkpoint of a run, if nothing else is asked of it."""
    for other in tasks.values():
        if other.checkpoint != task.checkpoint and (folder / other.checkpoint).is_file():
            raise OptionError(
                f"{folder} is a run of 'minigrad {other.name}'; resume it with that command"
            )
    if not (folder / "config.toml").is_file():  # killed before anything was written
        return task.config.from_values(wanted), None
    saved = read_toml(folder / "config.toml")
    config = task.config.from_values(saved, wanted)
    before = task.config.from_values(saved).to_dict()
    for key in wanted:
        value = config.to_dict()[key]
        if key not in HARMLESS and before[key] != value:
            raise OptionError(
                f"{folder} was trained with {key}={plain(before[key])}, not {plain(value)}; "
                "leave the option out to resume it, or give a new --name"
            )
    path = folder / task.checkpoint
    return config, load_checkpoint(path) if path.is_file() else None


def _train(task: Task[C], experiment: Experiment[C], folder: Path) -> None:
    """Train to the end, in a folder that this process holds."""
    trainer, config = experiment.trainer, experiment.config
    io.remove_leftovers(folder)
    kept = Checkpoint(folder / task.checkpoint, config.checkpoint_every, experiment.about)
    trainer.callbacks += [Progress(), kept, Log(folder), Curves(folder)]
    trainer.callbacks += task.callbacks(experiment, folder)
    io.write_text(folder / "config.toml", config.to_toml())
    with _stoppable(task, trainer, kept):
        went = f", from epoch {trainer.epoch + 1}, batch {trainer.batch}" * bool(trainer.step)
        if trainer.epoch >= config.epochs:
            went = ", done already"
        print(task.announce(experiment) + went, flush=True)
        quiet(experiment.fit)  # the trainer refuses a loss that is not a number
        with blas_threads(config.threads):
            task.finish(experiment, folder)
        left = {task.checkpoint: "the whole state of the run", **task.files, **FILES}
        for file, what in left.items():
            if (folder / file).is_file():
                print(f"  {folder / file}  {what}")


@contextmanager
def _stoppable(task: Task[Any], trainer: Trainer, kept: Checkpoint) -> Iterator[None]:
    """Say after Ctrl-C, at whatever moment, what is kept and how to go on."""
    folder = kept.path.parent
    words = ["minigrad", task.name, "--output", str(folder.parent), "--name", folder.name]
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
        raise MinigradError(f"nobody reads what the run prints, so it stopped; {again}") from None


class Curves(Callback):
    """Draw ``curves.svg`` again after every epoch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_fit_start(self, trainer: Trainer) -> None:
        if trainer.history:  # resumed
            self.on_epoch_end(trainer)

    def on_epoch_end(self, trainer: Trainer) -> None:
        curves_svg(trainer.history, title=self.folder.name).save(self.folder / "curves.svg")
