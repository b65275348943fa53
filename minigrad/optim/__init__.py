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

__all__ = [
    "SGD",
    "Adadelta",
    "Adam",
    "AdamW",
    "CosineAnnealingLR",
    "LRScheduler",
    "LambdaLR",
    "ModelEma",
    "OneCycleLR",
    "Optimizer",
    "RMSprop",
    "StepLR",
    "WarmupCosineLR",
    "clip_grad_norm_",
    "clip_grad_value_",
    "create",
    "decays",
    "param_groups",
    "warmup_cosine",
]

OPTIMIZERS: dict[str, type[Optimizer]] = {
    "adadelta": Adadelta, "adam": Adam, "adamw": AdamW, "rmsprop": RMSprop, "sgd": SGD,
}  # fmt: skip


def create(name: str, params: Iterable[Any], **options: Any) -> Optimizer:
    """Make an optimizer by name.

    Parameters
    ----------
    name : str
        adadelta, adam, adamw, rmsprop or sgd, in any case.
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
    if name.lower() not in OPTIMIZERS:
        raise unknown("optimizer", name, OPTIMIZERS)
    kind = OPTIMIZERS[name.lower()]
    known = [key for key in inspect.signature(kind).parameters if key != "params"]
    for key in options:
        if key not in known:
            raise unknown(f"{kind.__name__} option", key, known)
    return kind(params, **options)
