"""Losses by Keras's names; classes lie on the last axis.

A loss is called as everywhere in minigrad: ``loss(output, target)``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from minigrad.errors import unknown
from minigrad.nn import Module
from minigrad.nn import functional as F
from minigrad.tensor import Tensor
from minigrad.train.losses import LOSSES

__all__ = [
    "BinaryCrossentropy",
    "CategoricalCrossentropy",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "SparseCategoricalCrossentropy",
    "find_loss",
]

EPSILON = 1e-7  # Keras's: probabilities are kept this far from 0 and 1


@dataclass(frozen=True)
class Crossentropy:
    """A loss of classes, from logits or from probabilities.

    Parameters
    ----------
    from_logits : bool, default False
        Whether the model's outputs are logits; otherwise they are probabilities.
    label_smoothing : float, default 0
        Share of the label that is spread over all classes.
    """

    from_logits: bool = False
    label_smoothing: float = 0.0
    name: ClassVar[str]


class CategoricalCrossentropy(Crossentropy):
    """−Σ t log p for one-hot or soft labels (…, classes).

    Examples
    --------
    >>> import minigrad as mg
    >>> loss = CategoricalCrossentropy()
    >>> round(loss(mg.tensor([[0.25, 0.75]]), mg.tensor([[0.0, 1.0]])).item(), 4)
    0.2877
    """

    name = "categorical_crossentropy"

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        target = target.to(output.dtype)
        if self.from_logits:
            smoothing = self.label_smoothing
            return F.cross_entropy(_classes_second(output), _classes_second(target),
                                   label_smoothing=smoothing)  # fmt: skip
        if self.label_smoothing:
            share = self.label_smoothing
            target = target * (1.0 - share) + share / output.shape[-1]
        p = (output / output.sum(-1, keepdim=True)).clamp(EPSILON, 1.0 - EPSILON)
        return -(target * p.log()).sum(-1).mean()


class SparseCategoricalCrossentropy(Crossentropy):
    """−log p of the class whose number is given, (…) or (…, 1).

    Examples
    --------
    >>> import minigrad as mg
    >>> loss = SparseCategoricalCrossentropy(from_logits=True)
    >>> loss(mg.zeros(2, 4), mg.tensor([0, 3]))
    tensor(1.3863)
    """

    name = "sparse_categorical_crossentropy"

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        if target.ndim == output.ndim and target.shape[-1] == 1:
            target = target.squeeze(-1)
        hot = F.one_hot(target.long(), output.shape[-1])
        return CategoricalCrossentropy(self.from_logits, self.label_smoothing)(output, hot)


class BinaryCrossentropy(Crossentropy):
    """−(t log p + (1 − t) log(1 − p)) of every output by itself.

    Examples
    --------
    >>> import minigrad as mg
    >>> BinaryCrossentropy(from_logits=True)(mg.zeros(2, 1), mg.ones(2, 1))
    tensor(0.6931)
    """

    name = "binary_crossentropy"

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        target = target.reshape(output.shape).to(output.dtype)
        if self.label_smoothing:
            target = target * (1.0 - self.label_smoothing) + 0.5 * self.label_smoothing
        if self.from_logits:
            return F.binary_cross_entropy_with_logits(output, target)
        return F.binary_cross_entropy(output.clamp(EPSILON, 1.0 - EPSILON), target)


@dataclass(frozen=True)
class MeanSquaredError:
    """Mean of (output − target)².

    Examples
    --------
    >>> import minigrad as mg
    >>> MeanSquaredError()(mg.tensor([[1.0, 3.0]]), mg.zeros(1, 2))
    tensor(5.)
    """

    name: ClassVar[str] = "mean_squared_error"

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(output, target.reshape(output.shape).to(output.dtype))


@dataclass(frozen=True)
class MeanAbsoluteError:
    """Mean of |output − target|.

    Examples
    --------
    >>> import minigrad as mg
    >>> MeanAbsoluteError()(mg.tensor([[1.0, 4.0]]), mg.zeros(1, 2))
    tensor(2.5)
    """

    name: ClassVar[str] = "mean_absolute_error"

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        return F.l1_loss(output, target.reshape(output.shape).to(output.dtype))


@dataclass(frozen=True)
class ClassesLast:
    """A loss of minigrad, whose classes lie on axis 1, for maps whose classes lie last."""

    loss: Callable[[Tensor, Tensor], Tensor]

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        if target.ndim == output.ndim:
            target = _classes_second(target)
        return self.loss(_classes_second(output), target)


CROSSENTROPIES: dict[str, type[Crossentropy]] = {
    kind.name: kind
    for kind in (CategoricalCrossentropy, SparseCategoricalCrossentropy, BinaryCrossentropy)
}
OTHERS: dict[str, Any] = {
    "mae": MeanAbsoluteError,
    "mean_absolute_error": MeanAbsoluteError,
    "mean_squared_error": MeanSquaredError,
    "mse": MeanSquaredError,
}
FROM_LOGITS = ("cross_entropy", "binary_cross_entropy")  # of minigrad's own names


def find_loss(loss: Any, activation: str | None) -> Callable[[Tensor, Tensor], Tensor]:
    """Return the loss for a model whose outputs went through `activation`; None means logits.

    Parameters
    ----------
    loss : str or callable
        A name of Keras or of `minigrad.train.Trainer`, a loss of this module, or any function
        ``loss(output, target)``.
    activation : str or None
        What the model does to its logits.

    Raises
    ------
    OptionError
        If the name is unknown; the nearest is suggested.

    Warns
    -----
    UserWarning
        If the loss expects probabilities and gets logits, or the other way round. A name of Keras
        leaves open what comes, so the loss is then computed from the logits; an object is taken at
        its word.
    """
    logits = activation in (None, "linear", "none")
    if isinstance(loss, str):
        if loss in CROSSENTROPIES:
            if logits:
                _warn(
                    f"the loss {loss!r} expects probabilities, but the model gives logits; it is "
                    "computed from the logits. Say so with "
                    f"keras.losses.{CROSSENTROPIES[loss].__name__}(from_logits=True), or build "
                    "the model with classifier_activation='softmax' or 'sigmoid'"
                )
            return CROSSENTROPIES[loss](from_logits=logits)  # type: ignore[return-value]
        if loss in OTHERS:
            return OTHERS[loss]()  # type: ignore[no-any-return]
        if loss not in LOSSES:
            raise unknown("loss", loss, {*CROSSENTROPIES, *OTHERS, *LOSSES})
        if loss in FROM_LOGITS and not logits:
            _warn(_reverse(loss, activation))
        return ClassesLast(LOSSES[loss]) if loss == "cross_entropy" else LOSSES[loss]
    if isinstance(loss, Crossentropy):
        if loss.from_logits and not logits:
            _warn(_reverse(type(loss).__name__ + "(from_logits=True)", activation))
        elif logits and not loss.from_logits:
            _warn(
                f"the loss {type(loss).__name__}() expects probabilities, but the model gives "
                "logits; pass from_logits=True"
            )
    return ClassesLast(loss) if isinstance(loss, Module) else loss


def _reverse(loss: str, activation: str | None) -> str:
    return (
        f"the loss {loss} expects logits, but the model's outputs went through {activation}; "
        "build the model with classifier_activation=None, or take a loss of probabilities"
    )


def _warn(text: str) -> None:
    warnings.warn(text, UserWarning, stacklevel=4)


def _classes_second(x: Tensor) -> Tensor:
    return x if x.ndim == 2 else x.movedim(-1, 1)
