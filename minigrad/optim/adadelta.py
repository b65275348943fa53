"""Adadelta."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from minigrad.backend import get_xp
from minigrad.errors import OptionError
from minigrad.optim.optimizer import Group, Optimizer

__all__ = ["Adadelta"]


class Adadelta(Optimizer):
    """Steps in the units of the parameter (Zeiler, arXiv:1212.5701).

    v ← ρ·v + (1 − ρ)·g²,  Δ = √(u + eps) / √(v + eps) · g,  u ← ρ·u + (1 − ρ)·Δ²,  θ ← θ − lr·Δ.

    Parameters
    ----------
    params : iterable
        As `Optimizer` takes them.
    lr : float, default 1
        Factor of the step.
    rho : float, default 0.9
        Decay of the running means.
    eps : float, default 1e-6
        Added under both roots.
    weight_decay : float, default 0
        Factor of the parameter that is added to its gradient.

    Examples
    --------
    >>> import minigrad as mg
    >>> w = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = mg.optim.Adadelta([w])
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([0.9968, 1.9968], requires_grad=True)
    """

    moments = ("square_avg", "acc_delta")
    counted = True
    frozen = ("lr", "rho", "eps", "weight_decay")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "rho": rho, "eps": eps, "weight_decay": weight_decay})

    def check(self, group: Group) -> None:
        super().check(group)
        if not 0.0 <= group["rho"] <= 1.0:
            raise OptionError(f"Adadelta: rho must lie in [0, 1], got {group['rho']!r}")

    def update(self, param: Any, grad: Any, state: dict[str, Any], group: Group) -> None:
        xp, rho, eps = get_xp(param), float(group["rho"]), float(group["eps"])
        if not state:
            self._begin(param, state, *self.moments)
        state["step"] += 1
        if group["weight_decay"]:
            grad = grad + param * float(group["weight_decay"])
        square, delta = state["square_avg"], state["acc_delta"]
        square *= rho
        square += grad * grad * (1.0 - rho)
        step = xp.sqrt(delta + eps) / xp.sqrt(square + eps) * grad
        delta *= rho
        delta += step * step * (1.0 - rho)
        param -= step * float(group["lr"])
