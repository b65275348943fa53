"""Optimizers, learning-rate schedules, parameter groups, gradient clipping and weight averaging."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Any

from minigrad.errors import unknown
from minigrad.nn.utils import clip_grad_norm_, clip_grad_value_
from minigrad.optim.adadelta import Adadelta
from minigrad.optim.adam import Adam, AdamW
from minigrad.optim.ema import ModelEma
from minigrad.optim.groups import decays, param_groups
from minigrad.optim.lbfgs import LBFGS
from minigrad.optim.lion import Lion
from minigrad.optim.optimizer import Optimizer
from minigrad.optim.rmsprop import RMSprop
from minigrad.optim.schedules import (
    CosineAnnealingLR,
    LambdaLR,
    LRScheduler,
    OneCycleLR,
    StepLR,
    WarmupCosineLR,
    warmup_cosine,
)
from minigrad.optim.sgd import SGD
from minigrad.optim.two_means import Lamb, NAdam, RAdam

__all__ = [
    "LBFGS",
    "SGD",
    "Adadelta",
    "Adam",
    "AdamW",
    "CosineAnnealingLR",
    "LRScheduler",
    "Lamb",
    "LambdaLR",
    "Lion",
    "ModelEma",
    "NAdam",
    "OneCycleLR",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "StepLR",
    "WarmupCosineLR",
    "clip_grad_norm_",
    "clip_grad_value_",
    "create",
    "decays",
    "options_of",
    "param_groups",
    "warmup_cosine",
]

OPTIMIZERS: dict[str, type[Optimizer]] = {
    "adadelta": Adadelta, "adam": Adam, "adamw": AdamW, "lamb": Lamb, "lbfgs": LBFGS, "lion": Lion,
    "nadam": NAdam, "radam": RAdam, "rmsprop": RMSprop, "sgd": SGD,
}  # fmt: skip


def create(name: str, params: Iterable[Any], **options: Any) -> Optimizer:
    """Make an optimizer by name.

    Parameters
    ----------
    name : str
        adadelta, adam, adamw, lamb, lbfgs, lion, nadam, radam, rmsprop or sgd, in any case.
    params : iterable
        As `Optimizer` takes them.
    **options
        Options of that optimizer.

    Raises
    ------
    OptionError
        If the name or an option is unknown; the nearest one is suggested.

    Examples
    --------
    >>> import minigrad as mg
    >>> create("AdmaW", [mg.zeros(1, requires_grad=True)])
    Traceback (most recent call last):
        ...
    minigrad.errors.OptionError: unknown optimizer 'AdmaW'; did you mean 'adamw'? (choose from ...)
    """
    known = options_of(name)
    for key in options:
        if key not in known:
            raise unknown(f"{OPTIMIZERS[name.lower()].__name__} option", key, known)
    return OPTIMIZERS[name.lower()](params, **options)


def options_of(name: str) -> list[str]:
    """Return the names of the options that an optimizer has.

    Raises
    ------
    OptionError
        If the optimizer is unknown; the nearest name is suggested.

    Examples
    --------
    >>> options_of("adam")
    ['lr', 'betas', 'eps', 'weight_decay']
    """
    if not isinstance(name, str) or name.lower() not in OPTIMIZERS:
        raise unknown("optimizer", name, OPTIMIZERS)
    kind = OPTIMIZERS[name.lower()]
    return [key for key in inspect.signature(kind).parameters if key != "params"]
