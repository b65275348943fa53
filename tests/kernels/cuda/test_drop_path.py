from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.kernels.cuda.tools import DTYPES, assert_formula


def check(
    cupy: Any, rng: np.random.Generator, mask: Any, channels_last: bool, dtype: str = "float32"
) -> None:
    x = rng.normal(0, 1, (4, 3, 5, 2))
    if channels_last:
        x = np.moveaxis(rng.normal(0, 1, (4, 5, 2, 3)), -1, 1)
    assert_formula(cupy, "scale_by_mask", [x, rng.random(mask) < 0.7, 1.25], dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("mask", [(4, 1, 1, 1), (4, 3, 5, 2), (1, 3, 1, 1)])
@pytest.mark.parametrize("channels_last", [True, False])
def test_values(
    cupy: Any, rng: np.random.Generator, mask: Any, channels_last: bool, dtype: str
) -> None:
    check(cupy, rng, mask, channels_last, dtype)
