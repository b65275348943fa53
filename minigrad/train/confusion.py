"""ConfusionMatrix: which class was taken for which, batch after batch; IoU and Dice from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.construct import as_numpy
from minigrad.data.dataset import whole_number
from minigrad.errors import DTypeError, OptionError, ShapeError
from minigrad.loading import check_kinds, several
from minigrad.showing import table
from minigrad.tensor import Tensor
from minigrad.train.class_report import ClassReport

__all__ = ["ConfusionMatrix", "mean_dice", "mean_iou"]

LEAST = -(2**63)  # that a class can be: one that does not count may be below 0
Scores = NDArray[np.float64]


class ConfusionMatrix:
    """Counts of positions by true and predicted class, over as many batches as there are.

    Parameters
    ----------
    classes : int
        Number of classes, at least 2.
    ignore_index : int, default -100
        True class of positions that do not count.

    Attributes
    ----------
    matrix : array of int, (classes, classes)
        Row: the true class; column: the predicted one.

    Examples
    --------
    >>> import minigrad as mg
    >>> matrix = ConfusionMatrix(3)
    >>> matrix.update(mg.tensor([[0, 1, 1, 2]]), mg.tensor([[0, 1, 2, 2]]))
    >>> matrix.iou()
    array([1. , 0.5, 0.5])
    >>> round(matrix.mean_dice(), 4), matrix.accuracy()
    (0.7778, 0.75)
    """

    def __init__(self, classes: int, ignore_index: int = -100) -> None:
        if type(classes) is not int or classes < 2:
            raise OptionError(
                f"ConfusionMatrix: classes must be 2 or more, got {classes!r}; one class and its "
                "background are two"
            )
        whole_number("ConfusionMatrix: ignore_index", ignore_index, LEAST)
        self.classes, self.ignore_index = classes, ignore_index
        self.matrix: NDArray[np.int64] = np.zeros((classes, classes), np.int64)

    def update(self, output: Any, target: Any) -> None:
        """Count a batch.

        Parameters
        ----------
        output : Tensor or array
            Predicted classes (N, ...), integer; or scores (N, classes, ...), of which the largest
            counts; or, for two classes, logits (N, 1, ...), where more than 0 is class 1.
        target : Tensor or array, (N, ...)
            True classes, integer.

        Raises
        ------
        ShapeError, DTypeError, OptionError
            If the two do not fit each other, or a class is out of range; nothing is counted then.
        """
        truth, scores = as_numpy(target), as_numpy(output)
        if truth.dtype.kind not in "iub":
            raise DTypeError(f"ConfusionMatrix: target must hold classes, got {truth.dtype}")
        guess = scores if scores.dtype.kind in "iub" else self._chosen(scores)
        if guess.shape != truth.shape:
            raise ShapeError(
                f"ConfusionMatrix: output and target must be of the same positions, got "
                f"{scores.shape} and {truth.shape}; scores have {self.classes} channels on "
                "axis 1"
            )
        counts = truth != self.ignore_index
        a, b = truth[counts].astype(np.int64), guess[counts].astype(np.int64)
        for name, values in (("target", a), ("output", b)):
            wrong = (values < 0) | (values >= self.classes)
            if wrong.any():
                raise OptionError(
                    f"ConfusionMatrix: {name} has class {values[wrong][0]}, but there are "
                    f"{self.classes}, 0 to {self.classes - 1}; mind ignore_index"
                )
        pairs = (a * self.classes + b).astype(np.intp)
        found = np.bincount(pairs, minlength=self.classes**2)
        self.matrix += found.reshape(self.classes, self.classes)

    def _chosen(self, scores: NDArray[Any]) -> NDArray[Any]:
        channels = scores.shape[1] if scores.ndim > 1 else 0
        if channels == 1 and self.classes == 2:
            return np.asarray(scores[:, 0] > 0, np.int64)
        if channels != self.classes:
            raise ShapeError(
                f"ConfusionMatrix: scores must be (N, {self.classes}, ...), got {scores.shape}"
            )
        return np.asarray(scores.argmax(1))

    def merge(self, other: ConfusionMatrix) -> None:
        """Add the counts of another matrix, such as another process's."""
        check_kinds("ConfusionMatrix.merge", ConfusionMatrix, other=other)
        if other.classes != self.classes:
            raise OptionError(
                f"ConfusionMatrix: {other.classes} classes do not merge into {self.classes}"
            )
        self.matrix += other.matrix

    def reset(self) -> None:
        """Forget all counts."""
        self.matrix[:] = 0

    def iou(self) -> Scores:
        """Return intersection over union of every class; NaN for one that never occurs."""
        hit, true, said = self._sums()
        return _ratio(hit, true + said - hit)

    def dice(self) -> Scores:
        """Return twice the intersection over the sum of sizes (F1) of every class, or NaN."""
        hit, true, said = self._sums()
        return _ratio(2 * hit, true + said)

    def mean_iou(self, include_background: bool = True) -> float:
        """Return the mean of `iou` over the classes that occur; without class 0 if so asked."""
        return _mean(self.iou(), include_background)

    def mean_dice(self, include_background: bool = True) -> float:
        """Return the mean of `dice` over the classes that occur; without class 0 if so asked."""
        return _mean(self.dice(), include_background)

    def accuracy(self) -> float:
        """Return the share of positions whose class is right."""
        total = int(self.matrix.sum())
        return float(np.trace(self.matrix)) / total if total else float("nan")

    def report(self, classes: Sequence[str] | None = None) -> ClassReport:
        """Return precision, recall and F1 of every class, by name or number."""
        names = tuple(map(str, range(self.classes)))
        if classes is not None:
            names = several("ConfusionMatrix.report", "classes", classes, str)
        return ClassReport(names, np.diagonal(self.matrix), self.matrix.sum(1), self.matrix.sum(0))

    def _sums(self) -> tuple[Scores, Scores, Scores]:
        """Return positions that are right, that are of the class, and that are predicted to be."""
        matrix = self.matrix.astype(np.float64)
        return np.diagonal(matrix), matrix.sum(1), matrix.sum(0)

    def __repr__(self) -> str:
        return f"ConfusionMatrix({self.classes} classes, {int(self.matrix.sum())} positions)"

    def _repr_html_(self) -> str:
        """Return the table that notebooks show."""
        rows = ([f"true {i}", *map(str, row)] for i, row in enumerate(self.matrix.tolist()))
        return table(rows, ["", *map(str, range(self.classes))], repr(self))


