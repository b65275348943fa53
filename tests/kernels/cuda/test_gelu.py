from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.kernels.cuda.tools import DTYPES, assert_formula


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["erf", "gelu", "gelu_tanh", "gelu_vjp", "gelu_tanh_vjp"])
def test_values(cupy: Any, rng: np.random.Generator, name: str, dtype: str) -> None:
    arrays = [rng.normal(0, 3, (3, 7, 11)) for _ in range(2 if name.endswith("vjp") else 1)]
    assert_formula(cupy, name, arrays, dtype=dtype)


@pytest.mark.parametrize("name", ["erf", "gelu", "gelu_tanh", "gelu_vjp", "gelu_tanh_vjp"])
def test_far_out(cupy: Any, name: str) -> None:
    x = np.array([-np.inf, -1e30, -45.0, 45.0, 1e30, np.inf, np.nan])
    if not name.endswith("vjp") and name != "erf":
        x = x[1:]  # -inf * 0
    assert_formula(cupy, name, [np.ones_like(x), x] if name.endswith("vjp") else [x])


def test_other_orders_of_axes(cupy: Any, rng: np.random.Generator) -> None:
    x, g = rng.normal(0, 1, (2, 3, 4, 5)).transpose(0, 3, 1, 2)
    assert_formula(cupy, "gelu", [x])
    assert_formula(cupy, "gelu_vjp", [np.ascontiguousarray(g), x])
