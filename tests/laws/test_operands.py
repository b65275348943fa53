"""Two operands: either may be a number, and either may be broadcast, however large the other is."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.kernels.arrays.running import BLOCK
from minigrad.ops.declare import NAMES

ROWS = 3
WIDE = BLOCK // ROWS + 1  # so many columns that kernels run in pieces


def takes_two(function: Callable[..., Any]) -> bool:
    first_two = list(inspect.signature(function).parameters.values())[:2]
    return [p.annotation for p in first_two] == ["TensorLike"] * 2


FUNCTIONS = {name: f for name, f in NAMES["minigrad"].items() if takes_two(f)}


def drawn(name: str, *shape: int) -> Any:
    rng = np.random.default_rng(len(shape))
    if name.startswith("bitwise"):
        return rng.integers(1, 9, shape)
    return rng.uniform(0.3, 2.0, shape)


def outcome(function: Any, *arrays: Any) -> list[Any]:
    """Return the result and the gradients of its sum."""
    leaves = [mg.Tensor(a, requires_grad=a.dtype.kind == "f") for a in arrays]
    out = function(*leaves)
    gradients = mg.autograd.grad(out.sum(), leaves) if out.requires_grad else []
    return [value.numpy() for value in (out.detach(), *gradients)]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_either_operand_may_be_a_number(name: str) -> None:
    function, x = FUNCTIONS[name], mg.Tensor(drawn(name, 5))
    number = 2 if name.startswith("bitwise") else 1.5
    same = mg.full_like(x, number)
    for args, full in (((number, x), (same, x)), ((x, number), (x, same))):
        np.testing.assert_array_equal(function(*args).numpy(), function(*full).numpy())


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize("place", [0, 1])
def test_either_operand_may_be_broadcast_over_many(name: str, place: int) -> None:
    function, large, small = FUNCTIONS[name], drawn(name, ROWS, WIDE), drawn(name, WIDE)
    whole = np.broadcast_to(small, large.shape).copy()
    arrays, copies = [large, large], [large, large]
    arrays[place], copies[place] = small, whole
    value, *gradients = outcome(function, *arrays)
    expected, *full = outcome(function, *copies)
    np.testing.assert_array_equal(value, expected)
    if full:
        full[place] = full[place].sum(0)
    for ours, theirs in zip(gradients, full, strict=True):
        np.testing.assert_allclose(ours, theirs, 1e-12, 1e-12)
