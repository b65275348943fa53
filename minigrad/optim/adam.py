"""Adam and AdamW."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, ClassVar

from minigrad import modes
from minigrad.dtypes import float64
from minigrad.errors import DataError
from minigrad.kernels import pick
from minigrad.optim.optimizer import Group, Optimizer
from minigrad.tensor import Tensor

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

    moments = ("exp_avg", "exp_avg_sq")
    counted = True
    decoupled: ClassVar[bool] = False  # does weight decay bypass the running means?

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        defaults = {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        super().__init__(params, defaults)

    def update_all(
        self, params: list[Any], grads: list[Any], states: list[dict[str, Any]], group: Group
    ) -> None:
        alike: dict[Any, list[tuple[Any, ...]]] = {}  # those that one call can update
        for p, g, state in zip(params, grads, states, strict=True):
            if not state:
                self._begin(p, state, *self.moments)
            row = (p, g, state["exp_avg"], state["exp_avg_sq"], state)
            alike.setdefault((state["step"], p.dtype.char, type(p)), []).append(row)
        for rows in alike.values():
            *arrays, counts = map(list, zip(*rows, strict=True))
            captured = modes.state.capture is not None
            numbers = (self._later if captured else self._numbers)(counts, group)
            pick("adam_many", arrays[0][0])(*arrays, *numbers)

    def _check_state(self, p: Tensor, state: dict[str, Any]) -> list[Any]:
        arrays = super()._check_state(p, state)
        step = state.get("step")
        if len(arrays) < len(self.moments) or not (isinstance(step, int) and step >= 0):
            raise DataError(
                f"{self._name}: the state of {self._which(p)} must have the arrays "
                f"{' and '.join(self.moments)}, and step, a number of steps; it has "
                f"{', '.join(f'{key} ({type(v).__name__})' for key, v in state.items())}"
            )
        return arrays

    def _later(self, states: list[dict[str, Any]], group: Group) -> tuple[Any]:
        """Return device memory with the numbers of the step in which a CUDA graph is launched."""
        return (modes.state.capture.input((7,), float64, lambda: self._numbers(states, group)),)

    def _numbers(self, states: list[dict[str, Any]], group: Group) -> tuple[float, ...]:
        """Count the step; return the numbers of the kernel for it."""
        for state in states:
            state["step"] += 1
        step: int = states[0]["step"]
        lr, eps, decay = (float(group[name]) for name in ("lr", "eps", "weight_decay"))
        beta1, beta2 = group["betas"]
        step_size = lr / (1.0 - beta1**step)
        v_scale = math.sqrt(1.0 - beta2**step)
        shrink, penalty = (1.0 - lr * decay, 0.0) if self.decoupled else (1.0, decay)
        return step_size, v_scale, beta1, beta2, eps, shrink, penalty


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

    Examples
    --------
    >>> import minigrad as mg
    >>> w = mg.ones(2, requires_grad=True)
    >>> optimizer = mg.optim.AdamW([w], lr=0.1, weight_decay=0.0)
    >>> w.sum().backward()
    >>> optimizer.step()
    >>> w.data
    tensor([0.9, 0.9])
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
