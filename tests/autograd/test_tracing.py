"""A trace notes every operation once, with where its inputs came from, and keeps no value."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.autograd.tracing import From, Trace, trace
from minigrad.errors import GraphError
from minigrad.modes import TRACE, current


def steps(found: Trace) -> list[tuple[str, tuple[Any, ...]]]:
    return [(step.node.name, step.inputs) for step in found.steps]


def test_steps_and_their_sources() -> None:
    x, w = mg.ones(2, 3), mg.ones(3)
    y, found = trace(lambda _: (x * w + 1.0).sum(1) + x.detach().sum(1), (x,))
    assert steps(found) == [
        ("mul", (From(-1), w)),
        ("add", (From(0), 1.0)),
        ("sum", (From(1),)),
        ("sum", (From(-1),)),  # a detached tensor is the same values
        ("add", (From(2), From(3))),
    ]
    assert found.source(y) == From(4)
    assert [step.shape for step in found.steps] == [(2, 3), (2, 3), (2,), (2,), (2,)]
    assert all(step.result is None for step in found.steps)


@pytest.mark.parametrize("mode", [mg.no_grad, mg.enable_grad, mg.inference_mode])
def test_in_every_mode(mode: Any) -> None:
    x = mg.ones(2, requires_grad=True)

    def run(_: Trace) -> mg.Tensor:
        with mode():
            return (x * 2).exp()

    assert steps(trace(run, (x,))[1]) == [("mul", (From(-1), 2)), ("exp", (From(0),))]


def test_half_precision_is_traced_as_it_is_computed() -> None:
    x = mg.ones(2, dtype=mg.float16)
    names = [name for name, _ in steps(trace(lambda _: x * 2, (x,))[1])]
    assert names == ["cast", "mul", "cast"]


def test_values_are_let_go_and_kept_on_demand() -> None:
    x = mg.ones(1000)
    seen: list[Any] = []

    def run(_: Trace) -> mg.Tensor:
        y = x * 2
        seen.append(weakref.ref(y.array))
        return y.sum()

    gc.disable()
    try:
        _, found = trace(run, (x,))
        assert seen[0]() is None
    finally:
        gc.enable()
    _, kept = trace(run, (x,), keep=True)
    np.testing.assert_array_equal(kept.steps[0].result, np.full(1000, 2.0))
    assert len(found.steps) == len(kept.steps)


def test_an_address_used_again_is_no_old_value() -> None:
    x = mg.ones(3)

    def run(_: Trace) -> None:
        for _i in range(50):
            x * 2
            np.ones(3)
            (mg.tensor(np.ones(3)) * 2).exp()

    for name, inputs in steps(trace(run, (x,))[1]):
        if name == "mul" and inputs[0] != From(-1):
            assert isinstance(inputs[0], mg.Tensor)


def test_a_change_in_place_is_refused() -> None:
    x = mg.ones(3)

    def run(_: Trace) -> mg.Tensor:
        y = x * 2
        y[0] = 5.0
        return y + 1

    with pytest.raises(GraphError, match="result of mul was changed in place"):
        trace(run, (x,))
    assert not current().flags & TRACE


def test_nothing_is_noted_outside() -> None:
    x = mg.ones(3)
    _, found = trace(lambda _: x * 2, (x,))
    x * 3
    assert len(found.steps) == 1
