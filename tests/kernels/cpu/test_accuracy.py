"""The digits that the compiled elementary functions promise, against float64 and `math.erfc`."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
import pytest

from minigrad.kernels import pick
from minigrad.kernels.cpu.exp import exp
from minigrad.kernels.cpu.gelu import gelu, gelu_vjp


def cdf(x: Any) -> Any:
    return np.array([0.5 * math.erfc(-float(v) / math.sqrt(2.0)) for v in x])


def ulp(error: Any, value: Any, dtype: Any) -> Any:
    return np.abs(error) / np.spacing(np.abs(value).astype(dtype)).astype(np.float64)


def samples(low: float, high: float) -> Any:
    points = np.linspace(low, high, 20_001)
    return points[points != 0].astype(np.float32)


def test_gelu_in_float32() -> None:
    for low, most in ((-1.0, 11.0), (-4.0, 16.0)):
        x = samples(low, 10.0)
        exact = x.astype(np.float64) * cdf(x)
        assert ulp(gelu(x) - exact, exact, np.float32).max() <= most
    x = samples(-12.0, 2.0)
    assert np.abs(gelu(x) - x * cdf(x)).max() < 2.5e-7


def test_derivative_of_gelu_in_float32() -> None:
    x = samples(-12.0, 12.0)
    wide = x.astype(np.float64)
    slope = cdf(x) + wide * np.exp(-0.5 * wide * wide) / math.sqrt(2.0 * math.pi)
    assert np.abs(gelu_vjp(np.ones_like(x), x) - slope).max() < 4e-7


def test_gelu_in_float64() -> None:
    x = samples(-6.0, 10.0).astype(np.float64)
    exact = x * cdf(x)
    assert (np.abs(gelu(x) - exact) / np.abs(exact)).max() < 1e-14


def test_exp_in_float32() -> None:
    @numba.njit
    def run(y: Any, x: Any) -> None:
        for i in range(x.size):
            y[i] = exp(x[i])

    x = samples(-87.0, 88.0)
    y = np.empty_like(x)
    run(y, x)
    exact = np.exp(x.astype(np.float64))
    assert ulp(y - exact, exact, np.float32).max() <= 5.0
    x = np.array([0.0, -np.inf, -1000.0, np.inf, np.nan], np.float32)
    y = np.empty_like(x)
    run(y, x)
    np.testing.assert_array_equal(y, [1.0, 0.0, 0.0, np.inf, np.nan])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_cross_entropy_of_huge_logits_keeps_the_logarithm(dtype: str) -> None:
    x = np.asarray([[1e30, 1e30], [1e30, -1e30]], dtype)
    q = np.asarray([[1.0, 0.0], [1.0, 0.0]], dtype)
    loss = pick("cross_entropy", x)(x, q)
    np.testing.assert_allclose(loss, [[np.log(2.0)], [0.0]], rtol=1e-6)
