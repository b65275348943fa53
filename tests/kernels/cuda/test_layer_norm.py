from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.kernels.cuda.tools import DTYPES, assert_formula

# Rows and columns: one lane to a row, odd lengths, 16-byte vectors, more than 32 vectors, more
# rows than one block takes, none at all.
SHAPES = [(3, 5), (2, 7, 24), (70, 96), (5, 300), (11, 1), (0, 8)]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("affine", [True, False])
def test_values(cupy: Any, rng: np.random.Generator, shape: tuple[int, ...], affine: bool) -> None:
    x, g = rng.normal(1, 2, shape), rng.normal(0, 1, shape)
    weight, bias = rng.normal(1, 1, (2, shape[-1])) if affine else (None, None)
    assert_formula(cupy, "layer_norm", [x, weight, bias, 1e-6])
    assert_formula(cupy, "layer_norm_vjp", [g, x, weight, 1e-6])


@pytest.mark.parametrize("dtype", DTYPES[1:])
def test_element_types(cupy: Any, rng: np.random.Generator, dtype: str) -> None:
    x, g, (weight, bias) = (
        rng.normal(1, 2, (2, 5, 48)),
        rng.normal(0, 1, (2, 5, 48)),
        rng.normal(1, 1, (2, 48)),
    )
    assert_formula(cupy, "layer_norm", [x, weight, bias, 1e-6], dtype)
    assert_formula(cupy, "layer_norm_vjp", [g, x, weight, 1e-6], dtype)