def mean_iou(output: Tensor, target: Tensor) -> float:
    """Return the mean IoU of one batch of scores (N, C, ...): a metric for `Trainer`.

    The mean over batches is not that over all positions; for that, use `ConfusionMatrix`.

    Examples
    --------
    >>> import minigrad as mg
    >>> scores = mg.tensor([[[9.0, 0.0], [0.0, 9.0]]])
    >>> mean_iou(scores, mg.tensor([[0, 1]]))
    1.0
    """
    return _of_batch(output, target).mean_iou()


def mean_dice(output: Tensor, target: Tensor) -> float:
    """Return the mean Dice of one batch of scores (N, C, ...): a metric for `Trainer`.

    Examples
    --------
    >>> import minigrad as mg
    >>> scores = mg.tensor([[[9.0, 0.0], [0.0, 9.0]]])
    >>> mean_dice(scores, mg.tensor([[0, 1]]))
    1.0
    """
    return _of_batch(output, target).mean_dice()


def _of_batch(output: Tensor, target: Tensor) -> ConfusionMatrix:
    matrix = ConfusionMatrix(max(output.shape[1], 2))
    matrix.update(output, target)
    return matrix


def _ratio(top: Scores, bottom: Scores) -> Scores:
    return np.divide(top, bottom, out=np.full_like(top, np.nan), where=bottom > 0)


def _mean(values: Scores, include_background: bool) -> float:
    values = values if include_background else values[1:]
    present = values[~np.isnan(values)]
    return float(present.mean()) if present.size else float("nan")
