"""Metrics by Keras's names; classes lie on the last axis."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minigrad.errors import unknown
from minigrad.tensor import Tensor

__all__ = ["METRICS", "accuracy", "find_metrics"]

Metric = Callable[[Tensor, Tensor], float]


def accuracy(output: Tensor, target: Tensor, threshold: float = 0.5) -> float:
    """Return the share of right answers.

    One output per sample says yes or no by the threshold, several name a class by the largest; the
    target is one-hot, or the class's number.

    Examples
    --------
    >>> import minigrad as mg
    >>> accuracy(mg.tensor([[0.1, 0.9], [0.8, 0.2]]), mg.tensor([1, 1]))
    0.5
    """
    scores, truth = _array(output), _array(target)
    if scores.shape[-1] == 1:
        return float(((scores > threshold) == (truth.reshape(scores.shape) > 0.5)).mean())
    if truth.shape == scores.shape:
        truth = truth.argmax(-1)
    return float((scores.argmax(-1) == truth.reshape(scores.shape[:-1])).mean())


def _squared(output: Tensor, target: Tensor) -> float:
    scores = _array(output)
    return float(np.square(scores - _array(target).reshape(scores.shape)).mean())


def _absolute(output: Tensor, target: Tensor) -> float:
    scores = _array(output)
    return float(np.abs(scores - _array(target).reshape(scores.shape)).mean())


METRICS: dict[str, Metric] = {
    "acc": accuracy,
    "accuracy": accuracy,
    "binary_accuracy": accuracy,
    "categorical_accuracy": accuracy,
    "mae": _absolute,
    "mse": _squared,
    "sparse_categorical_accuracy": accuracy,
}


def find_metrics(metrics: Sequence[str | Metric] | None, activation: str | None) -> dict[str, Any]:
    """Return the metrics by name; a function ``metric(output, target)`` has its own.

    Raises
    ------
    OptionError
        If a name is unknown; the nearest is suggested.

    Examples
    --------
    >>> list(find_metrics(["accuracy", "mse"], activation="softmax"))
    ['accuracy', 'mse']
    """
    found: dict[str, Any] = {}
    for metric in metrics or ():
        if not isinstance(metric, str):
            found[getattr(metric, "__name__", type(metric).__name__)] = metric
        elif metric not in METRICS:
            raise unknown("metric", metric, METRICS)
        elif METRICS[metric] is accuracy and activation in (None, "linear", "none"):
            found[metric] = _accuracy_of_logits
        else:
            found[metric] = METRICS[metric]
    return found


def _accuracy_of_logits(output: Tensor, target: Tensor) -> float:
    return accuracy(output, target, threshold=0.0)


def _array(x: Tensor) -> Any:
    return x.detach().cpu().numpy()
