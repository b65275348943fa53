"""The one road on which every kind of run is trained, and resumed after an interruption."""

from __future__ import annotations

import os
import shlex
import textwrap
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from minigrad import io
from minigrad.backend import Device, quiet
from minigrad.data.catalog import sources
from minigrad.distributed import Group, init
from minigrad.distributed.launch import one_voice
from minigrad.errors import MinigradError, OptionError
from minigrad.files import to_path
from minigrad.loading import check_kinds, check_switches
from minigrad.runs.catalog import tasks
from minigrad.runs.config import C, Config, plain, read_notes, read_toml
from minigrad.runs.experiment import Experiment
from minigrad.runs.folders import BEST, check_output, claimed, held, run_name
from minigrad.runs.initial import initial_sizes
from minigrad.runs.machine import gpu, machine
from minigrad.runs.pace import seconds_of_epoch, within
from minigrad.runs.suggestion import Suggestion
from minigrad.runs.task import Task
from minigrad.train import (
    BestCheckpoint,
    Callback,
    Checkpoint,
    Log,
    Progress,
    Trainer,
    load_checkpoint,
)
from minigrad.train.loggers import LOGGERS
from minigrad.train.progress import duration
from minigrad.train.threads import blas_threads
from minigrad.viz import curves_svg

__all__ = ["check_asked", "configured", "run"]

FILES = {  # of every kind of run
    "log.csv": "losses and scores by epoch (log.jsonl has them too)",
    "curves.svg": "the same as a picture",
}
WIDTH = 100  # of what is printed in paragraphs
HARMLESS = {  # may change on resume
    "workers", "processes", "shard_optimizer", "checkpoint_every", "log_to", "download", "epochs",
}  # fmt: skip


def run(
    task: Task[C],
    wanted: Mapping[str, Any],
    *,
    output: str | Path = "runs",
    name: str | None = None,
    resume: bool = False,
) -> Path:
    """Train, or resume training; print how it goes and what came out.

    Where several ranks do it together, rank 0 speaks and writes for all.

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
        Resume that run from its last checkpoint; what is wanted may not differ from it, but for
        `epochs`: the learning rate then goes on as in a training of so many from the start.

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
    check_asked("run", task, wanted)
    check_switches("run", resume=resume)
    data = os.path.basename(os.path.abspath(task.config.data_of(wanted)))
    output, name, group = to_path(output), run_name(name, data + task.suffix), init()
    check_output(output)
    with ExitStack() as stack:
        stack.enter_context(one_voice(group))
        if resume:
            folder = output / name
            if group.rank == 0:
                stack.enter_context(held(folder))
            config, state, notes = _saved(task, folder, wanted)
        else:
            config, suggested = configured(task, wanted)
            state, notes = None, _notes(config, suggested)
        experiment = task.prepare(config, initialise=state is None)
        if state is not None:
            trainer = experiment.trainer
            trainer.load_state_dict(state)
            if trainer.schedule and state["about"]["config"]["epochs"] != config.epochs:
                trainer.schedule.refresh()
                print(
                    f"{config.epochs} epochs now: the learning rate goes on with "
                    f"{trainer.optimizer.param_groups[0]['lr']:.3g}, as if so planned at first"
                )
        experiment.rehearse()
        if state is None and (config.minutes or config.data not in sources):
            config, planned = _planned(experiment), config
            if config != planned:
                experiment = task.prepare(config)
        if not resume:
            folder = stack.enter_context(claimed(output, name)) if group.rank == 0 else output
            folder = group.all_gather(folder)[0]
        _train(task, experiment, folder, notes)
    return folder


def check_asked(owner: str, task: Any, wanted: Any) -> None:
    """Refuse what is no kind of run, or no options by name."""
    check_kinds(owner, Task, "minigrad.runs.tasks has them by name", task=task)
    check_kinds(owner, Mapping, "options by name, such as {'epochs': 10}", wanted=wanted)


def _planned(experiment: Experiment[C]) -> C:
    """Return the config with the epochs that there is time for; say how long they take."""
    seconds = seconds_of_epoch(experiment)
    config = within(experiment.config, seconds)
    asked = f" of the {experiment.config.epochs}" if config != experiment.config else ""
    print(
        f"{config.epochs}{asked} epochs, about {duration(config.epochs * seconds)} on this machine",
        flush=True,
    )
    return config


def configured(task: Task[C], wanted: Mapping[str, Any]) -> tuple[C, Suggestion | None]:
    """Return the config of a new run, and what the data suggest, which is printed.

    It has the sizes of the weights to start from, and what is suggested.
    """
    start = wanted.get("init_from")
    sizes = initial_sizes(str(start)) if start else {}
    config = task.config.from_values(sizes, wanted)
    suggested = task.suggest(wanted)
    if suggested is None:
        return config, None
    print(suggested, flush=True)
    return task.config.from_values(sizes, suggested.options, wanted), suggested


def _notes(config: Config, suggested: Suggestion | None) -> str:
    """Return what a run's file of options says beside them: why, and where it was begun."""
    lines = [] if suggested is None else [f"{suggested}", ""]
    about = [*machine(), *([("GPU", gpu())] if Device(config.device).type == "cuda" else [])]
    return "\n".join([*lines, *(f"{name}: {value}" for name, value in about)])


