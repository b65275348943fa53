from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.kernels import pick
from minigrad.kernels.cuda.arrays import flat, in_memory_order, vector
from tests.kernels.cuda.tools import formula


def test_vectors_fit_rows_and_addresses(cupy: Any) -> None:
    x = cupy.zeros((4, 24), "float32")
    half = cupy.zeros((4, 24), "float16")
    assert vector(24, x) == 4
    assert vector(24, half) == 8
    assert vector(24, half, x, None) == 8  # float32 in two packs
    assert vector(6, x) == 2
    assert vector(7, x) == 1
    assert vector(24, x.reshape(-1)[2:]) == 2  # 8 bytes behind a multiple of 16
    assert vector(24, x.reshape(-1)[1:]) == 1
    assert vector(24, half, x.reshape(-1)[2:]) == 2


def test_a_kernel_on_memory_that_starts_anywhere(cupy: Any, rng: np.random.Generator) -> None:
    values = rng.normal(0, 1, 64).astype(np.float32)
    for start in range(4):
        y = pick("gelu", cupy.empty(1))(cupy.asarray(values)[start : start + 40])
        np.testing.assert_allclose(
            y.get(), formula("gelu")(values[start : start + 40]), rtol=1e-5, atol=1e-6
        )


def test_arrays_in_the_order_of_the_first(cupy: Any) -> None:
    x = cupy.zeros((2, 3, 4)).transpose(0, 2, 1)
    views = in_memory_order(x, x)
    assert views is not None
    assert [v.shape for v in views] == [(2, 3, 4)] * 2
    assert in_memory_order(x, cupy.zeros((2, 4, 3))) is None
    assert in_memory_order(x[:, ::2]) is None
    result, y, *rows = flat(x, cupy.zeros((2, 4, 3)))
    assert result.shape == x.shape
    assert all(r.flags.c_contiguous and r.shape == (2, 3, 4) for r in (y, *rows))
