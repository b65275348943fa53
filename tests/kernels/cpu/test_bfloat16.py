"""bfloat16 in compiled kernels: what float32 makes of the same numbers, rounded once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
import pytest

from minigrad.backend import use_kernels
from minigrad.kernels import pick
from minigrad.kernels.formulas.mlp import Weights

ml_dtypes = pytest.importorskip("ml_dtypes")
BFLOAT16, FLOAT32 = np.dtype(ml_dtypes.bfloat16), np.dtype(np.float32)


def draw(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape).astype(BFLOAT16)


def wide(value: Any) -> Any:
    if isinstance(value, tuple) and hasattr(value, "_make"):
        return value._make(map(wide, value))
    is_array = isinstance(value, np.ndarray) and value.dtype == BFLOAT16
    return value.astype(FLOAT32) if is_array else value


def both(name: str, *args: Any) -> tuple[list[Any], list[Any]]:
    """Return the arrays that the compiled kernel makes, and the formula's in float32."""
    results = []
    for choice, change in (("fast", lambda a: a), ("reference", wide)):
        with use_kernels(choice):
            found = pick(name, args[0])(*map(change, args))
            results.append(list(found) if isinstance(found, tuple) else [found])
    return results[0], results[1]


def check(name: str, *args: Any) -> None:
    for a, b in zip(*both(name, *args), strict=True):
        assert a.dtype == BFLOAT16
        near = 2.0**-8 * np.abs(b) + 2e-6 * np.abs(b).max()  # half a unit, and float32's order
        assert (np.abs(a.astype(FLOAT32) - b) <= near).all(), name


def test_every_number_is_widened_and_narrowed_as_ml_dtypes_does() -> None:
    every = np.arange(1 << 16, dtype=np.uint16)
    x = every.view(BFLOAT16)
    y = pick("cast", x)(x, FLOAT32)
    np.testing.assert_array_equal(y, x.astype(FLOAT32))
    for lower in (0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF):  # around and on the ties
        y = (every.astype(np.uint32) << 16 | lower).view(FLOAT32)
        with np.errstate(invalid="ignore"):
            exact, found = y.astype(BFLOAT16), pick("cast", y)(y, BFLOAT16)
        known = ~np.isnan(y)
        np.testing.assert_array_equal(found.view(np.uint16)[known], exact.view(np.uint16)[known])
        assert np.isnan(found[~known].astype(FLOAT32)).all()


def test_casts_keep_the_order_in_memory() -> None:
    x = draw(5, 40, 30).transpose(0, 2, 1)
    y = pick("cast", x)(x, FLOAT32)
    assert y.strides == tuple(2 * s for s in x.strides)
    np.testing.assert_array_equal(y, x.astype(FLOAT32))


@pytest.mark.parametrize("channels", [20, 33])
def test_depthwise_convolution(channels: int) -> None:
    x = np.moveaxis(draw(2, 9, 18, channels), -1, 1)
    steps = ([1, 1], [(3, 3), (2, 3)], [1, 1], channels)
    w = draw(channels, 1, 7, 7, seed=1)
    check("depthwise_conv", x, w, draw(channels, seed=2), *steps)
    g = np.moveaxis(draw(2, 9, 17, channels, seed=3), -1, 1)
    check("depthwise_conv_input_grad", g, w, (9, 18), *steps)
    check("depthwise_conv_weight_grad", g, x, (7, 7), *steps)


def test_other_kernels_are_given_float32() -> None:
    x, y, b = draw(40, 24), draw(24, 70, seed=1), draw(24, seed=2)
    check("matmul", x, y)
    check("layer_norm", x, b, None, 1e-6)
    check("gelu", x)
    image, w = draw(2, 3, 8, 8), draw(24, 3, 4, 4, seed=1)
    check("conv", image, w, b, [4, 4], [(0, 0), (0, 0)], [1, 1], 1)


def weights(channels: int, grn: bool, change: Callable[[Any], Any]) -> Weights:
    row, wide_row = (channels,), (4 * channels,)
    shapes = [row, row, wide_row + row, wide_row, row + wide_row, row]
    shapes += [wide_row, wide_row] if grn else [row]
    values = [change(draw(*shape, seed=i) * 0.3) for i, shape in enumerate(shapes)]
    return Weights(*values[:6], *([None, *values[6:]] if grn else values[6:]))


@pytest.mark.parametrize("grn", [False, True])
@pytest.mark.parametrize("dtype", [BFLOAT16, FLOAT32])
def test_pointwise_half_beside_weights_of_either_type(grn: bool, dtype: Any) -> None:
    p = weights(16, grn, lambda a: a.astype(dtype))
    x, skip = draw(2, 5, 4, 16), draw(2, 5, 4, 16, seed=9).astype(dtype)
    mlp, mlp_vjp = pick("mlp", x), pick("mlp_vjp", x)
    y, saved = mlp(x, skip, p)
    gx, gp = mlp_vjp(skip, x, p, saved)
    assert saved.hidden.dtype == BFLOAT16
    assert (y.dtype, gx.dtype) == (dtype, BFLOAT16)
    with use_kernels("reference"):
        exact, _ = pick("mlp", x)(wide(x), wide(skip), wide(p))
        slope, slopes = pick("mlp_vjp", x)(wide(skip), wide(x), wide(p))
    pairs = [(y, exact), (gx, slope), *zip(gp, slopes, strict=True)]
    for a, b in pairs:
        assert (a is None) == (b is None)
        if a is not None:
            assert np.abs(a.astype(FLOAT32) - b).max() <= 0.01 * np.abs(b).max()
    assert {a.dtype for a in gp if a is not None} == {dtype}


def test_threads_change_no_bit() -> None:
    x, w = np.moveaxis(draw(2, 9, 18, 33), -1, 1), draw(33, 1, 7, 7)
    steps = ([1, 1], [(3, 3), (3, 3)], [1, 1], 33)
    results = []
    before = numba.get_num_threads()
    try:
        for threads in (1, min(2, before)):
            numba.set_num_threads(threads)
            y = pick("depthwise_conv", x)(x, w, None, *steps)
            slope = pick("depthwise_conv_weight_grad", x)(y, x, (7, 7), *steps)
            rows, p = draw(3, 300, 32), weights(32, True, lambda a: a)
            z, saved = pick("mlp", x)(rows, rows, p)
            few, _ = pick("mlp", x)(rows[:, :50], rows[:, :50], p, keep=False)
            gx, gp = pick("mlp_vjp", x)(z, rows, p, saved)
            product = pick("matmul", x)(rows[0], p.w1.T)
            found = [y, slope, z, few, gx, *(v for v in gp if v is not None), product]
            results.append([a.view(np.uint16) for a in found])
    finally:
        numba.set_num_threads(before)
    for one, two in zip(*results, strict=True):
        np.testing.assert_array_equal(one, two)
