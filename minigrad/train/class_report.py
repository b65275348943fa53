"""ClassReport: precision, recall and F1 of every class, and how often it is there."""

from __future__ import annotations

import csv
import io as text
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.errors import OptionError, ShapeError
from minigrad.loading import check_kinds, several
from minigrad.showing import table

__all__ = ["ClassReport"]

COLUMNS = ("precision", "recall", "f1", "support")


@dataclass(frozen=True)
class ClassReport:
    """How well each class is found, from three counts of it.

    precision = hits / predicted, recall = hits / true, and F1 = 2 hits / (true + predicted), their
    harmonic mean. As in scikit-learn a class that is there and is never predicted has precision 0.
    One that is not there has no recall (NaN), and the averages leave it out.

    Parameters
    ----------
    classes : sequence of str
        Their names.
    hits : array of int, (classes,)
        Samples of the class that are predicted to be of it.
    true : array of int, (classes,)
        Samples of the class: its support.
    predicted : array of int, (classes,)
        Samples that are predicted to be of it.

    Examples
    --------
    >>> hits, true, predicted = np.array([3, 1]), np.array([4, 2]), np.array([4, 2])
    >>> report = ClassReport(("cat", "dog"), hits, true, predicted)
    >>> print(report)
                  precision  recall      F1  support
      cat            0.7500  0.7500  0.7500        4
      dog            0.5000  0.5000  0.5000        2
      macro avg      0.6250  0.6250  0.6250        6
      weighted avg   0.6667  0.6667  0.6667        6
    >>> report.averages()["macro avg"]["recall"]
    0.625
    """

    classes: Sequence[str]
    hits: NDArray[np.int64]
    true: NDArray[np.int64]
    predicted: NDArray[np.int64]

    def __post_init__(self) -> None:
        """Refuse counts that are not of these classes, or that cannot be of samples."""
        several("ClassReport", "classes", self.classes, str)
        if len(set(self.classes)) < len(self.classes):
            raise OptionError(f"ClassReport: every class has a name of its own, got {self.classes}")
        shapes = [np.shape(counts) for counts in (self.hits, self.true, self.predicted)]
        if set(shapes) != {(len(self.classes),)}:
            raise ShapeError(
                f"ClassReport: {len(self.classes)} classes have as many hits, true and predicted "
                f"samples; got {shapes[0]}, {shapes[1]} and {shapes[2]}"
            )
        for name in ("hits", "true", "predicted"):
            counts = getattr(self, name)
            check_kinds("ClassReport", np.ndarray, "np.array makes one", **{name: counts})
            if counts.dtype.kind not in "iu" or (counts < 0).any():
                raise OptionError(f"ClassReport: {name} are whole numbers, 0 or more, got {counts}")
        wrong = np.flatnonzero(self.hits > np.minimum(self.true, self.predicted))
        if wrong.size:
            i = wrong[0]
            raise OptionError(
                f"ClassReport: what is hit is of the class and predicted to be; of "
                f"{self.classes[i]} {self.hits[i]} are hit, {self.true[i]} true and "
                f"{self.predicted[i]} predicted"
            )

    @property
    def precision(self) -> NDArray[np.float64]:
        """Share of what is predicted to be of a class that is of it."""
        found = _ratio(self.hits, self.predicted)
        return np.where((self.predicted == 0) & (self.true > 0), 0.0, found)

    @property
    def recall(self) -> NDArray[np.float64]:
        """Share of a class that is found."""
        return _ratio(self.hits, self.true)

    @property
    def f1(self) -> NDArray[np.float64]:
        """Harmonic mean of the two."""
        return _ratio(2 * self.hits, self.true + self.predicted)

    def rows(self) -> dict[str, dict[str, float]]:
        """Return the numbers of every class, by its name."""
        values = zip(self.precision, self.recall, self.f1, self.true, strict=True)
        return {
            name: dict(zip(COLUMNS, (*map(float, scores), int(support)), strict=True))
            for name, (*scores, support) in zip(self.classes, values, strict=True)
        }

    def averages(self) -> dict[str, dict[str, float]]:
        """Return the means over the classes that occur: of all alike, and by their support."""
        there = self.true > 0
        support, total = self.true[there], int(self.true.sum())
        scores = np.array([values[there] for values in (self.precision, self.recall, self.f1)])
        shares = {"macro avg": np.ones(len(support)), "weighted avg": support}
        found = {}
        for name, weight in shares.items():
            means = scores @ weight / weight.sum() if total else np.full(3, np.nan)
            found[name] = dict(zip(COLUMNS, (*means.tolist(), total), strict=True))
        return found

    def to_csv(self) -> str:
        """Return a line for every class; what is not defined is empty."""
        out = text.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(["class", *COLUMNS])
        for name, row in self.rows().items():
            writer.writerow([name, *("" if math.isnan(x) else f"{x:.6g}" for x in row.values())])
        return out.getvalue()

    def to_dict(self) -> dict[str, Any]:
        """Return classes and averages for JSON, which knows no NaN: None stands for it."""
        parts = {"classes": self.rows(), **self.averages()}
        return {name: _without_nan(part) for name, part in parts.items()}

    def __str__(self) -> str:
        cells = list(self._cells())
        width = max(len(row[0]) for row in cells)
        sizes = [max(len(row[i]) for row in cells) for i in range(1, 5)]
        return "\n".join(
            f"  {name:{width}}  "
            + "  ".join(f"{x:>{size}}" for x, size in zip(numbers, sizes, strict=True))
            for name, *numbers in cells
        )

    def _repr_html_(self) -> str:
        """Return the table that notebooks show."""
        head, *rows = self._cells()
        return table(rows, head)

    def _cells(self) -> Iterator[tuple[str, ...]]:
        """Yield the lines of the table, of the classes that occur."""
        yield "", "precision", "recall", "F1", "support"
        rows = {name: row for name, row in self.rows().items() if row["support"]}
        for name, row in (*rows.items(), *self.averages().items()):
            *scores, support = row.values()
            yield name, *(f"{x:.4f}" for x in scores), f"{support:,}"


def _ratio(top: NDArray[np.int64], bottom: NDArray[np.int64]) -> NDArray[np.float64]:
    share = np.full(len(top), np.nan)
    np.divide(top, bottom, out=share, where=bottom > 0)
    return share


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_nan(part) for name, part in value.items()}
    return None if math.isnan(value) else value
