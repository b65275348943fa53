"""Every option of every optimizer, schedule and transform refuses what is of another kind."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import data, nn, optim
from minigrad.data import transforms as T
from minigrad.errors import MinigradError, OptionError


def params() -> list[mg.Tensor]:
    return [mg.ones(2, 2, requires_grad=True)]


NEEDED: dict[str, Callable[[], Any]] = {  # what has no default
    "params": params,
    "optimizer": lambda: optim.SGD(params(), 0.1, momentum=0.9),
    "model": lambda: nn.Linear(2, 2),
    "lr": lambda: 0.1,
    "max_lr": lambda: 0.1,
    "total_steps": lambda: 10,
    "step_size": lambda: 2,
    "T_max": lambda: 5,
    "lr_lambda": lambda: float,
    "transforms": list,
    "mean": lambda: [0.5],
    "std": lambda: [0.5],
    "padding": lambda: 1,
    "size": lambda: 4,
    "classes": lambda: 3,
}
BASES = {optim.Optimizer, optim.LRScheduler}  # made for subclasses
OTHERS = {data.Mix, data.RandAugment, data.RandomAffine, data.RandomTint}
PUBLIC = OTHERS | {
    value
    for place in (optim, T)
    for value in (getattr(place, name) for name in place.__all__)
    if inspect.isclass(value)
}
CLASSES = sorted(PUBLIC - BASES, key=lambda cls: cls.__name__)
WRONG: list[Any] = ["no", object(), [[]], {"a": 1}, None, np.zeros((2, 3)), 1j]


def made(cls: Any, **changed: Any) -> Any:
    needed = {
        name: NEEDED[name]()
        for name, parameter in inspect.signature(cls).parameters.items()
        if parameter.default is parameter.empty or (cls is optim.OneCycleLR and name in NEEDED)
    }
    return cls(**needed | changed)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_options_of_another_kind_are_refused(cls: Any) -> None:
    made(cls)
    for name, parameter in inspect.signature(cls).parameters.items():
        for value in WRONG:
            if value is None and parameter.default is None:
                continue
            kind = MinigradError if name in ("params", "total_steps") else OptionError
            try:
                made(cls, **{name: value})
            except kind as error:
                assert name in str(error) or cls.__name__ in str(error)  # noqa: PT017
            except Exception as error:
                pytest.fail(f"{cls.__name__}({name}={value!r}): {type(error).__name__}: {error}")
            else:
                pytest.fail(f"{cls.__name__}({name}={value!r}) is accepted")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_iter": "a"}, "max_iter must be a whole number, got 'a'"),
        ({"max_iter": 2.5}, "max_iter must be a whole number, got 2.5"),
        ({"max_iter": 0}, "max_iter must be 1 or more"),
        ({"max_eval": 0}, "max_eval must be 1 or more"),
        ({"history_size": 1.5}, "history_size must be a whole number"),
        ({"tolerance_grad": "small"}, "tolerance_grad must be a number, got 'small'"),
    ],
)
def test_options_of_lbfgs(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        optim.LBFGS(params(), **options)
