"""Adam and AdamW."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, ClassVar

from minigrad.backend import get_xp
from minigrad.kernels import pick
from minigrad.optim.optimizer import Group, Optimizer

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """Adapt the step of each element to the size of its gradients (Kingma and Ba, 2014).

    m ← β₁·m + (1 − β₁)·g,  v ← β₂·v + (1 − β₂)·g²,
    θ ← θ − lr·m̂ / (√v̂ + eps), with m̂ = m/(1 − β₁ᵗ) and v̂ = v/(1 − β₂ᵗ).

    Parameters
    ----------
    params : iterable
        As `Optimizer` takes them.
    lr : float, default 1e-3
        Learning rate.
    betas : (float, float), default (0.9, 0.999)
        Decay of the two running means.
    eps : float, default 1e-8
        Added to the root.
    weight_decay : float, default 0
        Factor of the parameter that is added to its gradient (L2 penalty).

    Examples
    --------
    >>> import minigrad as mg
    >>> w = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = mg.optim.Adam([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([0.9, 1.9], requires_grad=True)
    """

    decoupled: ClassVar[bool] = False  # does weight decay bypass the running means?

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {"lr": lr, "betas": tuple(betas), "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    def update(self, param: Any, grad: Any, state: dict[str, Any], group: Group) -> None:
        xp = get_xp(param)
        if not state:
            state["step"] = 0
            state["exp_avg"] = xp.zeros(param.shape, param.dtype)
            state["exp_avg_sq"] = xp.zeros(param.shape, param.dtype)
        state["step"] += 1
        lr, eps, decay = group["lr"], group["eps"], group["weight_decay"]
        beta1, beta2 = group["betas"]
        step_size = lr / (1.0 - beta1 ** state["step"])
        v_scale = math.sqrt(1.0 - beta2 ** state["step"])
        shrink, penalty = (1.0 - lr * decay, 0.0) if self.decoupled else (1.0, decay)
        pick("adam", param)(
            param, grad, state["exp_avg"], state["exp_avg_sq"],
            step_size, v_scale, beta1, beta2, eps, shrink, penalty,
        )  # fmt: skip


class AdamW(Adam):
    """Adam whose weight decay shrinks the parameter directly (Loshchilov and Hutter, 2017).

    θ ← (1 − lr·weight_decay)·θ before Adam's step, which sees the plain gradient.

    Parameters
    ----------
    params : iterable
        As `Optimizer` takes them.
    lr : float, default 1e-3
        Learning rate.
    betas : (float, float), default (0.9, 0.999)
        Decay of the two running means.
    eps : float, default 1e-8
        Added to the root.
    weight_decay : float, default 0.01
        Relative shrinking per step and unit of learning rate.
    """

    decoupled = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(params, lr, betas, eps, weight_decay)
