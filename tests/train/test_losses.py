"""Losses that do not fit the model's outputs are warned about."""

from __future__ import annotations

import io
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.compat.convnext import ConvNeXt
from minigrad.data import ArrayDataset, DataLoader
from minigrad.nn import functional as F
from minigrad.runs import TrainConfig, prepare
from minigrad.train import Log, Progress, Trainer
from minigrad.viz import curves_svg

SMALL: dict[str, Any] = {"num_classes": 2, "depths": (1,), "dims": (4,)}


@pytest.mark.parametrize(
    ("activation", "loss", "message"),
    [
        ("softmax", "cross_entropy", "cross_entropy expects logits, .* went through softmax"),
        ("softmax", nn.CrossEntropyLoss(), "CrossEntropyLoss expects logits"),
        ("softmax", partial(F.cross_entropy, label_smoothing=0.1), "cross_entropy expects logits"),
        ("sigmoid", "binary_cross_entropy", "binary_cross_entropy_with_logits expects logits"),
        (None, F.binary_cross_entropy, "binary_cross_entropy expects probabilities"),
        ("sigmoid", nn.DiceLoss(), "DiceLoss expects logits"),
        (None, nn.DiceLoss(from_logits=False), "DiceLoss expects probabilities"),
        (None, nn.BCELoss(), "BCELoss expects probabilities, but the model gives logits"),
    ],
)
def test_what_does_not_fit(activation: str | None, loss: Any, message: str) -> None:
    model = ConvNeXt(classifier_activation=activation, **SMALL)
    with pytest.warns(UserWarning, match=message):
        Trainer(model, loss=loss)


@pytest.mark.parametrize(
    ("activation", "loss"),
    [
        (None, "cross_entropy"),
        (None, nn.BCEWithLogitsLoss()),
        ("sigmoid", nn.BCELoss()),
        ("softmax", "mse"),
        ("log_softmax", nn.NLLLoss()),
        (None, lambda output, target: output.sum()),
    ],
)
def test_what_fits_or_cannot_be_judged(activation: str | None, loss: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Trainer(ConvNeXt(classifier_activation=activation, **SMALL), loss=loss)
        Trainer(nn.Sequential(nn.Linear(2, 2), nn.Sigmoid()), loss="cross_entropy")


def test_label_smoothing_stands_beside_the_loss_it_changes(tmp_path: Path) -> None:
    """By hand: two classes, logits ±1, so the smoothed loss is the plain one plus 0.3 / 2 · 2."""
    data = ArrayDataset(np.ones((4, 1, 1), np.float32), np.zeros(4, np.int64), ("a", "b"))
    model = nn.Sequential(nn.Flatten(), nn.Linear(1, 2, bias=False))
    with mg.no_grad():
        model[1].weight.copy_(mg.tensor([[1.0], [-1.0]]))
    plain = np.log1p(np.exp(-2.0))
    smoothed = plain + 0.3 / 2 * 2
    loader = DataLoader(data, 4)
    loss = partial(F.cross_entropy, label_smoothing=0.3)
    stream = io.StringIO()
    callbacks = [Progress(stream), Log(tmp_path)]
    options: dict[str, Any] = {
        "callbacks": callbacks,
        "optimizer": mg.optim.SGD(model.parameters(), 0.0),
    }
    trainer = Trainer(model, loss=loss, val_loss="cross_entropy", **options)
    (row,) = trainer.fit(loader, loader)
    assert row["train_loss"] == pytest.approx(smoothed, rel=1e-6)
    assert row["val_loss"] == pytest.approx(plain, rel=1e-6)
    assert trainer.evaluate(loader)["loss"] == pytest.approx(plain, rel=1e-6)
    assert row["train_smoothing"] == 0.3
    assert "val_smoothing" not in row
    shown = f"train loss {smoothed:.4f} (smoothing 0.3) acc 100.00 %  val loss {plain:.4f}"
    assert shown in stream.getvalue()
    assert "epoch,lr,train_loss,train_smoothing," in (tmp_path / "log.csv").read_text()
    drawing = str(curves_svg(trainer.history))
    assert f"train loss {smoothed:.4f} (smoothing 0.3)" in drawing
    assert drawing.count("smoothing") == 1

    both = Trainer(model, loss=nn.CrossEntropyLoss(label_smoothing=0.3), **options)
    (row,) = both.fit(loader, loader)
    assert row["val_smoothing"] == row["train_smoothing"] == 0.3


def test_a_run_measures_without_smoothing() -> None:
    """So that `minigrad val` says what the log said."""
    config = TrainConfig(epochs=1, depths=(1,), dims=(4,), batch_size=512, label_smoothing=0.4)
    experiment = prepare(config)
    (row,) = experiment.fit()
    again = Trainer(experiment.trainer.model).evaluate(experiment.test)
    assert again["loss"] == row["val_loss"]
    assert row["train_smoothing"] == 0.4
