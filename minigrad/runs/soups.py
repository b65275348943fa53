"""A soup: one model whose weights are the mean of several runs'."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from minigrad import io
from minigrad.data import Split
from minigrad.errors import OptionError
from minigrad.files import to_path
from minigrad.loading import check_switches, several
from minigrad.models import average_weights
from minigrad.runs.task import Trained
from minigrad.runs.trained import find_trained, load_trained
from minigrad.tensor import Tensor
from minigrad.train import load_checkpoint

__all__ = ["soup"]

State = dict[str, Tensor]


def soup(
    runs: Sequence[str], output: str | Path, *, greedy: bool = False, device: str = "cpu"
) -> list[str]:
    """Average the weights of several runs into one file, which `val` and `predict` take.

    Parameters
    ----------
    runs : sequence of str
        Folders of runs, or checkpoints, of one model on one data set.
    output : path
        The new file.
    greedy : bool, default False
        Take the best run, then add the next best ones as long as the mean does not become worse
        held out (Wortsman et al., 2022); else all of them are taken.
    device : str, default "cpu"
        Where `greedy` evaluates.

    Returns
    -------
    list of str
        The runs that are in it.

    Raises
    ------
    OptionError
        If they are of another kind or data, or fewer than two.
    ShapeError
        If their models differ.

    Examples
    --------
    >>> soup(["runs/a"], "soup.safetensors")
    Traceback (most recent call last):
        ...
    minigrad.errors.OptionError: a soup is made of two runs or more, got 1
    """
    runs = several("soup", "runs", runs, str | os.PathLike)
    check_switches("soup", greedy=greedy)
    output = to_path(output)
    if len(runs) < 2:
        raise OptionError(f"a soup is made of two runs or more, got {len(runs)}")
    paths = [find_trained(run, classes=False) for run in runs]
    models = [load_trained(path, device) for path in paths]
    first = models[0]
    for other in models[1:]:
        if other.task is not first.task or other.images != first.images:
            raise OptionError(
                f"{other.path} is no run of 'minigrad {first.task.name}' on the data of "
                f"{first.path}; a soup is of runs that differ in how they were trained alone"
            )
    states: list[State] = [  # copies: to evaluate one is to write it into a model
        {name: value.clone() for name, value in trained.model.state_dict().items()}
        for trained in models
    ]
    mixed = average_weights(states)
    taken = list(range(len(runs)))
    if greedy:
        taken = _greedily(first, states)
        mixed = average_weights([states[i] for i in taken])
    about = load_checkpoint(first.path)["about"]
    io.save({"kind": "trainer", "about": about, "model": mixed, "ema": None}, output)
    return [runs[i] for i in taken]


def _greedily(trained: Trained[Any], states: Sequence[State]) -> list[int]:
    """Return the numbers of the states to average."""
    split = trained.task.data(trained.config)
    alone = [_score(trained, split, state) for state in states]
    order = sorted(range(len(states)), key=lambda i: -alone[i])
    taken, best = order[:1], alone[order[0]]
    for i in order[1:]:
        score = _score(trained, split, average_weights([states[j] for j in [*taken, i]]))
        if score >= best:
            taken, best = [*taken, i], score
    return taken


def _score(trained: Trained[Any], split: Split, state: State) -> float:
    """Return what the run's best epoch is judged by; larger is better."""
    trained.model.load_state_dict(state)
    trainer = trained.task.trainer(trained.config, trained.model)
    values = trainer.evaluate(trained.held_out(split))
    monitor = trained.config.monitor.removeprefix("val_")
    return values[monitor] if monitor in values and monitor != "loss" else -values["loss"]
