from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.kernels.cuda.tools import DTYPES, assert_formula

# Rows and columns: one lane to a row, odd lengths, 16-byte vectors, more than 32 vectors, more
# rows than one block takes, none at all.
SHAPES = [(3, 5), (2, 7, 24), (70, 96), (5, 300), (11, 1), (0, 8)]


def check(
    cupy: Any,
    rng: np.random.Generator,
    shape: tuple[int, ...],
    dtype: str = "float32",
    affine: bool = True,
    mean: float = 1.0,
) -> None:
    x, g = rng.normal(mean, 2, shape), rng.normal(0, 1, shape)
    weight, bias = rng.normal(1, 1, (2, shape[-1])) if affine else (None, None)
    assert_formula(cupy, "layer_norm", [x, weight, bias, 1e-6], dtype)
    assert_formula(cupy, "layer_norm_vjp", [g, x, weight, 1e-6], dtype, tolerance=2.0)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("affine", [True, False])
def test_values(cupy: Any, rng: np.random.Generator, shape: tuple[int, ...], affine: bool) -> None:
    check(cupy, rng, shape, affine=affine)


@pytest.mark.parametrize("dtype", DTYPES[1:])
def test_element_types(cupy: Any, rng: np.random.Generator, dtype: str) -> None:
    check(cupy, rng, (2, 5, 48), dtype)


@pytest.mark.needs("ml_dtypes")
def test_sums_are_taken_in_float32(cupy: Any, rng: np.random.Generator) -> None:
    check(cupy, rng, (3, 511), "bfloat16", mean=20.0)  # 511 is odd: one lane to a row


def test_rows_in_another_order_of_axes(cupy: Any, rng: np.random.Generator) -> None:
    x, g = (a.transpose(1, 0, 2) for a in rng.normal(0, 1, (2, 3, 4, 8)))
    assert_formula(cupy, "layer_norm", [x, None, None, 1e-6])
    assert_formula(cupy, "layer_norm_vjp", [g, x, None, 1e-6])
