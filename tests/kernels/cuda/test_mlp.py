from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minigrad.kernels import pick
from minigrad.kernels.formulas.mlp import Weights
from tests.kernels.cuda.tools import (
    DTYPES,
    TOLERANCE,
    assert_close,
    assert_formula,
    dtype_of,
    formula,
    upload,
)


def parameters(rng: np.random.Generator, channels: int, version: str) -> Weights:
    hidden = 4 * channels
    made = [
        *rng.normal(1, 0.5, (2, channels)), rng.normal(0, channels**-0.5, (hidden, channels)),
        rng.normal(0, 0.5, hidden), rng.normal(0, hidden**-0.5, (channels, hidden)),
        rng.normal(0, 0.5, channels),
    ]  # fmt: skip
    scale = rng.normal(1, 0.3, channels) if version == "V1" else None
    gamma, beta = rng.normal(0, 1, (2, hidden)) if version == "V2" else (None, None)
    return Weights(*made, scale, gamma, beta)


def check(cupy: Any, rng: np.random.Generator, shape: Any, version: str, dropping: bool) -> None:
    x, skip, g = rng.normal(0, 1, (3, *shape))
    p = parameters(rng, shape[-1], version)
    factor = np.array([1.25, 0.0, 1.25])[: len(x)] if dropping else None
    assert_formula(cupy, "mlp", [x, skip, p, factor, 1e-6, 1e-6, False], tolerance=2.0)
    assert_formula(cupy, "mlp_vjp", [g, x, p, None, factor, 1e-6, 1e-6], tolerance=5.0)


@pytest.mark.parametrize("dropping", [True, False])
@pytest.mark.parametrize("version", ["V1", "V2", "neither"])
@pytest.mark.parametrize("shape", [(3, 5, 7, 12), (2, 9, 8)])
def test_values(
    cupy: Any, rng: np.random.Generator, shape: tuple[int, ...], version: str, dropping: bool
) -> None:
    check(cupy, rng, shape, version, dropping)


@pytest.mark.parametrize("wide_skip", [True, False])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("version", ["V1", "V2"])
def test_what_forward_keeps_serves_backward(
    cupy: Any, rng: np.random.Generator, version: str, dtype: str, wide_skip: bool
) -> None:
    """Also with a float32 skip connection and parameters beside values of two bytes."""
    narrow = dtype_of(dtype)
    kept = np.dtype("float32") if narrow.itemsize == 2 else narrow
    outside = kept if wide_skip else narrow
    x = rng.normal(0, 1, (2, 4, 4, 8)).astype(narrow)
    skip, g = (a.astype(outside) for a in rng.normal(0, 1, (2, 2, 4, 4, 8)))
    p = Weights(*(None if a is None else a.astype(kept) for a in parameters(rng, 8, version)))
    factor = np.array([1.25, 2.5], outside)
    wide = [a.astype(np.float64) for a in (x, skip, g, factor)]
    wide_p = Weights(*(None if a is None else a.astype(np.float64) for a in p))
    one, device = cupy.empty(1), [upload(cupy, a) for a in (x, skip, g, factor)]
    device_p = Weights(*(upload(cupy, a) for a in p))

    y, saved = pick("mlp", one)(device[0], device[1], device_p, device[3])
    gx, gp = pick("mlp_vjp", one)(device[2], device[0], device_p, saved, device[3])

    y_expected, _ = formula("mlp")(wide[0], wide[1], wide_p, wide[3])
    gx_expected, gp_expected = formula("mlp_vjp")(wide[2], wide[0], wide_p, None, wide[3])
    tolerance = 5 * TOLERANCE[dtype]
    assert_close(y, y_expected, tolerance, outside.name)
    assert_close(gx, gx_expected, tolerance, dtype)
    assert_close(gp, gp_expected, tolerance, kept.name)
