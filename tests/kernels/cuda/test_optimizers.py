"""Kernels that change arrays in place."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minigrad.kernels import is_compiled, pick
from tests.kernels.cuda.tools import DTYPES, TOLERANCE, assert_close, dtype_of, formula, upload

NUMBERS = (1e-2, 0.3, 0.9, 0.99, 1e-8, 0.999, 0.1)


def check(
    cupy: Any, name: str, arrays: list[Any], changed: list[int], numbers: Any, dtype: str
) -> None:
    """Compare what becomes of the `changed` arrays."""
    rounded = [np.asarray(a).astype(dtype_of(dtype)) for a in arrays]
    exact = [a.astype(np.float64) for a in rounded]
    device = [upload(cupy, a) for a in rounded]
    one = cupy.empty(1)
    assert is_compiled(name, one)
    if name == "adam_flat":
        formula(name)(*exact, np.array(numbers))
        pick(name, one)(*device, cupy.asarray(np.array(numbers)))
    else:
        formula(name)(*exact, *numbers)
        pick(name, one)(*device, *numbers)
    for i in range(len(arrays)):
        if i in changed:
            assert_close(device[i], exact[i], TOLERANCE[dtype], dtype)
        else:
            assert device[i].get().tobytes() == rounded[i].tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["adam", "adam_flat"])
@pytest.mark.parametrize("shape", [(5, 7), (3, 4, 8), (700,), ()])
def test_adam(
    cupy: Any, rng: np.random.Generator, shape: tuple[int, ...], name: str, dtype: str
) -> None:
    p, g, m = rng.normal(0, 1, (3, *shape))
    check(cupy, name, [p, g, m, rng.random(shape)], [0, 2, 3], NUMBERS, dtype)


def test_the_rest_to_one_is_not_taken_in_float32(cupy: Any) -> None:
    """1 - 0.9999 has four digits there."""
    arrays = [np.zeros(4), np.full(4, 3.0), np.zeros(4), np.zeros(4)]
    for name in ("adam", "adam_flat"):
        v = cupy.asarray(np.zeros(4, np.float32))
        device = [*(cupy.asarray(a.astype(np.float32)) for a in arrays[:3]), v]
        numbers = (0.0, 1.0, 0.9, 0.9999, 1e-8, 1.0, 0.0)
        last = (cupy.asarray(np.array(numbers)),) if name == "adam_flat" else numbers
        pick(name, v)(*device, *last)
        np.testing.assert_allclose(v.get(), 9e-4, rtol=3e-7)


def test_parameters_in_another_order_of_axes(cupy: Any, rng: np.random.Generator) -> None:
    arrays = [a.transpose(0, 2, 1) for a in rng.random((4, 2, 3, 4))]
    check(cupy, "adam", arrays, [0, 2, 3], NUMBERS, "float32")
    arrays[1] = np.ascontiguousarray(arrays[1])  # the gradient lies differently
    check(cupy, "adam", arrays, [0, 2, 3], NUMBERS, "float32")


def test_lists(cupy: Any, rng: np.random.Generator) -> None:
    lists = [[rng.random(5), rng.random((2, 3))] for _ in range(4)]
    device = [[cupy.asarray(a.astype(np.float32)) for a in arrays] for arrays in lists]
    formula("adam_many")(*lists, *NUMBERS)
    pick("adam_many", cupy.empty(1))(*device, *NUMBERS)
    for got, expected in zip(device, lists, strict=True):
        for g, e in zip(got, expected, strict=True):
            assert_close(g, e, TOLERANCE["float32"], "float32")


@pytest.mark.parametrize("dtype", DTYPES)
def test_ema(cupy: Any, rng: np.random.Generator, dtype: str) -> None:
    check(cupy, "ema", list(rng.normal(0, 1, (2, 9, 31))), [0], (0.9,), dtype)
