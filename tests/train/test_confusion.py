"""Confusion matrix, IoU and Dice: against their definitions, batch after batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import DTypeError, OptionError, ShapeError
from minigrad.train import ConfusionMatrix, mean_dice, mean_iou

RNG = np.random.default_rng(0)
SCORES = RNG.standard_normal((6, 4, 5, 7))
TRUTH = RNG.integers(0, 4, (6, 5, 7))


def test_scores_are_those_of_their_definitions() -> None:
    matrix = ConfusionMatrix(4)
    for part in (slice(0, 1), slice(1, 4), slice(4, 6)):  # batches of any size
        matrix.update(mg.tensor(SCORES[part]), mg.tensor(TRUTH[part]))
    guess = SCORES.argmax(1)
    for c in range(4):
        both = ((guess == c) & (TRUTH == c)).sum()
        either = ((guess == c) | (TRUTH == c)).sum()
        assert matrix.iou()[c] == pytest.approx(both / either)
        sizes = (guess == c).sum() + (TRUTH == c).sum()
        assert matrix.dice()[c] == pytest.approx(2 * both / sizes)
        assert matrix.matrix[c].sum() == (TRUTH == c).sum()
    assert matrix.accuracy() == pytest.approx((guess == TRUTH).mean())
    assert matrix.mean_iou() == pytest.approx(matrix.iou().mean())
    assert matrix.mean_dice(include_background=False) == pytest.approx(matrix.dice()[1:].mean())
    whole = (mg.tensor(SCORES), mg.tensor(TRUTH))
    assert mean_iou(*whole) == pytest.approx(matrix.mean_iou())
    assert mean_dice(*whole) == pytest.approx(matrix.mean_dice())


def test_absent_classes_are_nan_and_leave_the_mean() -> None:
    matrix = ConfusionMatrix(4)
    assert np.isnan(matrix.mean_iou())
    assert np.isnan(matrix.accuracy())
    matrix.update(np.array([0, 1, 1]), np.array([0, 1, 0]))
    np.testing.assert_allclose(matrix.iou(), [0.5, 0.5, np.nan, np.nan])
    assert matrix.mean_iou() == 0.5


def test_ignored_positions_merge_and_reset() -> None:
    truth = TRUTH.copy()
    truth[0] = -100
    a, b = ConfusionMatrix(4), ConfusionMatrix(4)
    a.update(SCORES, truth)
    b.update(SCORES[1:], TRUTH[1:])
    np.testing.assert_array_equal(a.matrix, b.matrix)
    a.merge(b)
    np.testing.assert_array_equal(a.matrix, 2 * b.matrix)
    a.reset()
    assert a.matrix.sum() == 0
    assert repr(b) == f"ConfusionMatrix(4 classes, {TRUTH[1:].size} positions)"


def test_one_channel_is_yes_or_no() -> None:
    matrix = ConfusionMatrix(2)
    matrix.update(mg.tensor([[[-1.0, 2.0, 3.0]]]), mg.tensor([[0, 1, 0]]))
    assert matrix.matrix.tolist() == [[1, 1], [0, 1]]


C = ConfusionMatrix(3)
WRONG: list[Any] = [
    (lambda: ConfusionMatrix(1), OptionError, "classes must be 2 or more, got 1"),
    (lambda: C.update(np.zeros((2, 4, 5)), np.zeros((2, 5), int)), ShapeError, r"\(N, 3, \.\.\.\)"),
    (lambda: C.update(np.zeros((2, 3, 5)), np.zeros((2, 4), int)), ShapeError, "same positions"),
    (lambda: C.update(np.zeros((2, 3, 5)), np.zeros((2, 5))), DTypeError, "must hold classes"),
    (lambda: C.update(np.zeros(2, int), np.array([0, 3])), OptionError, "target has class 3"),
    (lambda: C.update(np.array([0, -1]), np.zeros(2, int)), OptionError, "output has class -1"),
    (lambda: C.merge(ConfusionMatrix(2)), OptionError, "2 classes do not merge into 3"),
]


@pytest.mark.parametrize(("call", "kind", "message"), WRONG)
def test_errors_teach_and_count_nothing(call: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        call()
    assert C.matrix.sum() == 0
