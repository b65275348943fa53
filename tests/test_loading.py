"""Every saved state, damaged in every way: a MinigradError and nothing changed, or a right load."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim, random
from minigrad.errors import MinigradError
from minigrad.train import Trainer


def net() -> nn.Sequential:
    return nn.Sequential(nn.Conv1d(1, 2, 3), nn.BatchNorm1d(2), nn.Flatten(), nn.Linear(8, 2))


def stepped(kind: str, **options: Any) -> optim.Optimizer:
    """Return an optimizer with two groups and a state."""
    a, b = mg.ones(2, 3, requires_grad=True), mg.ones(3, requires_grad=True)
    groups = [{"params": [a]}, {"params": [b], "lr": 0.02, "layer": 7}]
    optimizer: optim.Optimizer = getattr(optim, kind)(groups, lr=0.1, **options)
    for p in (a, b):
        p.grad = mg.full(p.shape, 0.5)
    optimizer.step()
    return optimizer


class Own(optim.Optimizer):
    """An optimizer of a user's own, written as for PyTorch."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, {"lr": lr, "note": None})

    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                state.setdefault("rows", mg.zeros(p.shape[0])).add_(1.0)
                state.setdefault("past", []).append(p.detach().clone())


def own() -> Own:
    optimizer = Own([mg.ones(2, 3, requires_grad=True)], 0.1)
    optimizer.step()
    return optimizer


def scheduled(name: str, **options: Any) -> optim.LRScheduler:
    schedule: optim.LRScheduler = getattr(optim, name)(stepped("SGD", momentum=0.9), **options)
    schedule.step()
    return schedule


def scaler() -> mg.amp.GradScaler:
    return mg.amp.GradScaler("cpu", init_scale=8.0)


def ema() -> optim.ModelEma:
    return optim.ModelEma(net(), 0.5)


def trainer(precision: str = "float32") -> Trainer:
    model = net()
    optimizer = optim.AdamW(model.parameters(), lr=0.01)
    result = Trainer(
        model,
        optimizer,
        schedule=optim.CosineAnnealingLR(optimizer, 10),
        ema=optim.ModelEma(model, 0.9),
        precision=precision,
    )
    result.train_on_batch(mg.randn(4, 1, 6), mg.tensor([0, 1, 0, 1]))
    result.history = [{"epoch": 1, "lr": 0.01, "train_loss": 0.5}]
    result.means.add({"loss": 1.0}, 4)
    result.step = 3
    return result


STATEFUL: dict[str, Callable[[], Any]] = {
    "module": net,
    "SGD": lambda: stepped("SGD"),
    "momentum": lambda: stepped("SGD", momentum=0.9),
    "Adam": lambda: stepped("Adam"),
    "AdamW": lambda: stepped("AdamW"),
    "own optimizer": own,
    "LambdaLR": lambda: scheduled("LambdaLR", lr_lambda=lambda n: 0.9**n),
    "StepLR": lambda: scheduled("StepLR", step_size=1),
    "CosineAnnealingLR": lambda: scheduled("CosineAnnealingLR", T_max=5),
    "WarmupCosineLR": lambda: scheduled("WarmupCosineLR", total_steps=5),
    "OneCycleLR": lambda: scheduled("OneCycleLR", max_lr=0.3, total_steps=5),
    "GradScaler": scaler,
    "ModelEma": ema,
    "Trainer": trainer,
    "Trainer float16": lambda: trainer("float16"),
}

JUNK: list[Any] = [
    None, "seven", b"x", math.nan, math.inf, -1, -1.5, 2.5, 10**400, True, [], {}, (), set(),
    object(), [None], ["a"], [[1], [2, 3]], {"a": {"b": [None]}}, {0: 1}, np.zeros((7, 5)),
    np.zeros(0), np.array("text"), np.array([None, 1], object), np.array(1 + 2j), len,
    np.full((2, 3), np.nan), mg.zeros(9, 9), mg.tensor([1, 2, 3]), np.datetime64("2020-01-01"),
    np.float32(np.nan),
]  # fmt: skip


