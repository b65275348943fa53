"""Learning-rate schedules, with PyTorch's arithmetic.

Those that PyTorch chains (`StepLR`, `CosineAnnealingLR`) go on from the current rate, so that
several can work on one optimizer; the others compute it from the base rates. The last rates are
saved: a schedule that is loaded at step n gives exactly what one that counted to n gives.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from minigrad.errors import OptionError, StateError, unknown
from minigrad.loading import Entries, check_numbers, check_switches, integer
from minigrad.making import Remembers
from minigrad.optim.optimizer import Optimizer

__all__ = [
    "CosineAnnealingLR",
    "LRScheduler",
    "LambdaLR",
    "OneCycleLR",
    "StepLR",
    "WarmupCosineLR",
    "warmup_cosine",
]


class LRScheduler(Remembers):
    """Base of the schedules: counts steps and writes ``lr`` into the optimizer's groups.

    Several schedules may work on one optimizer, if their `get_lr` goes on from the current rate.

    Parameters
    ----------
    optimizer : Optimizer
        Its groups' present rates are the base rates (kept as ``initial_lr``).
    last_epoch : int, default -1
        Number of steps done; from 0 on, the groups must have their ``initial_lr``, from
        `Optimizer.load_state_dict`.

    Attributes
    ----------
    last_epoch : int
        Number of `step` calls so far (PyTorch's name; it counts iterations as well).
    base_lrs : list of float
        Base rate of each group.

    Examples
    --------
    >>> import minigrad as mg
    >>> class Halve(mg.optim.LRScheduler):
    ...     def get_lr(self):
    ...         return [lr / 2**self.last_epoch for lr in self.base_lrs]
    >>> w = mg.ones(1, requires_grad=True)
    >>> optimizer = mg.optim.SGD([w], lr=0.1)
    >>> schedule = Halve(optimizer)
    >>> optimizer.step()
    >>> schedule.step()
    >>> schedule.get_last_lr()
    [0.05]
    """

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        self._check_optimizer(optimizer)
        if integer(last_epoch) is None or last_epoch < -1:
            raise OptionError(
                f"{self._name}: last_epoch must be an integer ≥ -1, got {last_epoch!r}"
            )
        fresh = [i for i, g in enumerate(optimizer.param_groups) if "initial_lr" not in g]
        if last_epoch >= 0 and fresh:
            raise StateError(
                f"{self._name}: with last_epoch={last_epoch} the groups must have an initial_lr, "
                f"group {fresh[0]} has none; load the optimizer's state first"
            )
        self.optimizer = optimizer
        for group in optimizer.param_groups:
            group.setdefault("initial_lr", group["lr"])
        self.base_lrs: list[float] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._started = False
        self.step()
        self._started = True

    @property
    def _name(self) -> str:
        return type(self).__name__

    def _check_optimizer(self, optimizer: Any) -> None:
        if not isinstance(optimizer, Optimizer):
            raise OptionError(
                f"{self._name}: the first argument is the optimizer, not {type(optimizer).__name__}"
            )

    def get_lr(self) -> list[float]:
        """Return the rate of each group at step `last_epoch`."""
        raise NotImplementedError

    def get_last_lr(self) -> list[float]:
        """Return the rates that this schedule wrote last."""
        return self._last_lr

    def step(self) -> None:
        """Advance by one step; call it after ``optimizer.step()``."""
        self.last_epoch += 1
        try:
            rates = self.get_lr()
            if len(rates) != len(self.optimizer.param_groups):
                raise StateError(
                    f"{self._name}: the schedule has rates for {len(rates)} groups, but its "
                    f"optimizer has {len(self.optimizer.param_groups)} now; make the schedule "
                    "after the last add_param_group"
                )
        except BaseException:
            self.last_epoch -= 1
            raise
        self._write(rates)

    def refresh(self) -> None:
        """Write the rates of the present step again, after the course itself has changed."""
        self._write(self.get_lr())

    def _write(self, rates: list[float]) -> None:
        for group, lr in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = lr
        self._last_lr = list(rates)

    def _rates(self) -> list[float]:
        """Return the groups' present rates."""
        return [group["lr"] for group in self.optimizer.param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` needs."""
        return {
            "last_epoch": self.last_epoch,
            "base_lrs": list(self.base_lrs),
            "_last_lr": list(self._last_lr),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a saved step, with the rates that were written there.

        Raises
        ------
        StateError
            If an entry is missing or wrong; nothing has changed then.
        """
        self.prepare_load(state_dict)()

    def prepare_load(self, state_dict: Mapping[str, Any]) -> Callable[[], None]:
        """Check and convert a state; return the function that applies it (see `loading`)."""
        entries = Entries(self._name, state_dict, ("last_epoch", "base_lrs", "_last_lr"))
        last_epoch = entries.count("last_epoch")
        rates = entries.numbers("_last_lr", len(self.optimizer.param_groups))
        base_lrs = entries.numbers("base_lrs", len(self.base_lrs))

        def commit() -> None:
            self.last_epoch, self.base_lrs = last_epoch, base_lrs
            self._write(rates)

        return commit


class LambdaLR(LRScheduler):
    """lr = base · f(step).

    Parameters
    ----------
    optimizer : Optimizer
        The one whose rates are written.
    lr_lambda : callable or list of callable
        f, one for all groups or one for each.

    Examples
    --------
    >>> import minigrad as mg
    >>> w = mg.ones(1, requires_grad=True)
    >>> optimizer = mg.optim.SGD([w], lr=0.1)
    >>> schedule = mg.optim.LambdaLR(optimizer, lambda step: 1 / (step + 1))
    >>> rates = []
    >>> for _ in range(3):
    ...     optimizer.step()
    ...     schedule.step()
    ...     rates.append(round(schedule.get_last_lr()[0], 4))
    >>> rates
    [0.05, 0.0333, 0.025]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        self._check_optimizer(optimizer)
        count = len(optimizer.param_groups)
        given: Any = lr_lambda
        self.lr_lambdas = list(given) if isinstance(given, (list, tuple)) else [given] * count
        if not all(map(callable, self.lr_lambdas)):
            raise OptionError(
                f"LambdaLR: lr_lambda is a function of the step, or a list of them, not {given!r}"
            )
        if len(self.lr_lambdas) != count:
            raise OptionError(
                f"LambdaLR: {len(self.lr_lambdas)} functions for {count} groups; give one per group"
            )
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        return [
            base * f(self.last_epoch)
            for base, f in zip(self.base_lrs, self.lr_lambdas, strict=False)
        ]


class StepLR(LRScheduler):
    """lr = base · gamma^⌊step / step_size⌋.

    Parameters
    ----------
    optimizer : Optimizer
        The one whose rates are written.
    step_size : int
        Steps between two reductions.
    gamma : float, default 0.1
        Factor of each reduction.

    Examples
    --------
    >>> import minigrad as mg
    >>> w = mg.ones(1, requires_grad=True)
    >>> optimizer = mg.optim.SGD([w], lr=0.1)
    >>> schedule = mg.optim.StepLR(optimizer, step_size=2, gamma=0.5)
    >>> rates = []
    >>> for _ in range(4):
    ...     optimizer.step()
    ...     schedule.step()
    ...     rates.append(round(schedule.get_last_lr()[0], 4))
    >>> rates
    [0.1, 0.05, 0.05, 0.025]
    """

    def __init__(
        self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        check_numbers("StepLR", step_size=step_size, gamma=gamma)
        if not step_size >= 1:
            raise OptionError(f"StepLR: step_size must be ≥ 1, got {step_size}")
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        reduced = self.last_epoch > 0 and self.last_epoch % self.step_size == 0
        return [lr * self.gamma if reduced else lr for lr in self._rates()]


class CosineAnnealingLR(LRScheduler):
    """lr = eta_min + (base − eta_min) · ½(1 + cos(π · step / T_max)).

    Parameters
    ----------
    optimizer : Optimizer
        The one whose rates are written.
    T_max : int
        Steps from the base rate to `eta_min`.
    eta_min : float, default 0
        Smallest rate.

    Examples
    --------
    >>> import minigrad as mg
    >>> w = mg.ones(1, requires_grad=True)
    >>> optimizer = mg.optim.SGD([w], lr=0.1)
    >>> schedule = mg.optim.CosineAnnealingLR(optimizer, T_max=4)
    >>> rates = []
    >>> for _ in range(4):
    ...     optimizer.step()
    ...     schedule.step()
    ...     rates.append(round(schedule.get_last_lr()[0], 4))
    >>> rates
    [0.0854, 0.05, 0.0146, 0.0]
    """

    def __init__(
        self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        check_numbers("CosineAnnealingLR", T_max=T_max, eta_min=eta_min)
        if not 1 <= T_max < math.inf:
            raise OptionError(f"CosineAnnealingLR: T_max must be ≥ 1, got {T_max}")
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        # From the current rate, so that another schedule may have changed it: the part above
        # eta_min shrinks by the quotient of two heights of the cosine.
        step, least = self.last_epoch, self.eta_min
        if step == 0:
            return self._rates()
        if not self._started:
            return [least + (base - least) * self._height(step) for base in self.base_lrs]
        if (step - 1 - self.T_max) % (2 * self.T_max) == 0:  # up again from 0
            up = self._height(self.T_max - 1)
            pairs = zip(self._rates(), self.base_lrs, strict=False)
            return [lr + (base - least) * up for lr, base in pairs]
        shrink = self._height(step) / self._height(step - 1)
        return [least + (lr - least) * shrink for lr in self._rates()]

    def _height(self, step: int) -> float:
        return (1.0 + math.cos(math.pi * step / self.T_max)) / 2.0


def warmup_cosine(
    step: float,
    total: float,
    lr: float,
    min_lr: float = 0.0,
    warmup: float = 0.0,
    repeat_peak: bool = False,
) -> float:
    """Return the rate at `step` of a linear warm-up from 0 to `lr` and a half cosine to `min_lr`.

    Parameters
    ----------
    step, total, warmup : float
        In any one unit: iterations, or epochs with fractions.
    lr, min_lr : float
        Largest and last rate.
    repeat_peak : bool, default False
        Reach the peak one step early and hold it for two, as ConvNeXt V1's table does
        (``step`` then counts iterations). V2 does not.

    Examples
    --------
    >>> [warmup_cosine(t, total=8, lr=1.0, warmup=4) for t in (0, 2, 4, 6, 8)]
    [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    if step < warmup:
        return lr * step / max(warmup - repeat_peak, 1e-12)
    progress = (step - warmup) / (total - warmup) if total > warmup else 1.0
    return min_lr + (lr - min_lr) * 0.5 * (1.0 + math.cos(math.pi * progress))


class WarmupCosineLR(LRScheduler):
    """Linear warm-up, then a half cosine, step by step: the schedule of the ConvNeXt recipes.

    Parameters
    ----------
    optimizer : Optimizer
        A group's ``lr_scale`` scales its rate and `min_lr`, as the official code does.
    total_steps : int
        Steps of the whole training.
    warmup_steps : int, default 0
        Steps of the warm-up.
    min_lr : float, default 0
        Last rate.
    repeat_peak : bool, default False
        See `warmup_cosine`: True for V1's exact numbers, False for V2's.

    Examples
    --------
    >>> import minigrad as mg
    >>> w = mg.zeros(1, requires_grad=True)
    >>> optimizer = mg.optim.SGD([w], lr=1.0)
    >>> schedule = WarmupCosineLR(optimizer, total_steps=6, warmup_steps=2)
    >>> rates = []
    >>> for _ in range(6):
    ...     rates.append(round(optimizer.param_groups[0]["lr"], 3))
    ...     optimizer.step()
    ...     schedule.step()
    >>> rates
    [0.0, 0.5, 1.0, 0.854, 0.5, 0.146]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_steps: int,
        warmup_steps: int = 0,
        min_lr: float = 0.0,
        repeat_peak: bool = False,
    ) -> None:
        check_numbers(
            "WarmupCosineLR", total_steps=total_steps, warmup_steps=warmup_steps, min_lr=min_lr
        )
        if not 0 <= warmup_steps <= total_steps < math.inf:
            raise OptionError(
                f"WarmupCosineLR: warmup_steps={warmup_steps} must lie in [0, "
                f"total_steps={total_steps}]; shorten the warm-up or train longer"
            )
        check_switches("WarmupCosineLR", repeat_peak=repeat_peak)
        self.total_steps, self.warmup_steps = total_steps, warmup_steps
        self.min_lr, self.repeat_peak = min_lr, repeat_peak
        super().__init__(optimizer)

    def get_lr(self) -> list[float]:
        step = min(self.last_epoch, self.total_steps)
        rates = []
        for base, group in zip(self.base_lrs, self.optimizer.param_groups, strict=False):
            scale = group.get("lr_scale", 1.0)
            peak = base if group.get("lr_scaled") else base * scale
            least = self.min_lr * scale
            rates.append(
                warmup_cosine(
                    step, self.total_steps, peak, least, self.warmup_steps, self.repeat_peak
                )
            )
        return rates


class OneCycleLR(LRScheduler):
    """Up to `max_lr` and down to almost nothing, momentum the other way (Smith and Topin, 2017).

    Parameters
    ----------
    optimizer : Optimizer
        The one whose rates are written.
    max_lr : float or list of float
        Peak rate, for all groups or for each.
    total_steps : int, optional
        Steps of the whole cycle; or give `epochs` and `steps_per_epoch`.
    epochs, steps_per_epoch : int, optional
        Their product is the number of steps.
    pct_start : float, default 0.3
        Part of the cycle that rises.
    anneal_strategy : {"cos", "linear"}
        Shape of each phase.
    cycle_momentum : bool, default True
        Whether momentum (or β₁) falls while the rate rises.
    base_momentum, max_momentum : float, default 0.85, 0.95
        Least and largest momentum.
    div_factor : float, default 25
        The first rate is max_lr / div_factor.
    final_div_factor : float, default 1e4
        The last rate is the first / final_div_factor.
    three_phase : bool, default False
        Fall to the first rate as fast as it rose, then to the last.

    Examples
    --------
    >>> import minigrad as mg
    >>> w = mg.ones(1, requires_grad=True)
    >>> optimizer = mg.optim.SGD([w], lr=0.1, momentum=0.9)
    >>> schedule = mg.optim.OneCycleLR(optimizer, max_lr=0.1, total_steps=5)
    >>> rates = []
    >>> for _ in range(4):
    ...     optimizer.step()
    ...     schedule.step()
    ...     rates.append(round(schedule.get_last_lr()[0], 4))
    >>> rates
    [0.095, 0.0611, 0.0188, 0.0]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        self._check_optimizer(optimizer)
        check_switches("OneCycleLR", cycle_momentum=cycle_momentum, three_phase=three_phase)
        check_numbers(
            "OneCycleLR",
            pct_start=pct_start,
            base_momentum=base_momentum,
            max_momentum=max_momentum,
            div_factor=div_factor,
            final_div_factor=final_div_factor,
        )
        if not (div_factor > 0.0 and final_div_factor > 0.0):
            raise OptionError(
                f"OneCycleLR: div_factor={div_factor} and final_div_factor={final_div_factor} must "
                "be above 0"
            )
        for name, count in (("epochs", epochs), ("steps_per_epoch", steps_per_epoch)):
            if count is not None:
                check_numbers("OneCycleLR", **{name: count})
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise OptionError("OneCycleLR: give total_steps, or epochs and steps_per_epoch")
            check_numbers("OneCycleLR", epochs=epochs, steps_per_epoch=steps_per_epoch)
            total_steps = epochs * steps_per_epoch
        check_numbers("OneCycleLR", total_steps=total_steps)
        if not 1 <= total_steps < math.inf or not 0.0 <= pct_start <= 1.0:
            raise OptionError(
                f"OneCycleLR: total_steps={total_steps} must be ≥ 1 and pct_start={pct_start} "
                "must lie in [0, 1]"
            )
        if not isinstance(anneal_strategy, str) or anneal_strategy not in ("cos", "linear"):
            raise unknown("anneal_strategy", anneal_strategy, ("cos", "linear"))
        groups = optimizer.param_groups
        if cycle_momentum and not all("betas" in g or g.get("momentum") for g in groups):
            raise OptionError(
                "OneCycleLR: cycle_momentum needs an optimizer with momentum; pass "
                "cycle_momentum=False"
            )
        given: Any = max_lr
        peaks = list(given) if isinstance(given, (list, tuple)) else [given] * len(groups)
        for peak in peaks:
            check_numbers("OneCycleLR", max_lr=peak)
        if len(peaks) != len(groups):
            raise OptionError(f"OneCycleLR: {len(peaks)} values of max_lr for {len(groups)} groups")
        self.total_steps, self.cycle_momentum = total_steps, cycle_momentum
        self.anneal = _cosine if anneal_strategy == "cos" else _line
        # Each phase: the step at which it ends, and what the rate (as a part of the peak) and the
        # momentum have at its start and end.
        first, last = 1.0 / div_factor, 1.0 / div_factor / final_div_factor
        rise, low, high = pct_start * total_steps - 1.0, base_momentum, max_momentum
        self.phases = [(rise, (first, 1.0), (high, low))]
        if three_phase:
            self.phases.append((2.0 * pct_start * total_steps - 2.0, (1.0, first), (low, high)))
            self.phases.append((total_steps - 1.0, (first, last), (high, high)))
        else:
            self.phases.append((total_steps - 1.0, (1.0, last), (low, high)))
        self.peaks = peaks
        super().__init__(optimizer, last_epoch)

    def _now(self) -> tuple[float, float]:
        """Return the current part of the peak rate, and the momentum."""
        step = min(self.last_epoch, self.total_steps - 1)
        ends = [end for end, _, _ in self.phases]
        i = next((i for i, end in enumerate(ends) if step <= end), len(ends) - 1)
        start = ends[i - 1] if i else 0.0
        end, rate, momentum = self.phases[i]
        part = (step - start) / (end - start) if end != start else 1.0
        return self.anneal(*rate, part), self.anneal(*momentum, part)

    def get_lr(self) -> list[float]:
        return [peak * self._now()[0] for peak in self.peaks]

    def _write(self, rates: list[float]) -> None:
        super()._write(rates)
        if self.cycle_momentum:
            momentum = self._now()[1]
            for group in self.optimizer.param_groups:
                if "betas" in group:
                    group["betas"] = (momentum, *group["betas"][1:])
                else:
                    group["momentum"] = momentum


def _cosine(start: float, end: float, part: float) -> float:
    return end + (start - end) / 2.0 * (1.0 + math.cos(math.pi * part))


def _line(start: float, end: float, part: float) -> float:
    return start + (end - start) * part
