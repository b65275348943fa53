"""Kernels of optimizers: the formulas, one array at a time and over lists, compiled or not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minigrad.backend import kernels_in_use, use_kernels
from minigrad.kernels import pick

VERSIONS = ["reference", "fast"] if kernels_in_use() == "fast" else ["reference"]
ADAM = (1e-2, 0.7, 0.9, 0.99, 1e-8, 0.995, 0.01)
SGD = (0.1, 0.9, 0.7, 0.9, 0.01)
SHAPES = [(3, 4), (), (0,), (40_000,), (5,), (129, 257)]  # some are cut, some share a task

KERNELS: dict[str, tuple[int, tuple[float, ...]]] = {
    "adam_many": (4, ADAM),
    "sgd_many": (3, SGD),
    "ema_many": (2, (0.9,)),
}


def lists(count: int, dtype: Any = np.float32, seed: int = 0) -> list[list[Any]]:
    rng = np.random.default_rng(seed)
    return [[np.asarray(rng.random(s) + 0.1, dtype) for s in SHAPES] for _ in range(count)]


def formula(name: str, arrays: list[Any], numbers: Any) -> None:
    """The step in float64, as the docstrings of the kernels say it."""
    if name == "adam_many":
        p, g, m, v = arrays
        step_size, v_scale, beta1, beta2, eps, shrink, penalty = numbers
        g = g + penalty * p
        m += (1 - beta1) * (g - m)
        v[...] = beta2 * v + (1 - beta2) * g * g
        p[...] = shrink * p - step_size * m / (np.sqrt(v) / v_scale + eps)
    elif name == "sgd_many":
        p, g, b = arrays
        lr, keep, take, ahead, decay = numbers
        d = g + decay * p
        b[...] = keep * b + take * d
        p -= lr * (d + ahead * b)
    else:
        average, value = arrays
        average[...] = numbers[0] * average + (1 - numbers[0]) * value


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", KERNELS)
def test_lists_follow_the_formula(name: str, dtype: Any, version: str) -> None:
    count, numbers = KERNELS[name]
    found = lists(count, dtype)
    exact = [[np.asarray(a, np.float64) for a in x] for x in lists(count, dtype)]
    with use_kernels(version):
        pick(name, found[0][0])(*found, *numbers)
    for i in range(len(SHAPES)):
        formula(name, [x[i] for x in exact], numbers)
    for ours, theirs in zip(found, exact, strict=True):
        for a, b in zip(ours, theirs, strict=True):
            assert a.dtype == dtype
            fine = dtype == np.float64
            np.testing.assert_allclose(
                a, b, rtol=1e-12 if fine else 2e-6, atol=1e-15 if fine else 2e-7
            )


@pytest.mark.parametrize("version", VERSIONS)
def test_a_list_is_its_arrays_one_by_one_bit_for_bit(version: str) -> None:
    together, alone = lists(4), lists(4)
    with use_kernels(version):
        pick("adam_many", together[0][0])(*together, *ADAM)
        for arrays in zip(*alone, strict=True):
            pick("adam", arrays[0])(*arrays, *ADAM)
    for a, b in zip(together, alone, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", KERNELS)
def test_gaps_and_mixed_element_types(name: str, version: str) -> None:
    count, numbers = KERNELS[name]

    def awkward() -> list[list[Any]]:
        found = lists(count)
        for x in found:
            x[0] = np.repeat(x[0], 2, axis=1)[:, ::2]  # every other column
            x[5] = x[5].T.copy().T  # columns first
            x[4] = x[4].astype(np.float64)
        found[1][1] = found[1][1].astype(np.float64)
        return found

    ours, plain = awkward(), [[np.array(a, np.float64) for a in x] for x in awkward()]
    with use_kernels(version):
        pick(name, ours[0][0])(*ours, *numbers)
        pick(name, plain[0][0])(*plain, *numbers)
    for a, b in zip(ours, plain, strict=True):
        for x, y in zip(a, b, strict=True):
            np.testing.assert_allclose(x, y, rtol=5e-6, atol=2e-7)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("ahead", [0.0, 0.9])
def test_descent_without_and_with_a_sum(version: str, ahead: float) -> None:
    p, g, b = lists(3)
    start, sums = [x.copy() for x in p], [np.zeros_like(x) for x in b]
    with use_kernels(version):
        pick("sgd_many", p[0])(p, g, p, 0.1, 0.0, 1.0, 0.0, 0.0)
        for x, before, slope in zip(p, start, g, strict=True):
            np.testing.assert_allclose(x, before - 0.1 * slope, rtol=1e-6, atol=2e-7)
        pick("sgd_many", p[0])(p, g, sums, 0.1, 0.0, 1.0, ahead, 0.0)
    for x, before, slope, kept in zip(p, start, g, sums, strict=True):
        np.testing.assert_array_equal(kept, slope)  # the first sum is the slope
        np.testing.assert_allclose(x, before - 0.1 * (2 + ahead) * slope, rtol=1e-5, atol=1e-6)


def test_numbers_in_memory_are_the_same_numbers() -> None:
    p, q = lists(4), lists(4)
    for i in range(len(SHAPES)):
        with use_kernels("reference"):
            pick("adam", p[0][i])(*[x[i] for x in p], *ADAM)
            pick("adam_flat", q[0][i])(*[x[i] for x in q], np.array(ADAM))
        for x, y in zip(p, q, strict=True):
            np.testing.assert_allclose(x[i], y[i], rtol=1e-6)