def damaged(state: Any) -> Iterator[tuple[str, Any]]:
    """Yield (what was done, state) for every damage to every entry, at every depth."""
    for path in paths(state):
        where = "/".join(map(str, path))
        for junk in JUNK:
            yield f"{where} = {junk!r}", changed(state, path, lambda _, junk=junk: junk)
        if not path:
            continue
        yield f"{where} dropped", changed(state, path, None)
        value = at(state, path)
        if isinstance(value, (dict, list)):
            extra = {**value, "extra": 1} if isinstance(value, dict) else [*value, "extra"]
            yield f"{where} with more", changed(state, path, lambda _, extra=extra: extra)
        if isinstance(value, mg.Tensor):
            for name, other in {
                "transposed": lambda v: mg.Tensor(np.asarray(v.array).T[..., None]),
                "in a list": lambda v: [v],
                "complex": lambda v: np.asarray(v.array) + 1j,
                "text": lambda v: np.asarray(v.array).astype(str),
                "cut": lambda v: np.asarray(v.array).ravel()[1:],
                "halved": lambda v: np.asarray(v.array) + 0.5,
                "all ones": lambda v: np.full_like(v.array, 255 if v.dtype == mg.uint8 else 1),
            }.items():
                yield f"{where} {name}", changed(state, path, other)


