"""Hooks and retain_grad in every order, beside PyTorch."""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import pytest

import minigrad as mg

STEPS = "retain times plus note inplace remove change".split()


def program(lib: Any, steps: tuple[str, ...], leaf: bool) -> Any:
    """Take the steps on a tensor, run backward twice; return its gradients and what a hook saw."""
    x = lib.tensor([1.0, 2.0], requires_grad=True)
    y = x if leaf else x * 2
    seen: list[Any] = []
    handles: list[Any] = []

    def times_in_place(g: Any) -> None:
        g.mul_(3)

    hooks = {
        "times": lambda g: g * 10,
        "plus": lambda g: g + 1,
        "note": lambda g: seen.append(g.tolist()),
        "inplace": times_in_place,
    }
    for step in steps:
        if step in hooks:
            handles.append(y.register_hook(hooks[step]))
        elif step == "retain":
            y.retain_grad()
        elif step == "remove" and handles:
            handles.pop(0).remove()
        elif step == "change":
            if y.is_leaf:
                with lib.no_grad():
                    y.mul_(2)
            else:
                y.mul_(2)
    for again in (True, False):
        y.backward(lib.ones(2), retain_graph=again)
        seen += [None if t.grad is None else t.grad.tolist() for t in (x, y)]
    return seen


@pytest.mark.filterwarnings("ignore:The .grad attribute")
@pytest.mark.parametrize("leaf", [False, True])
def test_hooks_and_retain_grad_run_in_pytorchs_order(leaf: bool) -> None:
    torch = pytest.importorskip("torch")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for n in range(1, 4):
            for steps in itertools.product(STEPS, repeat=n):
                assert program(mg, steps, leaf) == program(torch, steps, leaf), steps


def test_a_handle_removes_its_own_hook_alone() -> None:
    x, seen = mg.ones(1, requires_grad=True), []

    def add(g: mg.Tensor) -> mg.Tensor:
        seen.append("add")
        return g + 1

    def double(g: mg.Tensor) -> mg.Tensor:
        seen.append("double")
        return g * 2

    x.register_hook(add)
    x.register_hook(double)
    last = x.register_hook(add)
    last.remove()
    last.remove()
    x.sum().backward()
    assert seen == ["add", "double"]


def test_a_hook_may_remove_itself_and_others() -> None:
    x, seen = mg.ones(1, requires_grad=True), []

    def once(i: int) -> Any:
        def hook(g: mg.Tensor) -> None:
            seen.append(i)
            handles[i].remove()

        return hook

    handles = [x.register_hook(once(i)) for i in range(3)]
    x.sum().backward()
    x.sum().backward()
    assert seen == [0, 1, 2]
