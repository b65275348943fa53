from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minigrad.kernels.cuda import table
from tests.kernels.cuda.tools import DTYPES, assert_formula


@pytest.fixture
def many_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "WIDTH", 2)


def check(cupy: Any, rng: np.random.Generator, shape: Any, dtype: str = "float32") -> None:
    x, g = rng.normal(0, 1, (2, *shape))
    x[..., 0] = 0  # a dead channel
    gamma, beta = rng.normal(0, 1, (2, shape[-1]))
    assert_formula(cupy, "grn", [x, gamma, beta, 1e-6], dtype)
    assert_formula(cupy, "grn_vjp", [g, x, gamma, 1e-6], dtype, tolerance=2.0)


# One column, odd lengths, more columns than a block is wide, more positions than a block takes.
@pytest.mark.parametrize("shape", [(2, 3, 1), (3, 7, 5), (2, 33, 300), (1, 1100, 8), (0, 4, 8)])
def test_values(cupy: Any, rng: np.random.Generator, shape: tuple[int, ...]) -> None:
    check(cupy, rng, shape)


@pytest.mark.usefixtures("many_blocks")
@pytest.mark.parametrize("dtype", DTYPES)
def test_element_types(cupy: Any, rng: np.random.Generator, dtype: str) -> None:
    check(cupy, rng, (2, 515, 20), dtype)


def test_sums_are_taken_in_float32(cupy: Any, rng: np.random.Generator) -> None:
    """In float16 two squares of 200 are too large already."""
    x = np.ones((1, 600, 2)) * [100.0, 200.0]
    assert_formula(cupy, "grn", [x, np.ones(2), np.zeros(2), 1e-6], "float16")


def test_numbers_too_large_to_be_squared(cupy: Any, rng: np.random.Generator) -> None:
    """A sample with such channels, beside one without."""
    x, g = rng.normal(0, 1, (2, 2, 9, 6))
    x[0, :, 2:] *= 1e22
    gamma, beta = rng.normal(0, 1, (2, 6))
    for sample in (slice(0, 1), slice(1, 2)):
        assert_formula(cupy, "grn", [x[sample], gamma, beta, 1e-6], "float32")
        assert_formula(cupy, "grn_vjp", [g[sample], x[sample], gamma, 1e-6], "float32", 2.0)
    assert_formula(cupy, "grn", [x, gamma, beta, 1e-6], "float32")
