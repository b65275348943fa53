"""Samplers: which samples an epoch has, and in which order.

A sampler is a function of a random generator, which the `DataLoader` seeds for every epoch; so the
order is the same in a run that was interrupted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from minigrad.data.dataset import whole_number
from minigrad.errors import DTypeError, OptionError, brief

__all__ = ["RepeatedSampler", "Sampler", "WeightedRandomSampler", "class_weights"]


class Sampler(Protocol):
    """Chooses the samples of an epoch: ``sampler(rng)`` returns their indices.

    Examples
    --------
    >>> import minigrad as mg
    >>> class FirstHalf:
    ...     population = 10
    ...     def __len__(self):
    ...         return 5
    ...     def __call__(self, rng):
    ...         return np.arange(5)
    >>> loader = mg.data.DataLoader(list(range(10)), batch_size=5, sampler=FirstHalf())
    >>> [batch.tolist() for batch in loader]
    [[0, 1, 2, 3, 4]]
    """

    @property
    def population(self) -> int:
        """How many samples there are to choose from."""

    def __len__(self) -> int: ...

    def __call__(self, rng: np.random.Generator, /) -> NDArray[np.int64]: ...


class WeightedRandomSampler:
    """Draw samples with replacement, each as often as its weight says.

    Parameters
    ----------
    weights : sequence of float
        One per sample of the data set, 0 or more; they need not sum to 1.
    num_samples : int, optional
        Samples of an epoch; by default as many as there are weights.

    Examples
    --------
    >>> import minigrad as mg
    >>> labels = np.array([0, 0, 0, 0, 0, 0, 0, 1])
    >>> weights = mg.data.class_weights(labels, 2)[labels]
    >>> sampler = mg.data.WeightedRandomSampler(weights, 1000)
    >>> chosen = labels[sampler(np.random.default_rng(0))]
    >>> bool(450 < chosen.sum() < 550)
    True
    """

    def __init__(
        self, weights: Sequence[float] | NDArray[Any], num_samples: int | None = None
    ) -> None:
        try:
            values = np.asarray(weights, np.float64)
        except (TypeError, ValueError):
            values = np.empty(0)
        if values.ndim != 1 or not values.size or not np.isfinite(values).all() or values.min() < 0:
            raise OptionError(
                "WeightedRandomSampler: weights are one number per sample, 0 or more, got "
                f"{brief(weights)}"
            )
        if not values.any():
            raise OptionError("WeightedRandomSampler: one weight at least must be above 0")
        self.weights = values / values.sum()
        self.population = len(values)
        count = len(values) if num_samples is None else num_samples
        self._count = whole_number("WeightedRandomSampler: num_samples", count, 1)

    def __len__(self) -> int:
        return self._count

    def __call__(self, rng: np.random.Generator, /) -> NDArray[np.int64]:
        return rng.choice(self.population, self._count, p=self.weights)


class RepeatedSampler:
    """Repeated augmentation: every sample that is drawn comes several times in a row.

    Each time it is augmented anew; an epoch keeps its length, and so sees fewer samples.

    Parameters
    ----------
    population : int
        Samples of the data set.
    repeats : int, default 3
        How often a sample comes.

    Notes
    -----
    Hoffer et al., "Augment Your Batch: Improving Generalization Through Instance Repetition", 2020.

    Examples
    --------
    >>> RepeatedSampler(4, repeats=2)(np.random.default_rng(0)).tolist()
    [2, 2, 0, 0]
    """

    def __init__(self, population: int, repeats: int = 3) -> None:
        self.population = whole_number("RepeatedSampler: population", population, 1)
        self.repeats = whole_number("RepeatedSampler: repeats", repeats, 1)

    def __len__(self) -> int:
        return self.population

    def __call__(self, rng: np.random.Generator, /) -> NDArray[np.int64]:
        return rng.permutation(self.population).repeat(self.repeats)[: self.population]


def class_weights(labels: NDArray[np.integer[Any]], classes: int) -> NDArray[np.float64]:
    """Return a weight per class, by which all classes count alike: n / (classes · n_c).

    Parameters
    ----------
    labels : array of int
        The class of every sample.
    classes : int
        Number of classes; one without samples gets the weight 0.

    Examples
    --------
    >>> class_weights(np.array([0, 0, 0, 1]), 2)
    array([0.66666667, 2.        ])
    """
    classes = whole_number("class_weights: classes", classes, 1)
    labels = np.asarray(labels)
    if labels.ndim != 1 or (labels.size and labels.dtype.kind not in "iu"):
        raise DTypeError(
            f"class_weights: labels are the whole number of a class for each sample, got "
            f"{labels.dtype} of shape {labels.shape}"
        )
    labels = labels.astype(np.int64)
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise OptionError(
            f"class_weights: classes are numbered 0 to {classes - 1}, got {labels.min()} to "
            f"{labels.max()}"
        )
    counts = np.bincount(labels, minlength=classes)
    present = counts > 0
    weights = np.zeros(classes)
    weights[present] = len(labels) / (present.sum() * counts[present])
    return weights
