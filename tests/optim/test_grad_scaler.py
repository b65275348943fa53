"""GradScaler: step by step what PyTorch's does, overflow included."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import optim
from minigrad.amp import GradScaler
from minigrad.errors import DataError, DTypeError, GraphError, OptionError
from minigrad.nn import functional as F

W = np.array([[0.5, -1.0, 2.0], [0.25, 3.0, -0.125]], np.float32)


def world(module: Any, scaler: Any, **options: Any) -> tuple[Any, Any, Any]:
    w = module.tensor(W.copy(), requires_grad=True)
    return w, module.optim.AdamW([w], lr=0.1), scaler("cpu", **options)


def both(**options: Any) -> list[tuple[Any, Any, Any, Any]]:
    torch = pytest.importorskip("torch")
    found = [(m, *world(m, m.amp.GradScaler, **options)) for m in (mg, torch)]
    return found


def equal(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(ours.detach(), theirs.detach().numpy(), rtol=2e-6, atol=1e-6)


@pytest.mark.parametrize("unscale", [False, True])
def test_twenty_steps_equal_torch_with_overflow_and_growth(unscale: bool) -> None:
    worlds = both(init_scale=2.0**14, growth_interval=3)
    scales: dict[Any, list[float]] = {}
    for step in range(20):
        for m, w, optimizer, scaler in worlds:
            optimizer.zero_grad()
            loss = (w * w).sum()
            if step in (4, 5, 13):
                loss = loss * (math.inf if step == 13 else 1e36)
            scaler.scale(loss).backward()
            if unscale:
                scaler.unscale_(optimizer)
            before = w.detach().clone()
            scaler.step(optimizer)
            scaler.update()
            skipped = bool((w.detach() == before).all())
            assert skipped == (step in (4, 5, 13))
            scales.setdefault(m, []).append(scaler.get_scale())
        equal(worlds[0][1], worlds[1][1])
    a, b = scales.values()
    assert a == b
    assert a[3:6] == [2.0**15, 2.0**14, 2.0**13]  # an overflow halves it
    assert worlds[0][3].state_dict() == worlds[1][3].state_dict()


def test_gradients_are_those_of_the_loss_after_unscale() -> None:
    (_, w, optimizer, scaler), (_, v, other, theirs) = both()
    assert scaler.get_scale() == theirs.get_scale() == 65536.0
    losses = [scaler.scale((w**3).sum()), theirs.scale((v**3).sum())]
    assert losses[0].item() == losses[1].item()
    for loss in losses:
        loss.backward()
    equal(w.grad, v.grad)
    scaler.unscale_(optimizer)
    theirs.unscale_(other)
    equal(w.grad, v.grad)


def test_lists_of_losses_keep_their_kind() -> None:
    scaler = GradScaler("cpu", init_scale=4.0)
    assert [x.item() for x in scaler.scale([mg.tensor(1.0), mg.tensor(2.0)])] == [4.0, 8.0]
    assert scaler.scale((mg.tensor(1.0),))[0].item() == 4.0
    with pytest.raises(DTypeError, match="a loss is a Tensor, not float"):
        scaler.scale(1.0)


def test_two_optimizers_skip_alone_and_share_the_scale() -> None:
    a, b = (mg.ones(2, requires_grad=True) for _ in range(2))
    first, second = optim.SGD([a], lr=1.0), optim.SGD([b], lr=1.0)
    scaler = GradScaler("cpu")
    scaler.scale((a * math.inf).sum() + b.sum()).backward()
    scaler.step(first)
    scaler.step(second)
    scaler.update()
    assert a.tolist() == [1.0, 1.0]
    assert b.tolist() == [0.0, 0.0]
    assert scaler.get_scale() == 32768.0


def after_backward() -> tuple[mg.Tensor, optim.Optimizer, GradScaler]:
    w, optimizer, scaler = world(mg, GradScaler)
    scaler.scale(w.sum()).backward()
    return w, optimizer, scaler


def test_unscaling_twice_is_refused_and_changes_nothing() -> None:
    w, optimizer, scaler = after_backward()
    scaler.unscale_(optimizer)
    with pytest.raises(GraphError, match="unscale_ was called for this optimizer already"):
        scaler.unscale_(optimizer)
    np.testing.assert_array_equal(w.grad, np.ones((2, 3)))
    scaler.step(optimizer)
    for call in (scaler.step, scaler.unscale_):
        with pytest.raises(GraphError, match="step was called for this optimizer already"):
            call(optimizer)
    scaler.update()
    scaler.unscale_(optimizer)


def test_nothing_to_look_at_is_refused() -> None:
    _, optimizer, scaler = world(mg, GradScaler)
    for call in (scaler.step, scaler.unscale_):
        with pytest.raises(GraphError, match="no parameter of the optimizer has a gradient"):
            call(optimizer)
    with pytest.raises(GraphError, match="no gradient was looked at since the last update"):
        scaler.update()


def test_half_precision_parameters_are_refused() -> None:
    w = mg.ones(2, dtype=mg.float16, requires_grad=True)
    scaler = GradScaler("cpu", init_scale=2.0)
    scaler.scale(w.sum()).backward()
    with pytest.raises(DTypeError, match="keep the model in float32"):
        scaler.unscale_(optim.SGD([w]))
    assert w.grad is not None
    assert w.grad.tolist() == [2.0, 2.0]


@pytest.mark.parametrize(
    "options",
    [{"growth_factor": 1.0}, {"backoff_factor": 1.0}, {"init_scale": 0.0}, {"growth_interval": 0}],
)
def test_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=f"GradScaler: {next(iter(options))}|init_scale and"):
        GradScaler("cpu", **options)


def test_switched_off_it_hands_on_what_it_gets() -> None:
    w, optimizer, scaler = world(mg, GradScaler, enabled=False)
    loss = w.sum()
    assert scaler.scale(loss) is loss
    loss.backward()
    scaler.unscale_(optimizer)
    scaler.step(optimizer)
    scaler.update()
    assert not np.array_equal(w.detach(), W)
    assert (scaler.is_enabled(), scaler.get_scale(), scaler.state_dict()) == (False, 1.0, {})
    scaler.load_state_dict({})


def test_saved_state_goes_on_exactly_and_torch_understands_it() -> None:
    (_, _, _, scaler), (_, _, _, theirs) = both(growth_interval=5)
    for _ in range(3):
        w, optimizer, _ = world(mg, GradScaler)
        scaler.scale(w.sum()).backward()
        scaler.step(optimizer)
        scaler.update()
    saved = copy.deepcopy(scaler.state_dict())
    other = GradScaler("cpu", init_scale=1.0)
    other.load_state_dict(saved)
    theirs.load_state_dict(saved)
    assert other.state_dict() == theirs.state_dict() == saved
    assert other.scale(mg.tensor(1.0)).item() == 65536.0
    with pytest.raises(DataError, match="scale, growth_factor"):
        other.load_state_dict({})
    assert other.state_dict() == saved


def test_the_scale_can_be_set_and_stays_finite() -> None:
    w, optimizer, scaler = world(mg, GradScaler, growth_interval=1)
    scaler.update(2.0**127)
    assert scaler.get_scale() == 2.0**127
    scaler.scale((w * 2.0**-126).sum()).backward()
    scaler.step(optimizer)
    scaler.update()
    assert scaler.get_scale() == 2.0**127  # twice that would be infinite
    getters: list[Callable[[], float]] = [scaler.get_growth_factor, scaler.get_backoff_factor]
    scaler.set_growth_factor(4.0)
    scaler.set_backoff_factor(0.25)
    scaler.set_growth_interval(7)
    assert [get() for get in getters] == [4.0, 0.25]
    assert scaler.get_growth_interval() == 7


def test_a_scale_keeps_small_float16_gradients() -> None:
    w = mg.tensor([1e-4], requires_grad=True)
    scaler = GradScaler("cpu")
    grads = []
    for scale in (lambda loss: loss, scaler.scale):
        w.grad = None
        with mg.autocast("cpu", mg.float16):
            loss = F.linear(w, mg.ones(1, 1)).float().sum() * 1e-8
        scale(loss).backward()
        assert w.grad is not None
        grads.append(w.grad.item())
    assert grads[0] == 0.0  # 1e-8 is nothing in float16
    np.testing.assert_allclose(grads[1] / 65536.0, 1e-8, rtol=1e-3)
