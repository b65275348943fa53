"""Lion."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from minigrad.backend import get_xp
from minigrad.optim.optimizer import Group, Optimizer

__all__ = ["Lion"]


class Lion(Optimizer):
    """Steps of one size, in the direction of a sign (Chen et al., arXiv:2302.06675).

    θ ← (1 − lr·weight_decay)·θ − lr·sign(β₁·m + (1 − β₁)·g),  m ← β₂·m + (1 − β₂)·g. It keeps half
    of what Adam keeps, and wants a tenth of Adam's rate and ten times its weight decay.

    Parameters
    ----------
    params : iterable
        As `Optimizer` takes them.
    lr : float, default 1e-4
        Learning rate: the size of the step of every element.
    betas : (float, float), default (0.9, 0.99)
        Parts of the running mean that stay, in the direction and in the mean itself.
    weight_decay : float, default 0
        Relative shrinking per step and unit of learning rate.

    Examples
    --------
    >>> import minigrad as mg
    >>> w = mg.tensor([1.0, -2.0], requires_grad=True)
    >>> optimizer = mg.optim.Lion([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([ 0.9000, -1.9000], requires_grad=True)
    """

    moments = ("exp_avg",)
    frozen = ("lr", "betas", "weight_decay")

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.9, 0.99),
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "betas": betas, "weight_decay": weight_decay})

    def update(self, param: Any, grad: Any, state: dict[str, Any], group: Group) -> None:
        xp, lr = get_xp(param), float(group["lr"])
        if not state:
            self._begin(param, state, *self.moments)
        mean, (beta1, beta2) = state["exp_avg"], group["betas"]
        param *= 1.0 - lr * float(group["weight_decay"])
        param -= xp.sign(mean * beta1 + grad * (1.0 - beta1)) * lr
        mean *= beta2
        mean += grad * (1.0 - beta2)
