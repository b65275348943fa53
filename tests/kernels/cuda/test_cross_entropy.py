from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.kernels.cuda.tools import DTYPES, assert_formula


def check(cupy: Any, rng: np.random.Generator, shape: Any, dtype: str = "float32") -> None:
    x, q, g = rng.normal(0, 3, shape), rng.random(shape), rng.normal(0, 1, (shape[0], 1))
    q[rng.random(shape) < 0.5] = 0
    assert_formula(cupy, "cross_entropy", [x, q], dtype, tolerance=2.0)
    assert_formula(cupy, "cross_entropy_vjp", [g, x, q], dtype, tolerance=2.0)


@pytest.mark.parametrize("shape", [(3, 1), (5, 2), (7, 10), (2, 1000), (0, 10)])
def test_values(cupy: Any, rng: np.random.Generator, shape: tuple[int, int]) -> None:
    check(cupy, rng, shape)


@pytest.mark.parametrize("dtype", DTYPES)
def test_element_types(cupy: Any, rng: np.random.Generator, dtype: str) -> None:
    check(cupy, rng, (9, 37), dtype)


def test_a_class_without_weight_may_be_impossible(cupy: Any) -> None:
    x, q = np.array([[0.0, -np.inf, 100.0]]), np.array([[1.0, 0.0, 0.0]])
    assert_formula(cupy, "cross_entropy", [x, q])
    assert_formula(cupy, "cross_entropy_vjp", [np.ones((1, 1)), x, q])
