"""Finding options of a run before it is trained: a learning rate, a batch size, with a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from minigrad.distributed import init
from minigrad.distributed.launch import one_voice
from minigrad.errors import unknown
from minigrad.files import to_path
from minigrad.runs.config import C
from minigrad.runs.experiment import Experiment
from minigrad.runs.folders import check_output, run_name
from minigrad.runs.runner import check_asked, configured
from minigrad.runs.task import Task
from minigrad.train import find_batch_size, find_lr
from minigrad.train.threads import blas_threads
from minigrad.viz import Plot

__all__ = ["FOUND", "find"]


def find(
    task: Task[C],
    wanted: Mapping[str, Any],
    what: str,
    *,
    output: str | Path = "runs",
    name: str | None = None,
) -> Path:
    """Measure one option of a run, print what came out and draw it; train nothing.

    Parameters
    ----------
    task : Task
        What kind of run.
    wanted : mapping
        Options that differ from the defaults.
    what : {"lr", "batch"}
        Learning rate, or batch size.
    output, name : optional
        As in `run`; the picture is ``OUTPUT/NAME-lr.svg`` or ``-batch.svg``.

    Returns
    -------
    Path
        The picture.

    Examples
    --------
    >>> import tempfile
    >>> from minigrad.runs import tasks
    >>> wanted = {"depths": (1,), "dims": (4,), "batch_size": 256}
    >>> picture = find(tasks["train"], wanted, "lr", output=tempfile.mkdtemp())
    the loss falls fastest at lr ...
    """
    check_asked("find", task, wanted)
    if not isinstance(what, str) or what not in FOUND:
        raise unknown("option to find", what, FOUND)
    output, group = to_path(output), init()
    check_output(output)
    with one_voice(group):
        config, _ = configured(task, wanted)
        name = run_name(name, Path(config.data).name + task.suffix)
        path = output / f"{name}-{what}.svg"
        experiment = task.prepare(config)
        experiment.rehearse()
        with blas_threads(config.threads):
            plot = FOUND[what](experiment, name)
        if group.rank == 0:
            output.mkdir(parents=True, exist_ok=True)
            plot.svg().save(path)
        print(f"  {path}  drawn")
    return path


def _rate(experiment: Experiment[Any], name: str) -> Plot:
    found = find_lr(experiment.trainer, experiment.train)
    best = found.suggestion
    print(
        f"the loss falls fastest at lr {best:.2g}, of {found.rates[0]:g} to {found.rates[-1]:.2g}"
    )
    plot = Plot(f"{name}: loss by learning rate", xlabel="learning rate", log="x")
    plot.line(found.rates, found.losses, "loss, smoothed")
    at = found.losses[found.rates.index(best)]
    return plot.points([best], [at], name=f"falls fastest: {best:.2g}")


def _batch(experiment: Experiment[Any], name: str) -> Plot:
    found = find_batch_size(experiment.trainer, experiment.train)
    print(f"{'batch':>7}  {'samples/s':>10}  {'MiB more':>9}")
    for size, speed, used in zip(found.sizes, found.throughput, found.memory, strict=True):
        print(f"{size:7}  {speed:10.1f}  {used / 2**20:9.1f}")
    best = found.suggestion
    print(f"the smallest batch that is nearly as fast as the fastest: {best}")
    plot = Plot(f"{name}: samples per second", xlabel="batch size", log="x")
    plot.line(found.sizes, found.throughput, "samples per second")
    at = found.throughput[found.sizes.index(best)]
    return plot.points([best], [at], name=f"suggested: {best}")


FOUND = {"lr": _rate, "batch": _batch}