def _saved(
    task: Task[C], folder: Path, wanted: Mapping[str, Any]
) -> tuple[C, dict[str, Any] | None, str]:
    """Return config, last checkpoint and notes of a run, if nothing else is asked of it."""
    for other in tasks.values():
        if other.checkpoint != task.checkpoint and (folder / other.checkpoint).is_file():
            raise OptionError(
                f"{folder} is a run of 'minigrad {other.name}'; resume it with that command"
            )
    if not (folder / "config.toml").is_file():  # killed before anything was written
        config = task.config.from_values(wanted)
        return config, None, _notes(config, None)
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
    state = load_checkpoint(path) if path.is_file() else None
    return config, state, read_notes(folder / "config.toml")


def _train(task: Task[C], experiment: Experiment[C], folder: Path, notes: str) -> None:
    """Train to the end, in a folder that this process holds."""
    trainer, config = experiment.trainer, experiment.config
    group = trainer.group
    kept = Checkpoint(folder / task.checkpoint, config.checkpoint_every, experiment.about)
    trainer.callbacks += [Progress(), kept, Log(folder), Curves(folder)]
    if config.log_to:
        trainer.callbacks.append(LOGGERS[config.log_to](folder, config.to_dict()))
    trainer.callbacks += task.callbacks(experiment, folder)
    best = None
    if config.keep_best or config.patience:
        best = BestCheckpoint(folder / BEST, config.monitor, experiment.about)
        trainer.callbacks.append(best)
    if group.rank == 0:
        io.remove_leftovers(folder)
        io.write_text(folder / "config.toml", config.to_toml(notes))
    with _stoppable(task, trainer, kept):
        went = f", from epoch {trainer.epoch + 1}, batch {trainer.batch}" * bool(trainer.step)
        if trainer.epoch >= config.epochs:
            went = ", done already"
        if recipe := config.to_dict().get("recipe"):
            text = f"recipe {recipe}: {config.official[recipe].text(config.to_dict())}"
            print(textwrap.fill(text, WIDTH, subsequent_indent="  "))
        print(task.announce(experiment) + went, flush=True)
        quiet(experiment.fit)  # the trainer refuses a loss that is not a number
        if trainer.stopping:
            print(f"stopped: {config.monitor} was not better for {config.patience} epochs")
        if group.rank == 0:
            trainer.group = Group()  # what comes now is done alone
            if best is not None:
                epoch = best.restore(trainer)
                print(f"by {config.monitor}, epoch {epoch} of {trainer.epoch} was the best")
            with blas_threads(config.threads):
                task.finish(experiment, folder)
        group.all_gather(None)
        left = {
            task.checkpoint: "the whole state of the run",
            BEST: "the same after its best epoch",
        }
        left |= {**task.files, **FILES}
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

    rank_0_only = True

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_fit_start(self, trainer: Trainer) -> None:
        if trainer.history:  # resumed
            self.on_epoch_end(trainer)

    def on_epoch_end(self, trainer: Trainer) -> None:
        curves_svg(trainer.history, title=self.folder.name).save(self.folder / "curves.svg")
