"""Stochastic gradient descent with momentum."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

import numpy as np

from minigrad import modes
from minigrad.errors import OptionError
from minigrad.kernels import pick
from minigrad.loading import number
from minigrad.optim.optimizer import Group, Optimizer

__all__ = ["SGD"]


class SGD(Optimizer):
    """θ ← θ − lr·d, with d = g + weight_decay·θ, or with its running sum if momentum is given.

    The sum is b ← momentum·b + (1 − dampening)·d, with b = d at first; Nesterov's direction is
    d + momentum·b. This is PyTorch's arithmetic.

    Parameters
    ----------
    params : iterable
        As `Optimizer` takes them.
    lr : float, default 1e-3
        Learning rate.
    momentum : float, default 0
        Part of the running sum that stays.
    dampening : float, default 0
        Part of the new gradient that is left out.
    weight_decay : float, default 0
        Factor of the parameter that is added to its gradient.
    nesterov : bool, default False
        Look ahead by one momentum step; needs momentum and no dampening.

    Examples
    --------
    >>> import minigrad as mg
    >>> w = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = mg.optim.SGD([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([0.8, 1.6], requires_grad=True)
    """

    moments = ("momentum_buffer",)
    frozen: ClassVar[tuple[str, ...]] = ("momentum", "dampening", "weight_decay", "nesterov")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
        }
        super().__init__(params, defaults)

    def check(self, group: Group) -> None:
        super().check(group)
        if number(group["dampening"]) is None or not isinstance(group["nesterov"], (int, np.bool_)):
            raise OptionError(
                "SGD: dampening must be a number and nesterov True or False, got "
                f"{group['dampening']!r} and {group['nesterov']!r}"
            )
        if group["nesterov"] and (group["momentum"] <= 0.0 or group["dampening"] != 0.0):
            raise OptionError("SGD: nesterov needs momentum > 0 and dampening = 0")

    def update_all(
        self, params: list[Any], grads: list[Any], states: list[dict[str, Any]], group: Group
    ) -> None:
        momentum = float(group["momentum"])
        alike: dict[Any, list[tuple[Any, ...]]] = {}  # those that one call can update
        for p, g, state in zip(params, grads, states, strict=True):
            first = momentum and state.get("momentum_buffer") is None
            if first:
                self._begin(p, state, "momentum_buffer")
            row = (p, g, state["momentum_buffer"] if momentum else p)
            alike.setdefault((first, p.dtype.char, type(p)), []).append(row)
        for (first, *_), rows in alike.items():
            arrays = map(list, zip(*rows, strict=True))
            keep, take = (0.0, 1.0) if first else (momentum, 1.0 - group["dampening"])
            ahead = momentum if group["nesterov"] else 0.0
            numbers = (keep, take, ahead, group["weight_decay"])
            lr: Any = float(group["lr"])
            if modes.state.capture is not None:  # a CUDA graph: that of the step of each launch
                lr = modes.state.capture.input((), rows[0][0].dtype, lambda: group["lr"])
            pick("sgd_many", rows[0][0])(*arrays, lr, *map(float, numbers))
