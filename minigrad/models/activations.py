"""Activation functions by name, for blocks and for the head."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from minigrad.dtypes import float32
from minigrad.errors import OptionError, unknown
from minigrad.nn import functional as F
from minigrad.tensor import Tensor

__all__ = ["ACTIVATIONS", "CLASSIFIER_ACTIVATIONS", "activation_by_name", "classify"]

Activation = Callable[[Tensor], Tensor]


def _identity(x: Tensor) -> Tensor:
    return x


ACTIVATIONS: dict[str, Activation] = {
    "elu": F.elu,
    "gelu": F.gelu,
    "leaky_relu": F.leaky_relu,
    "linear": _identity,
    "relu": F.relu,
    "relu6": F.relu6,
    "sigmoid": F.sigmoid,
    "silu": F.silu,
    "softmax": partial(F.softmax, dim=1),
    "softplus": F.softplus,
    "swish": F.silu,
    "tanh": F.tanh,
}
_gelu_tanh = partial(F.gelu, approximate="tanh")

CLASSIFIER_ACTIVATIONS = {
    name: ACTIVATIONS[name] for name in ("linear", "relu", "sigmoid", "softmax", "tanh")
} | {"log_softmax": partial(F.log_softmax, dim=1)}
"""Of the scores of a classifier, (N, classes)."""


def activation_by_name(name: str | None, approximate: str = "none") -> Activation:
    """Return an activation function; None is the identity.

    Raises
    ------
    OptionError
        If the name or the approximation is unknown, or a function other than GELU is
        to be approximated.

    Examples
    --------
    >>> import minigrad as mg
    >>> activation_by_name("relu")(mg.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """
    name = "linear" if name is None else name
    if name not in ACTIVATIONS:
        raise unknown("activation", name, ACTIVATIONS)
    if approximate == "none":
        return ACTIVATIONS[name]
    if approximate != "tanh":
        raise unknown("GELU approximation", approximate, ("none", "tanh"))
    if name != "gelu":
        raise OptionError(f"approximate='tanh' is for GELU; the activation is {name!r}")
    return _gelu_tanh


def check_classifier_activation(name: str | None) -> None:
    """Refuse names that `classify` does not know."""
    if name is not None and name not in CLASSIFIER_ACTIVATIONS:
        raise unknown("classifier_activation", name, CLASSIFIER_ACTIVATIONS)


def classify(logits: Tensor, activation: str | None) -> Tensor:
    """Apply the head's activation (N, classes), in float32 at least; None leaves logits alone."""
    if activation is None or activation == "linear":
        return logits
    if logits.dtype.itemsize < 4:
        logits = logits.to(float32)
    return CLASSIFIER_ACTIVATIONS[activation](logits)
