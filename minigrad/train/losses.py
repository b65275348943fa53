"""Losses by name; whether one fits what the model gives, and how it smooths labels."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

from minigrad import nn
from minigrad.errors import unknown
from minigrad.nn import functional as F
from minigrad.tensor import Tensor

__all__ = ["LOSSES", "Loss", "named", "smoothing_of", "warn_of_outputs"]

Loss = Callable[[Tensor, Tensor], Tensor]

LOSSES: dict[str, Loss] = {
    "binary_cross_entropy": F.binary_cross_entropy_with_logits,
    "cross_entropy": F.cross_entropy,
    "l1": F.l1_loss,
    "mse": F.mse_loss,
    "smooth_l1": F.smooth_l1_loss,
}
REGRESSIONS = (LOSSES["l1"], LOSSES["mse"], LOSSES["smooth_l1"])

OF_LOGITS = (F.cross_entropy, F.binary_cross_entropy_with_logits)
OF_PROBABILITIES = (F.binary_cross_entropy,)
LAYERS_OF_LOGITS = (nn.CrossEntropyLoss, nn.BCEWithLogitsLoss)
LAYERS_OF_PROBABILITIES = (nn.BCELoss,)


def named(chosen: Loss | str) -> Loss:
    """Return a loss that may be given by its name."""
    if callable(chosen):
        return chosen
    if not isinstance(chosen, str) or chosen not in LOSSES:
        raise unknown("loss", chosen, LOSSES)
    return LOSSES[chosen]


def warn_of_outputs(model: nn.Module, loss: Any) -> None:
    """Warn if `loss` expects logits and `model` gives probabilities, or the other way round.

    Only models that say what they do to their logits, in an attribute ``classifier_activation``,
    can be judged: ConvNeXt and the U-Nets.

    Examples
    --------
    >>> import minigrad as mg
    >>> options = {"num_classes": 2, "depths": (1,), "dims": (4,)}
    >>> with warnings.catch_warnings(record=True) as said:
    ...     warnings.simplefilter("always")
    ...     warn_of_outputs(mg.models.ConvNeXt(**options), F.cross_entropy)
    ...     warn_of_outputs(mg.models.ConvNeXt(**options), mg.nn.BCELoss())
    >>> print(said[0].message)
    the loss BCELoss expects probabilities, but the model gives logits; ...
    """
    activation = getattr(model, "classifier_activation", "unknown")
    if activation == "unknown":
        return
    while isinstance(loss, partial):
        loss = loss.func
    name = getattr(loss, "__name__", type(loss).__name__)
    logits = activation in (None, "linear", "none")
    chosen = getattr(loss, "from_logits", None)  # of the dice losses
    of_probabilities = loss in OF_PROBABILITIES or isinstance(loss, LAYERS_OF_PROBABILITIES)
    of_logits = loss in OF_LOGITS or isinstance(loss, LAYERS_OF_LOGITS)
    if logits and (of_probabilities or chosen is False):
        _warn(
            f"the loss {name} expects probabilities, but the model gives logits; take the loss of "
            "logits, or build the model with classifier_activation='sigmoid'"
        )
    if not logits and (of_logits or chosen is True):
        _warn(
            f"the loss {name} expects logits, but the model's outputs went through {activation}; "
            "build the model with classifier_activation=None"
        )


def smoothing_of(loss: Any) -> float:
    """Return the share of the label that a loss spreads over all classes.

    Examples
    --------
    >>> smooth = partial(F.cross_entropy, label_smoothing=0.1)
    >>> smoothing_of(smooth), smoothing_of(F.mse_loss)
    (0.1, 0.0)
    """
    if isinstance(loss, partial) and "label_smoothing" in loss.keywords:
        return float(loss.keywords["label_smoothing"])
    if isinstance(loss, partial):
        return smoothing_of(loss.func)
    return float(getattr(loss, "label_smoothing", 0.0))


def _warn(text: str) -> None:
    warnings.warn(text, UserWarning, stacklevel=4)
