"""Losses that do not fit the model's outputs are warned about."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import pytest

from minigrad import nn
from minigrad.compat.convnext import ConvNeXt
from minigrad.nn import functional as F
from minigrad.train import Trainer

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
