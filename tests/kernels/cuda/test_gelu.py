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
