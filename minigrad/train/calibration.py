"""Calibration: how often a model is right when it says how sure it is."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.construct import as_numpy
from minigrad.data.dataset import whole_number
from minigrad.errors import DTypeError, OptionError, ShapeError
from minigrad.loading import check_kinds
from minigrad.train.confusion import LEAST

__all__ = ["Calibration"]

Floats = NDArray[np.float64]


class Calibration:
    """Predictions by how sure they are, in bins of equal width, batch after batch.

    In a calibrated model, of the predictions that are 80 % sure 80 % are right. Its expected
    calibration error is the mean of |accuracy − confidence| over the bins, weighted by what lies in
    each; a bin holds the confidences in (low, high].

    Parameters
    ----------
    bins : int, default 15
        How many there are between 0 and 1.

    Attributes
    ----------
    edges : array of float, (bins + 1,)
        Where they begin and end.
    counts : array of int, (bins,)
        Predictions in each.

    Notes
    -----
    Source: Guo et al., "On calibration of modern neural networks", arXiv:1706.04599, equations 2
    to 5.

    Examples
    --------
    >>> calibration = Calibration(bins=5)
    >>> said = [[0.9, 0.1], [0.1, 0.9], [0.3, 0.7], [0.5, 0.5]]
    >>> calibration.update(said, [0, 0, 1, 1])
    >>> calibration.counts.tolist(), round(calibration.ece(), 4)
    ([0, 0, 1, 1, 2], 0.4)
    >>> calibration
    Calibration(5 bins, 4 predictions)
    """

    def __init__(self, bins: int = 15) -> None:
        self.bins = whole_number("Calibration: bins", bins, 1)
        self.edges: Floats = np.linspace(0.0, 1.0, self.bins + 1)
        self.counts: NDArray[np.int64] = np.zeros(self.bins, np.int64)
        self._sure, self._right = np.zeros(self.bins), np.zeros(self.bins)

    def update(self, probabilities: Any, targets: Any, ignore_index: int = -100) -> None:
        """Count a batch.

        Parameters
        ----------
        probabilities : Tensor or array
            Of every class (N, classes, ...), of which the largest counts; or of yes (N, ...).
        targets : Tensor or array, (N, ...)
            True classes, integer; or 1 for yes and 0 for no.
        ignore_index : int, default -100
            Target of positions that do not count.

        Raises
        ------
        ShapeError, DTypeError, OptionError
            If the two do not fit each other, or these are no probabilities; nothing is counted
            then.
        """
        said, truth = as_numpy(probabilities), as_numpy(targets)
        whole_number("Calibration: ignore_index", ignore_index, LEAST)
        if said.dtype.kind != "f" or truth.dtype.kind not in "iub":
            raise DTypeError(
                f"Calibration: probabilities are floats and targets classes, got {said.dtype} and "
                f"{truth.dtype}"
            )
        if said.size and not (said.min() >= 0 and said.max() <= 1):
            raise OptionError(
                f"Calibration: probabilities lie between 0 and 1; these go from {said.min():.4g} "
                f"to {said.max():.4g}: end them with softmax or sigmoid"
            )
        if said.shape == truth.shape:
            sure, right = said, truth == 1
        elif said.ndim > 1 and said.shape[:1] + said.shape[2:] == truth.shape:
            sure, right = said.max(1), said.argmax(1) == truth
        else:
            raise ShapeError(
                "Calibration: probabilities are (N, classes, ...) or (N, ...) for targets (N, "
                f"...), got {said.shape} and {truth.shape}"
            )
        counted = truth != ignore_index
        classes, named = said.shape[1] if said.ndim > truth.ndim else 2, truth[counted]
        if named.size and not 0 <= named.min() <= named.max() < classes:
            raise OptionError(
                f"Calibration: classes are numbered 0 to {classes - 1}, got {named.min()} to "
                f"{named.max()}; pass ignore_index for positions that do not count"
            )
        sure, right = sure[counted].astype(np.float64), right[counted]
        places = np.searchsorted(self.edges[1:-1], sure)  # low < sure <= high
        self.counts += np.bincount(places, minlength=self.bins)
        self._sure += np.bincount(places, sure, self.bins)
        self._right += np.bincount(places, right, self.bins)

    def merge(self, other: Calibration) -> None:
        """Add the counts of another one, such as another process's."""
        check_kinds("Calibration.merge", Calibration, other=other)
        if other.bins != self.bins:
            raise OptionError(f"Calibration: {other.bins} bins do not merge into {self.bins}")
        self.counts += other.counts
        self._sure += other._sure
        self._right += other._right

    def confidence(self) -> Floats:
        """Return how sure the predictions of each bin are on average; NaN where there is none."""
        return self._mean(self._sure)

    def accuracy(self) -> Floats:
        """Return the share of them that is right; NaN where there is none."""
        return self._mean(self._right)

    def ece(self) -> float:
        """Return the expected calibration error; NaN if nothing was counted."""
        total = int(self.counts.sum())
        return float(np.abs(self._right - self._sure).sum() / total) if total else float("nan")

    def mce(self) -> float:
        """Return the maximum calibration error: that of the worst bin."""
        gaps = np.abs(self.accuracy() - self.confidence())[self.counts > 0]
        return float(gaps.max()) if gaps.size else float("nan")

    def to_dict(self) -> dict[str, Any]:
        """Return errors and bins for JSON."""
        values = (self.edges[:-1], self.edges[1:], self.counts, self.confidence(), self.accuracy())
        names = ("low", "high", "count", "confidence", "accuracy")
        bins = [
            {name: _known(x.item()) for name, x in zip(names, row, strict=True)}
            for row in zip(*values, strict=True)
        ]
        return {"ece": _known(self.ece()), "mce": _known(self.mce()), "bins": bins}

    def _mean(self, sums: Floats) -> Floats:
        means = np.full(self.bins, np.nan)
        np.divide(sums, self.counts, out=means, where=self.counts > 0)
        return means

    def __repr__(self) -> str:
        return f"Calibration({self.bins} bins, {int(self.counts.sum())} predictions)"


def _known(value: float) -> float | None:
    """Return a number for JSON, which knows no NaN."""
    return None if math.isnan(value) else value