def paths(state: Any, above: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield above
    if isinstance(state, dict):
        for key, value in state.items():
            yield from paths(value, (*above, key))
    elif isinstance(state, (list, tuple)):
        for i, value in enumerate(state):
            yield from paths(value, (*above, i))


def at(state: Any, path: tuple[Any, ...]) -> Any:
    for key in path:
        state = state[key]
    return state


def changed(state: Any, path: tuple[Any, ...], change: Callable[[Any], Any] | None) -> Any:
    """Return the state with one entry changed, or dropped; what is not on the path is shared."""
    if not path:
        assert change is not None
        return change(state)
    key, *rest = path
    items = dict(state) if isinstance(state, dict) else list(state)
    if rest or change is not None:
        items[key] = changed(items[key], tuple(rest), change)
    else:
        del items[key]
    return items if isinstance(state, (dict, list)) else tuple(items)


def bits(value: Any) -> Any:
    """Return something that compares equal where every bit is the same."""
    if isinstance(value, mg.Tensor):
        value = np.asarray(value.array)
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, dict):
        return {key: bits(v) for key, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [bits(v) for v in value]
    return repr(value)


def trace(thing: Any) -> Any:
    """Return all that loading may touch."""
    optimizer = getattr(thing, "optimizer", None)
    own_state = optimizer.state_dict() if optimizer is not None else None
    return bits([thing.state_dict(), own_state, random.get_rng_state()])


@pytest.mark.parametrize("name", STATEFUL)
def test_a_damaged_state_is_refused_without_a_trace(name: str) -> None:
    source, target = STATEFUL[name](), STATEFUL[name]()
    saved = copy.deepcopy(source.state_dict())
    whole = copy.deepcopy(target.state_dict())
    before, cases, refused = trace(target), 0, 0
    for what, state in damaged(saved):
        cases += 1
        try:
            target.load_state_dict(state)
        except MinigradError:
            refused += 1
            assert trace(target) == before, f"{name}: {what}: refused, but half loaded"
        except Exception as error:
            raise AssertionError(f"{name}: {what}: {type(error).__name__}: {error}") from error
        else:
            target.load_state_dict(copy.deepcopy(whole))
            before = trace(target)
    assert cases > 100
    assert refused > cases / 3, f"{refused} of {cases}"


@pytest.mark.parametrize("name", STATEFUL)
def test_a_whole_state_is_taken_over(name: str) -> None:
    source, target = STATEFUL[name](), STATEFUL[name]()
    saved = copy.deepcopy(source.state_dict())
    target.load_state_dict(saved)
    assert bits(target.state_dict()) == bits(saved)


def test_parts_are_loaded_together_or_not_at_all() -> None:
    """Also where a part of the user's own overrides load_state_dict."""

    class Noted(optim.StepLR):
        note = ""

        def state_dict(self) -> dict[str, Any]:
            return {**super().state_dict(), "note": self.note}

        def load_state_dict(self, state_dict: dict[str, Any]) -> None:
            super().load_state_dict(state_dict)
            self.note = state_dict["note"]

    def make() -> Trainer:
        model = nn.Sequential(nn.Flatten(), nn.Linear(1, 2))
        optimizer = optim.SGD(model.parameters())
        return Trainer(model, optimizer, schedule=Noted(optimizer, 1))

    a, b = make(), make()
    assert isinstance(a.schedule, Noted)
    assert isinstance(b.schedule, Noted)
    a.schedule.note = "mine"
    saved, before = copy.deepcopy(a.state_dict()), trace(b)
    wrong = {**saved, "schedule": {**saved["schedule"], "last_epoch": None}}
    with pytest.raises(MinigradError):
        b.load_state_dict(wrong)
    assert trace(b) == before
    b.load_state_dict(saved)
    assert b.schedule.note == "mine"
    assert bits(b.state_dict()) == bits(saved)


def test_an_own_optimizer_gets_tensors_back() -> None:
    a, b = own(), own()
    b.load_state_dict(copy.deepcopy(a.state_dict()))
    b.step()
    (state,) = b.state.values()
    assert isinstance(state["rows"], mg.Tensor)
    assert state["rows"].tolist() == [2.0, 2.0]
    assert len(state["past"]) == 2


def optimizer() -> optim.Optimizer:
    p = mg.ones(2, requires_grad=True)
    p.grad = mg.ones(2)
    return optim.SGD([p], lr=0.1, momentum=0.9)


def sgd(**options: Any) -> None:
    made = optim.SGD(optimizer().param_groups[0]["params"], **options)
    made.step()
    made.step()


def adam(**options: Any) -> None:
    made = optim.AdamW(optimizer().param_groups[0]["params"], **options)
    made.step()
    made.step()


def schedule(kind: str, **options: Any) -> None:
    made = getattr(optim, kind)(optimizer(), **options)
    for _ in range(3):
        made.optimizer.step()
        made.step()


OPTIONS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "SGD": (sgd, {"lr": 1, "momentum": 0.1, "dampening": 0, "weight_decay": 0, "nesterov": False}),
    "AdamW": (adam, {"lr": 1, "betas": (0.9, 0.99), "eps": 1, "weight_decay": 0}),
    "StepLR": (schedule, {"step_size": 2, "gamma": 0.1, "last_epoch": -1}),
    "CosineAnnealingLR": (schedule, {"T_max": 2, "eta_min": 0.1, "last_epoch": -1}),
    "LambdaLR": (schedule, {"lr_lambda": lambda n: 0.5, "last_epoch": -1}),
    "WarmupCosineLR": (schedule, {"total_steps": 4, "warmup_steps": 2, "min_lr": 0.1}),
    "OneCycleLR": (
        schedule,
        {
            "max_lr": 0.1, "total_steps": 5, "pct_start": 0.3, "base_momentum": 0.8,
            "anneal_strategy": "cos", "max_momentum": 0.9, "div_factor": 2.0,
            "final_div_factor": 9.0,
        },
    ),
    "ModelEma": (lambda **k: optim.ModelEma(net(), **k).update(net()), {"decay": 0.9}),
    "GradScaler": (
        lambda **k: mg.amp.GradScaler("cpu", **k).scale(mg.ones(1)),
        {"init_scale": 2.0, "growth_factor": 2.0, "backoff_factor": 0.5, "growth_interval": 2},
    ),
    "update": (lambda **k: scaler().update(**k), {"new_scale": 4.0}),
}  # fmt: skip


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_an_option_is_taken_or_refused(name: str) -> None:
    make, options = OPTIONS[name]
    kind = {"kind": name} if make is schedule else {}
    make(**kind, **options)
    for option in options:
        for junk in JUNK:
            if callable(junk) or (name == "update" and junk is None):
                continue
            try:
                make(**kind, **{**options, option: junk})
            except MinigradError:
                continue
            except Exception as error:
                raise AssertionError(f"{name}({option}={junk!r}): {error!r}") from error


@pytest.mark.parametrize("scale", [0.0, -1.0, math.inf, -math.inf, math.nan, 1e-45, 1e39])
def test_a_scale_that_is_none_is_refused_everywhere(scale: float) -> None:
    made = scaler()
    before = bits(made.state_dict())
    with pytest.raises(MinigradError, match="scale must lie between"):
        mg.amp.GradScaler("cpu", init_scale=scale)
    with pytest.raises(MinigradError, match="scale must lie between"):
        made.update(scale)
    with pytest.raises(MinigradError, match="scale must lie between"):
        made.load_state_dict({**made.state_dict(), "scale": scale})
    assert bits(made.state_dict()) == before


def test_a_scale_that_halves_for_ever_stays_above_zero() -> None:
    made, stepper = scaler(), optimizer()
    (p,) = stepper.param_groups[0]["params"]
    for _ in range(300):
        p.grad = mg.full((2,), math.nan)
        made.step(stepper)
        made.update()
    assert made.get_scale() == 2.0**-126
    assert p.tolist() == [1.0, 1.0]
