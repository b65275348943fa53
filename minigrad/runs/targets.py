"""What a picture's target is, and what follows from it: loss, scores, reports and predictions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from minigrad.data import Dataset, ImageSpec
from minigrad.nn import functional as F
from minigrad.runs.findings import Findings
from minigrad.tensor import Tensor
from minigrad.train import Calibration, ClassReport, ConfusionMatrix
from minigrad.train.losses import Loss
from minigrad.train.metrics import accuracy

__all__ = ["KINDS", "Standardised", "Targets", "kind_of"]

Array = NDArray[Any]
Metric = Any


class Targets(ABC):
    """One kind of target. Outputs are those of a model, (N, classes)."""

    knows: ClassVar[str]  # what the numbers of a prediction are
    ranked: ClassVar[bool] = True  # whether only the largest of them are of interest

    @abstractmethod
    def loss(self, smoothing: float) -> Loss:
        """Return what is minimised."""

    @abstractmethod
    def val_loss(self) -> Loss:
        """Return what is measured on held-out pictures."""

    @abstractmethod
    def metrics(self) -> Mapping[str, Metric]:
        """Return the scores of a batch."""

    @abstractmethod
    def told(self, outputs: Array, spec: ImageSpec) -> NDArray[np.float64]:
        """Return what is said of each picture: a number for every class, label or number."""

    @abstractmethod
    def caption(self, told: Array, spec: ImageSpec) -> str:
        """Return what is said of a picture in a few words."""

    @abstractmethod
    def truth(self, target: Any, spec: ImageSpec) -> str:
        """Return in the same words what is known of it."""

    @abstractmethod
    def errors(self, outputs: Array, targets: Array) -> NDArray[np.float64]:
        """Return how wrong each picture is taken; 0 if it is right."""

    @abstractmethod
    def summary(self, outputs: Array, targets: Array, spec: ImageSpec) -> str:
        """Return how good it is, in a line."""

    @abstractmethod
    def findings(
        self, scores: Mapping[str, float], outputs: Array, targets: Array, spec: ImageSpec
    ) -> Findings:
        """Return what is found of every class, label or number, beside the scores of all."""


class OneClass(Targets):
    """The number of a class."""

    knows = "probability"

    def loss(self, smoothing: float) -> Loss:
        return partial(F.cross_entropy, label_smoothing=smoothing)

    def val_loss(self) -> Loss:
        # What a model is worth does not depend on how it was trained: no smoothing held out.
        return F.cross_entropy

    def metrics(self) -> Mapping[str, Metric]:
        return {"accuracy": accuracy}

    def told(self, outputs: Array, spec: ImageSpec) -> NDArray[np.float64]:
        return np.asarray(F.softmax(Tensor(outputs), 1).numpy())

    def caption(self, told: Array, spec: ImageSpec) -> str:
        return spec.classes[int(told.argmax())]

    def truth(self, target: Any, spec: ImageSpec) -> str:
        return spec.classes[int(target)]

    def errors(self, outputs: Array, targets: Array) -> NDArray[np.float64]:
        sure = F.softmax(Tensor(outputs), 1).numpy().max(1)
        return np.where(outputs.argmax(1) != targets, np.asarray(sure, np.float64), 0.0)

    def summary(self, outputs: Array, targets: Array, spec: ImageSpec) -> str:
        right = self.errors(outputs, targets) == 0
        return f"accuracy on {len(targets):,} held-out images: {_share(right)}"

    def findings(
        self, scores: Mapping[str, float], outputs: Array, targets: Array, spec: ImageSpec
    ) -> Findings:
        if len(spec.classes) == 1:  # nothing to be taken for
            lines = [self.summary(outputs, targets, spec)]
            return Findings(scores, lines, outputs=outputs, targets=targets)
        matrix, calibration = ConfusionMatrix(len(spec.classes)), Calibration()
        matrix.update(outputs, targets)
        calibration.update(self.told(outputs, spec), targets)
        report = matrix.report(spec.classes)
        return Findings(scores, (), report, matrix, calibration, outputs, targets)


class SeveralLabels(Targets):
    """1 for every label that a picture has, 0 for the others."""

    knows = "probability"

    def loss(self, smoothing: float) -> Loss:
        return F.binary_cross_entropy_with_logits

    def val_loss(self) -> Loss:
        return F.binary_cross_entropy_with_logits

    def metrics(self) -> Mapping[str, Metric]:
        return {"accuracy": _labels_right}

    def told(self, outputs: Array, spec: ImageSpec) -> NDArray[np.float64]:
        return np.asarray(F.sigmoid(Tensor(outputs)).numpy())

    def caption(self, told: Array, spec: ImageSpec) -> str:
        return _named(told > 0.5, spec)

    def truth(self, target: Any, spec: ImageSpec) -> str:
        return _named(np.asarray(target) > 0.5, spec)

    def errors(self, outputs: Array, targets: Array) -> NDArray[np.float64]:
        return np.asarray(((outputs > 0) != (targets > 0.5)).sum(1), np.float64)

    def summary(self, outputs: Array, targets: Array, spec: ImageSpec) -> str:
        each = (outputs > 0) == (targets > 0.5)
        whole = self.errors(outputs, targets) == 0
        return (
            f"on {len(targets):,} held-out images {_share(each)} of the labels are right, and all "
            f"labels of {_share(whole)} of them"
        )

    def findings(
        self, scores: Mapping[str, float], outputs: Array, targets: Array, spec: ImageSpec
    ) -> Findings:
        said, true, calibration = outputs > 0, targets > 0.5, Calibration()
        calibration.update(self.told(outputs, spec), true)
        report = ClassReport(spec.classes, (said & true).sum(0), true.sum(0), said.sum(0))
        lines = [self.summary(outputs, targets, spec)]
        return Findings(scores, lines, report, None, calibration, outputs, targets)


class Numbers(Targets):
    """Numbers, which a model is taught in deviations from their mean (`Standardised`)."""

    knows = "value"
    ranked = False

    def loss(self, smoothing: float) -> Loss:
        return F.smooth_l1_loss

    def val_loss(self) -> Loss:
        return F.smooth_l1_loss

    def metrics(self) -> Mapping[str, Metric]:
        return {}

    def told(self, outputs: Array, spec: ImageSpec) -> NDArray[np.float64]:
        mean, deviation = np.array(spec.scales).T
        values: NDArray[np.float64] = np.asarray(outputs, np.float64) * deviation + mean
        return values

    def caption(self, told: Array, spec: ImageSpec) -> str:
        return ", ".join(f"{value:.4g}" for value in told)

    def truth(self, target: Any, spec: ImageSpec) -> str:
        return self.caption(self.told(np.asarray(target), spec), spec)

    def errors(self, outputs: Array, targets: Array) -> NDArray[np.float64]:
        return np.asarray(np.abs(outputs - targets).max(1), np.float64)

    def summary(self, outputs: Array, targets: Array, spec: ImageSpec) -> str:
        explained = 1 - _mean_square(outputs - targets) / _mean_square(targets - targets.mean(0))
        return (
            f"on {len(targets):,} held-out images {100 * explained:.2f} % of the variance is "
            "explained (R²)"
        )

    def findings(
        self, scores: Mapping[str, float], outputs: Array, targets: Array, spec: ImageSpec
    ) -> Findings:
        width = max(map(len, spec.classes))
        away = np.abs(self.told(outputs, spec) - self.told(targets, spec))
        lines = [
            f"  {name:{width}}  off by {error.mean():.4g} on average, by {error.max():.4g} at most"
            for name, error in zip(spec.classes, away.T, strict=True)
        ]
        lines = [self.summary(outputs, targets, spec), *lines]
        return Findings(scores, lines, outputs=outputs, targets=targets)


KINDS: dict[str, Targets] = {
    "class": OneClass(), "labels": SeveralLabels(), "numbers": Numbers()
}  # fmt: skip


class Standardised:
    """A data set whose targets are numbers, in deviations from their mean.

    Examples
    --------
    >>> data = Standardised([("a picture", np.array([31.0]))], ((30.0, 2.0),))
    >>> data[0]
    ('a picture', array([0.5], dtype=float32))
    """

    def __init__(self, dataset: Dataset, scales: Sequence[tuple[float, float]]) -> None:
        self.dataset = dataset
        self.mean, self.deviation = np.array(scales).T

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int, /) -> tuple[Any, NDArray[np.float32]]:
        image, numbers = self.dataset[index]
        return image, ((numbers - self.mean) / self.deviation).astype(np.float32)

    def __repr__(self) -> str:
        return f"Standardised({self.dataset!r})"


def kind_of(spec: ImageSpec) -> Targets:
    """Return the kind of the targets of a data set."""
    return KINDS[spec.targets]


def _labels_right(outputs: Tensor, targets: Tensor) -> float:
    """Return the share of labels that are rightly given or left out."""
    said, true = outputs.detach().cpu().numpy() > 0, targets.cpu().numpy() > 0.5
    return float((said == true).mean())


def _named(chosen: Array, spec: ImageSpec) -> str:
    names = [name for name, has in zip(spec.classes, chosen, strict=True) if has]
    return ", ".join(names) or "none"


def _share(right: Array) -> str:
    return f"{100 * right.mean():.2f} %"


def _mean_square(values: Array) -> float:
    return float((values.astype(np.float64) ** 2).mean()) + 1e-30
