"""Optimizers by Keras's names and with its defaults; `Model.compile` gives them the parameters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from minigrad import optim
from minigrad.errors import unknown
from minigrad.models.arguments import accepts

__all__ = ["SGD", "Adam", "AdamW", "Spec", "find_optimizer"]


@dataclass(frozen=True)
class Spec:
    """An optimizer that does not know its parameters yet."""

    name: str
    options: Mapping[str, Any]
    clip_norm: float | None = None

    @property
    def learning_rate(self) -> float:
        """Size of the step."""
        return float(self.options["lr"])

    def build(self, parameters: Iterable[Any]) -> optim.Optimizer:
        """Return the optimizer of these parameters."""
        return optim.create(self.name, parameters, **self.options)


@accepts(lr="learning_rate")
def AdamW(
    learning_rate: float = 1e-3,
    weight_decay: float = 4e-3,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    global_clipnorm: float | None = None,
) -> Spec:
    """Adam with decoupled weight decay, which falls on every parameter, as in Keras.

    Examples
    --------
    >>> AdamW(learning_rate=1e-5).learning_rate
    1e-05
    """
    options = {"lr": learning_rate, "betas": (beta_1, beta_2), "eps": epsilon}
    return Spec("adamw", options | {"weight_decay": weight_decay}, global_clipnorm)


@accepts(lr="learning_rate")
def Adam(
    learning_rate: float = 1e-3,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
    global_clipnorm: float | None = None,
) -> Spec:
    """Adam.

    Examples
    --------
    >>> from minigrad.compat import keras
    >>> keras.optimizers.Adam(learning_rate=0.001)
    Spec(name='adam', options={'lr': 0.001, 'betas': (0.9, 0.999), 'eps': 1e-07}, clip_norm=None)
    """
    options = {"lr": learning_rate, "betas": (beta_1, beta_2), "eps": epsilon}
    return Spec("adam", options, global_clipnorm)


@accepts(lr="learning_rate")
def SGD(
    learning_rate: float = 0.01,
    momentum: float = 0.0,
    nesterov: bool = False,
    global_clipnorm: float | None = None,
) -> Spec:
    """Gradient descent, with momentum if wanted.

    Examples
    --------
    >>> from minigrad.compat import keras
    >>> keras.optimizers.SGD(learning_rate=0.1)
    Spec(name='sgd', options={'lr': 0.1, 'momentum': 0.0, 'nesterov': False}, clip_norm=None)
    """
    options = {"lr": learning_rate, "momentum": momentum, "nesterov": nesterov}
    return Spec("sgd", options, global_clipnorm)


BY_NAME: dict[str, Callable[[], Spec]] = {"adam": Adam, "adamw": AdamW, "sgd": SGD}


def find_optimizer(optimizer: Any) -> Any:
    """Return a `Spec` for a name; specs and minigrad's optimizers come back as they are.

    Raises
    ------
    OptionError
        If the name is unknown; the nearest is suggested.

    Examples
    --------
    >>> find_optimizer("adamw").name
    'adamw'
    """
    if not isinstance(optimizer, str):
        return optimizer
    if optimizer.lower() not in BY_NAME:
        raise unknown("optimizer", optimizer, BY_NAME)
    return BY_NAME[optimizer.lower()]()
