"""Metrics: accuracy, and means over an epoch."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.errors import ShapeError
from minigrad.tensor import Tensor

__all__ = ["Means", "accuracy"]


def accuracy(logits: Tensor, targets: Tensor, k: int = 1) -> float:
    """Return the share of samples whose class is among the `k` largest logits.

    Parameters
    ----------
    logits : Tensor of shape (N, classes)
        Scores.
    targets : Tensor of shape (N,) or (N, classes)
        Class numbers, or soft labels, of which the largest counts.
    k : int, default 1
        How many guesses are allowed.

    Examples
    --------
    >>> import minigrad as mg
    >>> logits = mg.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0]])
    >>> accuracy(logits, mg.tensor([0, 1])), accuracy(logits, mg.tensor([0, 1]), k=2)
    (0.5, 1.0)
    """
    scores: Any = logits.detach().cpu().numpy()
    truth: Any = targets.detach().cpu().numpy()
    numbers = scores.shape[:1] + scores.shape[2:]
    if scores.ndim < 2 or truth.shape not in (numbers, scores.shape):
        raise ShapeError(
            "accuracy: logits are (N, classes), and targets (N,) class numbers or (N, classes) "
            f"soft labels; got {scores.shape} and {truth.shape}; name other metrics in "
            "Trainer(metrics={…})"
        )
    if truth.shape == scores.shape:
        truth = truth.argmax(1)
    if k == 1:
        return float((scores.argmax(1) == truth).mean())
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return float((best == truth[:, None]).any(1).mean())


class Means:
    """Running means of several numbers, weighted by batch size; can be saved.

    Examples
    --------
    >>> means = Means()
    >>> means.add({"loss": 1.0}, 30)
    >>> means.add({"loss": 4.0}, 10)
    >>> means.values()
    {'loss': 1.75}
    """

    def __init__(self, sums: dict[str, float] | None = None, count: int = 0) -> None:
        self.sums = dict(sums or {})
        self.count = count

    def add(self, values: dict[str, float], weight: int) -> None:
        """Count `values` of a batch of `weight` samples."""
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value * weight
        self.count += weight

    def values(self) -> dict[str, float]:
        """Return the means so far."""
        return {name: total / self.count for name, total in self.sums.items()}
