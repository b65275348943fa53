from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import ShapeError
from minigrad.train.metrics import Means, accuracy


def test_accuracy_of_numbers_soft_labels_and_top_k() -> None:
    rng = np.random.default_rng(0)
    logits = mg.tensor(rng.normal(size=(50, 7)).astype(np.float32))
    labels = rng.integers(0, 7, 50)
    expected = (logits.numpy().argmax(1) == labels).mean()
    assert accuracy(logits, mg.tensor(labels)) == expected
    soft = mg.tensor((np.eye(7)[labels] * 0.6 + 0.05).astype(np.float32))
    assert accuracy(logits, soft) == expected
    assert accuracy(logits, mg.tensor(labels), k=7) == 1.0
    assert expected <= accuracy(logits, mg.tensor(labels), k=3) <= 1.0


def test_means_are_weighted_and_can_be_continued() -> None:
    means = Means()
    means.add({"loss": 1.0, "accuracy": 0.5}, 2)
    again = Means(sums=means.sums, count=means.count)
    again.add({"loss": 4.0, "accuracy": 1.0}, 1)
    assert again.values() == {"loss": 2.0, "accuracy": 2 / 3}
    assert means.values()["loss"] == 1.0


def test_accuracy_of_maps_and_of_what_are_no_classes() -> None:
    scores = np.zeros((2, 3, 4), np.float32)
    scores[:, 1] = 1
    assert accuracy(mg.tensor(scores), mg.ones(2, 4, dtype=mg.int64)) == 1.0
    for logits, targets in (((4,), (4,)), ((4, 2), (3,)), ((4, 2), (4, 3)), ((4, 1), (4, 2))):
        with pytest.raises(ShapeError, match="accuracy: logits are"):
            accuracy(mg.zeros(*logits), mg.zeros(*targets))
