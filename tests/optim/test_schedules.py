"""Learning-rate schedules against torch.optim.lr_scheduler."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import optim
from minigrad.errors import OptionError

CASES: list[tuple[str, dict[str, Any]]] = [
    ("LambdaLR", {"lr_lambda": lambda n: 0.9**n}),
    ("LambdaLR", {"lr_lambda": [lambda n: 1 / (n + 1), lambda n: 0.5]}),
    ("StepLR", {"step_size": 4}),
    ("StepLR", {"step_size": 3, "gamma": 0.5}),
    ("CosineAnnealingLR", {"T_max": 12, "eta_min": 1e-3}),
    ("OneCycleLR", {"max_lr": 0.3, "total_steps": 12}),
    ("OneCycleLR", {"max_lr": [0.3, 0.1], "epochs": 4, "steps_per_epoch": 3, "pct_start": 0.5}),
    ("OneCycleLR", {"max_lr": 0.3, "total_steps": 13, "three_phase": True, "div_factor": 10.0}),
    ("OneCycleLR", {"max_lr": 0.3, "total_steps": 12, "anneal_strategy": "linear"}),
    ("OneCycleLR", {"max_lr": 0.3, "total_steps": 12, "cycle_momentum": False}),
]


def optimizers(name: str) -> tuple[optim.Optimizer, Any]:
    torch = pytest.importorskip("torch")
    options = {"momentum": 0.9} if name == "SGD" else {}

    def build(lib: Any, tensor: Any) -> Any:
        groups = [{"params": [tensor()]}, {"params": [tensor()], "lr": 0.02}]
        return getattr(lib, name)(groups, lr=0.1, **options)

    ours = build(optim, lambda: mg.zeros(1, requires_grad=True))
    return ours, build(torch.optim, lambda: torch.zeros(1, requires_grad=True))


@pytest.mark.parametrize("kind", ["SGD", "AdamW"])
@pytest.mark.parametrize(("name", "options"), CASES)
def test_rates_and_momenta_equal_torch(name: str, options: dict[str, Any], kind: str) -> None:
    torch = pytest.importorskip("torch")
    a, b = optimizers(kind)
    ours = getattr(optim, name)(a, **options)
    theirs = getattr(torch.optim.lr_scheduler, name)(b, **options)
    momentum = "momentum" if kind == "SGD" else "betas"
    for _ in range(12):
        np.testing.assert_allclose(ours.get_last_lr(), theirs.get_last_lr(), rtol=1e-9)
        for g, t in zip(a.param_groups, b.param_groups, strict=True):
            np.testing.assert_allclose(g[momentum], t[momentum], rtol=1e-9)
        b.step()
        ours.step()
        if ours.last_epoch < 12:
            theirs.step()


@pytest.mark.parametrize(("name", "options"), CASES)
def test_a_loaded_schedule_goes_on_exactly(name: str, options: dict[str, Any]) -> None:
    rates = []
    for stop in (12, 5):
        optimizer, _ = optimizers("AdamW")
        schedule = getattr(optim, name)(optimizer, **options)
        for _ in range(stop):
            schedule.step()
        saved = schedule.state_dict()
        optimizer, _ = optimizers("AdamW")
        schedule = getattr(optim, name)(optimizer, **options)
        schedule.load_state_dict(saved)
        for _ in range(12 - stop):
            schedule.step()
        rates.append(schedule.get_last_lr())
    assert rates[0] == rates[1]


def test_warm_up_and_cosine() -> None:
    groups = [
        {"params": [mg.zeros(1, requires_grad=True)]},
        {"params": [mg.zeros(1, requires_grad=True)], "lr_scale": 0.5},
    ]
    optimizer = optim.SGD(groups, lr=1.0)
    schedule = optim.WarmupCosineLR(optimizer, total_steps=10, warmup_steps=4, min_lr=0.1)
    rates = [schedule.get_last_lr()]
    for _ in range(12):
        schedule.step()
        rates.append(schedule.get_last_lr())
    first = [rate for rate, _ in rates]
    assert first[:5] == [0.0, 0.25, 0.5, 0.75, 1.0]
    assert first[7] == pytest.approx(0.55)
    assert first[10:] == pytest.approx([0.1] * 3)  # stays at the end
    assert [rate for _, rate in rates] == pytest.approx([0.5 * rate for rate in first])


def test_no_warm_up_starts_at_the_peak() -> None:
    optimizer = optim.SGD([mg.zeros(1, requires_grad=True)], lr=1.0)
    assert optim.WarmupCosineLR(optimizer, 10).get_last_lr() == [1.0]
    one_step = optim.warmup_cosine(0, total=10, lr=1.0, warmup=1, repeat_peak=True)
    assert one_step == 0.0


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda o: optim.WarmupCosineLR(o, 10, 11),
            r"warmup_steps=11 must lie in \[0, total_steps=10\]",
        ),
        (lambda o: optim.StepLR(o, 0), "step_size must be ≥ 1"),
        (lambda o: optim.LambdaLR(o, [abs]), "1 functions for 2 groups"),
        (lambda o: optim.OneCycleLR(o, 0.1), "total_steps, or epochs and steps_per_epoch"),
        (lambda o: optim.OneCycleLR(o, 0.1, 10, anneal_strategy="cosine"), "did you mean 'cos'"),
        (lambda o: optim.OneCycleLR(o, [0.1], 10), "1 values of max_lr for 2 groups"),
        (lambda o: optim.StepLR([o], 3), "the first argument is the optimizer, not list"),
    ],
)
def test_refusals(make: Any, message: str) -> None:
    groups = [{"params": [mg.zeros(1, requires_grad=True)]} for _ in range(2)]
    with pytest.raises(OptionError, match=message):
        make(optim.AdamW(groups))


def test_cycling_momentum_needs_momentum() -> None:
    with pytest.raises(OptionError, match="cycle_momentum=False"):
        optim.OneCycleLR(optim.SGD([mg.zeros(1, requires_grad=True)]), 0.1, 10)
