"""Precision, recall, F1 and calibration against their definitions, sample by sample."""

from __future__ import annotations

import csv
import json
import math
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import DTypeError, MinigradError, OptionError, ShapeError
from minigrad.train import Calibration, ClassReport, ConfusionMatrix

NAMES = ("cat", "dog", "<cow>", "bat")


def drawn() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """Return probabilities and classes; the fourth never occurs and the third is never said."""
    rng = np.random.default_rng(0)
    scores = rng.random((50, 4)) * [1, 1, 0, 1]
    return scores / scores.sum(1, keepdims=True), rng.integers(0, 3, 50)


def test_a_report_is_its_definition() -> None:
    said, truth = drawn()
    guess = said.argmax(1)
    matrix = ConfusionMatrix(4)
    matrix.update(said[:20], truth[:20])
    matrix.update(guess[20:], truth[20:])
    report = matrix.report(NAMES)
    for i in range(4):
        true, claimed = truth == i, guess == i
        hits = int((true & claimed).sum())
        expected = (
            hits / claimed.sum() if claimed.any() else 0.0,
            hits / true.sum() if true.any() else math.nan,
            2 * hits / (true.sum() + claimed.sum()),
            true.sum(),
        )
        np.testing.assert_allclose(list(report.rows()[NAMES[i]].values()), expected)
    shares, there = np.bincount(truth) / 50, slice(3)
    averages = report.averages()
    for name, values in (("recall", report.recall), ("f1", report.f1)):
        assert averages["macro avg"][name] == pytest.approx(values[there].mean())
        assert averages["weighted avg"][name] == pytest.approx(values[there] @ shares)
    assert averages["weighted avg"]["recall"] == pytest.approx(matrix.accuracy())


def test_a_report_is_read_again_and_shows_itself() -> None:
    said, truth = drawn()
    matrix = ConfusionMatrix(4)
    matrix.update(said, truth)
    report = matrix.report(NAMES)
    rows = list(csv.DictReader(report.to_csv().splitlines()))
    assert [row["class"] for row in rows] == list(NAMES)
    assert rows[3]["recall"] == ""
    assert float(rows[0]["f1"]) == pytest.approx(report.f1[0], rel=1e-5)
    kept = json.loads(json.dumps(report.to_dict(), allow_nan=False))
    assert kept["classes"]["bat"]["recall"] is None
    assert "bat" not in str(report)  # it does not occur
    assert "&lt;cow&gt;" in report._repr_html_()
    empty = ConfusionMatrix(2).report()
    assert math.isnan(empty.averages()["macro avg"]["f1"])
    assert empty.to_dict()["macro avg"]["f1"] is None


@pytest.mark.parametrize("dims", [0, 2])
def test_calibration_is_its_definition(dims: int) -> None:
    rng = np.random.default_rng(1)
    said = rng.random((40, 3, *[2] * dims))
    said /= said.sum(1, keepdims=True)
    truth = rng.integers(0, 3, (40, *[2] * dims))
    calibration = Calibration(bins=7)
    calibration.update(mg.tensor(said[:15]), mg.tensor(truth[:15]))
    other = Calibration(bins=7)
    other.update(said[15:], truth[15:])
    calibration.merge(other)
    sure, right = said.max(1).ravel(), (said.argmax(1) == truth).ravel()
    error, worst = 0.0, 0.0
    for i in range(7):
        inside = (sure > i / 7) & (sure <= (i + 1) / 7)
        assert calibration.counts[i] == inside.sum()
        if inside.any():
            gap = abs(right[inside].mean() - sure[inside].mean())
            error, worst = error + gap * inside.mean(), max(worst, gap)
            assert calibration.accuracy()[i] == pytest.approx(right[inside].mean())
        else:
            assert math.isnan(calibration.confidence()[i])
    assert calibration.ece() == pytest.approx(error)
    assert calibration.mce() == pytest.approx(worst)
    json.dumps(calibration.to_dict(), allow_nan=False)


def test_a_bin_ends_where_it_is_closed() -> None:
    """0 lies in the first, 1 in the last, an edge in the one below it; ignored ones in none."""
    calibration = Calibration(bins=4)
    calibration.update(np.array([0.0, 0.25, 0.26, 1.0, 0.5]), np.array([0, 0, 1, 1, -100]))
    assert calibration.counts.tolist() == [2, 1, 0, 1]
    assert calibration.ece() == pytest.approx((0.25 + 0.74) / 4)
    assert math.isnan(Calibration().ece())
    json.dumps(Calibration().to_dict(), allow_nan=False)


@pytest.mark.parametrize(
    ("said", "truth", "error", "message"),
    [
        ([[2.0, 1.0]], [0], OptionError, "from 1 to 2: end them with softmax or sigmoid"),
        ([[0.5, math.nan]], [0], OptionError, "probabilities lie between 0 and 1"),
        ([[0.5, 0.5]], [0, 1], ShapeError, r"got \(1, 2\) and \(2,\)"),
        ([[1, 0]], [0], DTypeError, "floats and targets classes, got int64"),
        ([[0.5, 0.5]], [0.0], DTypeError, "got float64 and float64"),
        ([[0.5, 0.5]], [2], OptionError, "classes are numbered 0 to 1, got 2 to 2"),
        ([0.5, 0.5], [1, -1], OptionError, "classes are numbered 0 to 1, got -1 to 1"),
    ],
)
def test_what_is_no_probability_is_not_counted(
    said: Any, truth: Any, error: type[Exception], message: str
) -> None:
    calibration = Calibration()
    with pytest.raises(error, match=message):
        calibration.update(said, truth)
    assert not calibration.counts.any()


def test_refused_reports() -> None:
    one = np.ones(1, np.int64)
    with pytest.raises(MinigradError, match="bins must be 1 or more, got 0"):
        Calibration(0)
    with pytest.raises(MinigradError, match="3 bins do not merge into 4"):
        Calibration(4).merge(Calibration(3))
    with pytest.raises(ShapeError, match=r"2 classes have as many hits.*got \(1,\), "):
        ClassReport(("a", "b"), one, one, one)
    with pytest.raises(OptionError, match="a name of its own"):
        ConfusionMatrix(2).report(["a", "a"])
