from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minigrad.kernels.arrays.conv import out_size
from minigrad.kernels.cuda import conv
from tests.kernels.cuda.tools import DTYPES, assert_formula

# x (N, C, *size), outputs, kernel, stride, padding, dilation, groups
CASES = {
    "patches": ((3, 4, 8, 12), 6, (4, 4), (4, 4), ((0, 0), (0, 0)), (1, 1), 1),
    "patches, pixels left over": ((2, 3, 9, 7), 5, (2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1), 1),
    "patches apart": ((2, 3, 9, 10), 5, (2, 1), (3, 2), ((0, 0), (0, 0)), (1, 1), 1),
    "pointwise": ((2, 6, 5, 4), 7, (1, 1), (1, 1), ((0, 0), (0, 0)), (1, 1), 1),
    "overlapping": ((3, 4, 7, 6), 5, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 1),
    "too much padding": ((1, 2, 5, 5), 3, (2, 2), (1, 1), ((2, 2), (0, 3)), (1, 1), 1),
    "stride, dilation": ((2, 3, 11, 9), 4, (3, 2), (2, 2), ((1, 2), (0, 1)), (2, 1), 1),
    "groups": ((2, 4, 6, 6), 6, (3, 3), (1, 1), ((1, 1), (1, 1)), (1, 1), 2),
    "signal": ((2, 3, 12), 5, (4,), (4,), ((0, 0),), (1,), 1),
    "volume": ((1, 2, 4, 6, 4), 3, (2, 2, 2), (2, 2, 2), ((0, 0),) * 3, (1, 1, 1), 1),
}


def check(cupy: Any, rng: np.random.Generator, case: str, dtype: str = "float32") -> None:
    shape, outputs, kernel, *geometry = CASES[case]
    stride, padding, dilation, groups = geometry
    x = np.moveaxis(rng.normal(0, 1, (shape[0], *shape[2:], shape[1])), -1, 1)
    w = rng.normal(0, 0.3, (outputs, shape[1] // groups, *kernel))
    out = out_size(shape[2:], kernel, stride, padding, dilation)
    g = rng.normal(0, 1, (shape[0], outputs, *out))
    assert_formula(cupy, "conv", [x, w, rng.normal(0, 1, outputs), *geometry], dtype, 2.0)
    assert_formula(cupy, "conv_input_grad", [g, w, shape[2:], *geometry], dtype, 2.0)
    assert_formula(cupy, "conv_weight_grad", [g, x, kernel, *geometry], dtype, 2.0)


@pytest.mark.parametrize("windows", [1 << 27, 1])
@pytest.mark.parametrize("case", CASES)
def test_values(
    cupy: Any,
    rng: np.random.Generator,
    monkeypatch: pytest.MonkeyPatch,
    case: str,
    windows: int,
) -> None:
    monkeypatch.setattr(conv, "WINDOWS", windows)
    check(cupy, rng, case)


@pytest.mark.parametrize("dtype", DTYPES[1:])
@pytest.mark.parametrize("case", ["patches", "overlapping"])
def test_element_types(cupy: Any, rng: np.random.Generator, case: str, dtype: str) -> None:
    check(cupy, rng, case, dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(5, 7), (3, 5, 7)])
def test_matmul(cupy: Any, rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> None:
    x, y = rng.normal(0, 1, shape), rng.normal(0, 0.5, (*shape[:-2], 7, 4))
    assert_formula(cupy, "matmul", [x, y], dtype, 2.0)
