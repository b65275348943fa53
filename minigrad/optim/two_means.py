"""NAdam, RAdam and LAMB: other steps from Adam's two running means."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from minigrad.backend import get_xp
from minigrad.optim.optimizer import Group, Optimizer

__all__ = ["Lamb", "NAdam", "RAdam"]


class TwoMeans(Optimizer):
    """Keeps m ← β₁·m + (1 − β₁)·g and v ← β₂·v + (1 − β₂)·g²; a subclass makes a step of them."""

    moments = ("exp_avg", "exp_avg_sq")
    counted = True
    frozen = ("lr", "betas", "eps", "weight_decay", "decoupled_weight_decay", "momentum_decay")

    def update(self, param: Any, grad: Any, state: dict[str, Any], group: Group) -> None:
        if not state:
            self._begin(param, state, *self.moments)
        state["step"] += 1
        (beta1, beta2), decay = group["betas"], float(group["weight_decay"])
        if group.get("decoupled_weight_decay"):
            param *= 1.0 - float(group["lr"]) * decay
        elif decay and "decoupled_weight_decay" in group:
            grad = grad + param * decay
        mean, square = state["exp_avg"], state["exp_avg_sq"]
        mean += (grad - mean) * (1.0 - beta1)
        square *= beta2
        square += grad * grad * (1.0 - beta2)
        self.move(param, grad, state, group)

    def move(self, param: Any, grad: Any, state: dict[str, Any], group: Group) -> None:
        """Change the parameter by its means, which are those of this step."""
        raise NotImplementedError


class NAdam(TwoMeans):
    """Adam with Nesterov's look ahead (Dozat, 2016).

    θ ← θ − lr·((1 − μₜ)·g / (1 − Πμ) + μₜ₊₁·m / (1 − μₜ₊₁·Πμ)) / (√v̂ + eps), with
    μₜ = β₁·(1 − 0.96^(t·momentum_decay) / 2), Πμ the product of all up to μₜ, v̂ = v/(1 − β₂ᵗ).

    Parameters
    ----------
    params : iterable
        As `Optimizer` takes them.
    lr : float, default 2e-3
        Learning rate.
    betas : (float, float), default (0.9, 0.999)
        Decay of the two running means.
    eps : float, default 1e-8
        Added to the root.
    weight_decay : float, default 0
        Factor of the parameter that is added to its gradient.
    momentum_decay : float, default 4e-3
        How fast μ approaches β₁.
    decoupled_weight_decay : bool, default False
        Shrink the parameter directly instead, as `AdamW` does.

    Examples
    --------
    >>> import minigrad as mg
    >>> w = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = mg.optim.NAdam([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([0.8944, 1.8944], requires_grad=True)
    """

    scalars = ("mu_product",)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 2e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        momentum_decay: float = 4e-3,
        decoupled_weight_decay: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def move(self, param: Any, grad: Any, state: dict[str, Any], group: Group) -> None:
        xp, t, lr = get_xp(param), state["step"], float(group["lr"])
        beta1, beta2 = group["betas"]
        mu, ahead = (
            beta1 * (1.0 - 0.5 * 0.96 ** (n * group["momentum_decay"])) for n in (t, t + 1)
        )
        product = state["mu_product"] = state.get("mu_product", 1.0) * mu
        root = xp.sqrt(state["exp_avg_sq"] / (1.0 - beta2**t)) + float(group["eps"])
        param -= grad / root * (lr * (1.0 - mu) / (1.0 - product))
        param -= state["exp_avg"] / root * (lr * ahead / (1.0 - product * ahead))


class RAdam(TwoMeans):
    """Adam without its adaptive rate while too few gradients have been seen (Liu et al., 2019).

    θ ← θ − lr·m̂·r·√(1 − β₂ᵗ) / (√v + eps) where the length of the mean,
    ρₜ = ρ∞ − 2t·β₂ᵗ / (1 − β₂ᵗ), is above 5, with ρ∞ = 2/(1 − β₂) − 1 and
    r² = (ρₜ − 4)(ρₜ − 2)ρ∞ / ((ρ∞ − 4)(ρ∞ − 2)ρₜ); else θ ← θ − lr·m̂.

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
        Factor of the parameter that is added to its gradient.
    decoupled_weight_decay : bool, default False
        Shrink the parameter directly instead, as `AdamW` does.

    Examples
    --------
    >>> import minigrad as mg
    >>> w = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> optimizer = mg.optim.RAdam([w], lr=0.1)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([0.8000, 1.6000], requires_grad=True)
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0.0,
        decoupled_weight_decay: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "betas": betas,
            "eps": eps,
            "weight_decay": weight_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def move(self, param: Any, grad: Any, state: dict[str, Any], group: Group) -> None:
        xp, t = get_xp(param), state["step"]
        beta1, beta2 = group["betas"]
        step = state["exp_avg"] * (float(group["lr"]) / (1.0 - beta1**t))
        most, seen = 2.0 / (1.0 - beta2) - 1.0, 1.0 - beta2**t
        length = most - 2.0 * t * beta2**t / seen
        if length > 5.0:
            rest = (length - 4.0) * (length - 2.0) * most
            rectified = math.sqrt(rest / ((most - 4.0) * (most - 2.0) * length) * seen)
            step = step * rectified / (xp.sqrt(state["exp_avg_sq"]) + float(group["eps"]))
        param -= step


class Lamb(TwoMeans):
    """Adam's step, scaled for each parameter to the size of the parameter (You et al., 2019).

    u = m̂ / (√v̂ + eps) + weight_decay·θ,  θ ← θ − lr·(‖θ‖/‖u‖)·u; where one of the norms is 0, the
    factor is 1. Made for large batches.

    Parameters
    ----------
    params : iterable
        As `Optimizer` takes them.
    lr : float, default 1e-3
        Learning rate.
    betas : (float, float), default (0.9, 0.999)
        Decay of the two running means.
    eps : float, default 1e-6
        Added to the root.
    weight_decay : float, default 0.01
        Factor of the parameter that is added to its step.

    Examples
    --------
    >>> import minigrad as mg
    >>> w = mg.tensor([3.0, 4.0], requires_grad=True)
    >>> optimizer = mg.optim.Lamb([w], lr=0.1, weight_decay=0.0)
    >>> (w * w).sum().backward()
    >>> optimizer.step()
    >>> w
    tensor([2.6464, 3.6464], requires_grad=True)
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-6,
        weight_decay: float = 1e-2,
    ) -> None:
        super().__init__(
            params, {"lr": lr, "betas": betas, "eps": eps, "weight_decay": weight_decay}
        )

    def move(self, param: Any, grad: Any, state: dict[str, Any], group: Group) -> None:
        xp, t = get_xp(param), state["step"]
        beta1, beta2 = group["betas"]
        root = xp.sqrt(state["exp_avg_sq"] / (1.0 - beta2**t)) + float(group["eps"])
        step = state["exp_avg"] / (1.0 - beta1**t) / root + param * float(group["weight_decay"])
        size, length = (xp.sqrt((x * x).sum()) for x in (param, step))
        known = (size > 0) & (length > 0)
        ratio = xp.where(known, size / xp.where(known, length, 1), 1).astype(param.dtype)
        param -= step * (ratio * float(group["lr"]))
