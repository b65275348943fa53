from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.kernels import pick
from minigrad.kernels.cuda import reduce
from tests.kernels.cuda.tools import DTYPES, assert_formula, dtype_of


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(5, 3), (2, 3, 700), (4100, 8), (0, 4), (3, 1)])
def test_sum_columns(
    cupy: Any, rng: np.random.Generator, shape: tuple[int, ...], dtype: str
) -> None:
    assert_formula(cupy, "sum_columns", [rng.normal(0, 1, shape)], dtype, tolerance=2.0)


@pytest.mark.parametrize("keepdim", [True, False])
def test_sums_down_the_channels_take_it(
    cupy: Any, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, keepdim: bool
) -> None:
    taken = []
    real = reduce.sum_parts
    monkeypatch.setattr(reduce, "sum_parts", lambda *args: taken.append(1) or real(*args))
    values = rng.normal(0, 1, (2, 5, 4, 3)).astype(np.float32)
    x = mg.tensor(values).to("cuda").permute(0, 3, 1, 2)  # channels-last in memory
    y = x.sum((0, 2, 3), keepdim=keepdim)
    assert len(taken) == 1
    expected = values.sum((0, 1, 2)).reshape((1, 3, 1, 1) if keepdim else 3)
    np.testing.assert_allclose(y.cpu().numpy(), expected, rtol=1e-5, atol=1e-6)
    x.sum((0, 1, 2))
    assert len(taken) == 1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(7,), (3, 4, 5), (3000,), (0,)])
def test_sum_squares(
    cupy: Any, rng: np.random.Generator, shape: tuple[int, ...], dtype: str
) -> None:
    """Of two-byte floats the sum is float32: it would overflow."""
    x = rng.normal(0, 200, shape).astype(dtype_of(dtype))
    total = pick("sum_squares", cupy.empty(1))(cupy.asarray(x).T)
    assert total.shape == ()
    assert total.dtype == (np.float64 if dtype == "float64" else np.float32)
    np.testing.assert_allclose(total.get(), (x.astype(np.float64) ** 2).sum(), rtol=1e-5)
