"""RMSprop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from minigrad.backend import get_xp
from minigrad.errors import OptionError
from minigrad.optim.optimizer import Group, Optimizer

__all__ = ["RMSprop"]


class RMSprop(Optimizer):
    """Divide each gradient by the root of a running mean of its square (Hinton, 2012).

    v ← α·v + (1 − α)·g²,  θ ← θ − lr·g / (√v + eps); with `centered` the square of a running mean
    of g is taken from v, and with `momentum` the quotients are summed up, b ← momentum·b + g/…

    Parameters
    ----------
    params : iterable
        As `Optimizer` takes them.
    lr : float, default 1e-2
        Learning rate.
    alpha : float, default 0.99
        Decay of the running means.
    eps : float, default 1e-8
        Added to the root.
    weight_decay : float, default 0
        Factor of the parameter that is added to its gradient.
    momentum : float, default 0
        Part of the running sum that stays.
    centered : bool, default False
        Whether to divide by the standard deviation instead.

    Examples
    --------
    >>> import minigrad as mg
    >>> w = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = mg.optim.RMSprop([w], lr=0.01)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([0.9, 1.9], requires_grad=True)
    """

    moments = ("square_avg", "grad_avg", "momentum_buffer")
    optional = ("grad_avg", "momentum_buffer")
    counted = True
    frozen = ("lr", "alpha", "eps", "weight_decay", "momentum", "centered")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum: float = 0.0,
        centered: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "alpha": alpha,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum": momentum,
            "centered": centered,
        }
        super().__init__(params, defaults)

    def check(self, group: Group) -> None:
        super().check(group)
        if not 0.0 <= group["alpha"] <= 1.0:
            raise OptionError(f"RMSprop: alpha must lie in [0, 1], got {group['alpha']!r}")

    def update(self, param: Any, grad: Any, state: dict[str, Any], group: Group) -> None:
        xp, alpha = get_xp(param), float(group["alpha"])
        if not state:
            self._begin(param, state, "square_avg")
        for name, wanted in (("momentum_buffer", "momentum"), ("grad_avg", "centered")):
            if group[wanted] and name not in state:
                state[name] = xp.zeros(param.shape, param.dtype)
        state["step"] += 1
        if group["weight_decay"]:
            grad = grad + param * float(group["weight_decay"])
        square = state["square_avg"]
        square *= alpha
        square += grad * grad * (1.0 - alpha)
        spread = square
        if group["centered"]:
            mean = state["grad_avg"]
            mean += (grad - mean) * (1.0 - alpha)
            spread = square - mean * mean
        step = grad / (xp.sqrt(spread) + float(group["eps"]))
        if group["momentum"]:
            buffer = state["momentum_buffer"]
            buffer *= float(group["momentum"])
            buffer += step
            step = buffer
        param -= step * float(group["lr"])
