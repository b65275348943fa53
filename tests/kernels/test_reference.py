"""Kernels run in blocks, in any layout and in half precision; each must equal its plain formula."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from minigrad.backend import use_kernels
from minigrad.kernels import pick
from minigrad.kernels.arrays import conv, depthwise_conv, running
from minigrad.kernels.arrays.running import BLOCK
from minigrad.kernels.arrays.separable import AxisMap
from minigrad.kernels.formulas import gelu
from minigrad.kernels.namespaces import NumPy
from minigrad.kernels.table import WAYS

rng = np.random.default_rng(0)
XP = NumPy(np)
ROWS = 2 * BLOCK // 48 + 7  # two blocks and a rest


def _random(*shape: int) -> Any:
    return rng.standard_normal(shape)


X, G, W, B = _random(ROWS, 48), _random(ROWS, 48), _random(48), _random(48)
X3, G3 = _random(5, ROWS // 4, 48), _random(5, ROWS // 4, 48)
Q = np.abs(_random(ROWS, 48))

CALLS: dict[str, tuple[Any, ...]] = {
    "layer_norm": (X, W, B, 1e-6),
    "layer_norm_vjp": (G, X, W, 1e-6),
    "group_norm": (X3, W, B, 4, 1e-5),
    "group_norm_vjp": (G3, X3, W, 4, 1e-5),
    "batch_norm": (X, W, B, 1e-5),
    "batch_norm_vjp": (G, X, W, 1e-5),
    "grn": (X3, W, B, 1e-6),
    "grn_vjp": (G3, X3, W, 1e-6),
    "gelu": (X,),
    "gelu_vjp": (G, X),
    "gelu_tanh": (X,),
    "gelu_tanh_vjp": (G, X),
    "erf": (X,),
    "cross_entropy": (X, Q),
    "cross_entropy_vjp": (G[:, :1], X, Q),
    "softmax": (X, 1),
    "log_softmax": (X, 1),
}


@pytest.fixture(autouse=True)
def _reference() -> Iterator[None]:
    """Let `pick` give the formulas where compiled versions are installed too."""
    with use_kernels("reference"):
        yield


def _formula(name: str) -> Any:
    """Return the formula without blocks and casts."""
    function = pick(name, X).func  # type: ignore[attr-defined]
    while hasattr(function, "__wrapped__"):
        function = function.__wrapped__
    return function


def _tuple(result: Any) -> tuple[Any, ...]:
    return result if isinstance(result, tuple) else (result,)


def _cast(value: Any, dtype: Any) -> Any:
    return value.astype(dtype) if isinstance(value, np.ndarray) else value


def test_every_kernel_that_runs_in_pieces_is_called() -> None:
    in_their_own_tests = {"matmul", "mlp", "mlp_vjp"}
    assert WAYS.keys() - in_their_own_tests <= CALLS.keys()


@pytest.mark.parametrize("name", CALLS)
def test_blocks_equal_the_formula(name: str) -> None:
    whole = _tuple(_formula(name)(XP, *CALLS[name]))
    blocks = _tuple(pick(name, X)(*CALLS[name]))
    for a, b in zip(blocks, whole, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-5), ("float16", 4e-3)])
def test_precision(name: str, dtype: str, tolerance: float) -> None:
    narrow = [_cast(a, dtype) for a in CALLS[name]]
    exact = _tuple(_formula(name)(XP, *(_cast(a, "float64") for a in narrow)))
    for a, b in zip(_tuple(pick(name, X)(*narrow)), exact, strict=True):
        assert a.dtype == dtype
        np.testing.assert_allclose(a, b, atol=tolerance * np.abs(b).max())


@pytest.mark.parametrize("name", CALLS)
def test_layout_does_not_matter(name: str) -> None:
    expected = _tuple(pick(name, X)(*CALLS[name]))
    for turn in (lambda a: np.asfortranarray(a), lambda a: np.repeat(a, 2, axis=-1)[..., ::2]):
        args = [turn(a) if isinstance(a, np.ndarray) else a for a in CALLS[name]]
        for a, b in zip(_tuple(pick(name, X)(*args)), expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


def test_elements_that_broadcast_equal_the_formula() -> None:
    angle = running.elements(lambda xp, x, y: xp.arctan2(x, y))
    for other in (G, G[:1], G[:, :1], 2.0):
        np.testing.assert_array_equal(angle(XP, X, other), np.arctan2(X, other))


@pytest.mark.parametrize("name", ["layer_norm", "gelu", "grn", "cross_entropy", "group_norm"])
def test_empty_batch(name: str) -> None:
    x, *rest = CALLS[name]
    rest = [r[:0] if name == "cross_entropy" else r for r in rest]
    assert pick(name, x)(x[:0], *rest).shape[0] == 0


def test_erf_is_exact() -> None:
    z = np.concatenate([np.linspace(-7, 7, 20001), [0.0, 1e-300, -1e-9, np.inf, -np.inf]])
    exact = np.array([math.erf(v) for v in z])
    np.testing.assert_allclose(gelu.erf(XP, z), exact, rtol=1e-15, atol=1e-16)
    single = gelu.erf(XP, z.astype("float32"))
    exact = np.array([math.erf(v) for v in z.astype("float32")])
    error = np.abs(single - exact) / np.maximum(np.spacing(np.abs(exact).astype("float32")), 1e-40)
    assert error.max() < 4.0
    assert np.isnan(gelu.erf(XP, np.array([np.nan]))).all()


@pytest.mark.parametrize("kernel", [(7, 7), (3,), (2, 3, 4)])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("n", [1, 5, 80])
def test_depthwise_equals_the_general_convolution(
    kernel: tuple[int, ...], stride: int, n: int
) -> None:
    size = tuple(k + 9 for k in kernel)
    geometry = ((stride,) * len(kernel), ((3, 1),) * len(kernel), (1,) * len(kernel), 6)
    x, w, b = _random(n, 6, *size), _random(6, 1, *kernel), _random(6)
    y = conv.conv(XP, x, w, b, *geometry)
    np.testing.assert_allclose(depthwise_conv.depthwise_conv(XP, x, w, b, *geometry), y, atol=1e-10)
    g = _random(*y.shape)
    np.testing.assert_allclose(
        depthwise_conv.depthwise_conv_input_grad(XP, g, w, size, *geometry),
        conv.conv_input_grad(XP, g, w, size, *geometry),
        atol=1e-10,
    )
    np.testing.assert_allclose(
        depthwise_conv.depthwise_conv_weight_grad(XP, g, x, kernel, *geometry),
        conv.conv_weight_grad(XP, g, x, kernel, *geometry),
        atol=1e-8,
    )


def test_convolution_in_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    geometry = ((2, 1), ((1, 1), (2, 0)), (1, 2), 2)
    x, w = _random(3, 4, 11, 9), _random(6, 2, 3, 3)
    y = conv.conv(XP, x, w, None, *geometry)
    g = _random(*y.shape)
    whole = (
        y,
        conv.conv_input_grad(XP, g, w, (11, 9), *geometry),
        conv.conv_weight_grad(XP, g, x, (3, 3), *geometry),
    )
    for elements in (1, 400, 5000):
        monkeypatch.setattr(conv, "COLUMNS", elements)
        tiled = (
            conv.conv(XP, x, w, None, *geometry),
            conv.conv_input_grad(XP, g, w, (11, 9), *geometry),
            conv.conv_weight_grad(XP, g, x, (3, 3), *geometry),
        )
        for a, b in zip(tiled, whole, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-12)


def test_bands_equal_the_matrix() -> None:
    matrix = np.zeros((150, 300))
    for i in range(149):  # the last row stays empty
        matrix[i, 2 * i : 2 * i + 3] = _random(3)[: 300 - 2 * i]
    for axis_map in (AxisMap(matrix), AxisMap(matrix).T):
        x = _random(2, axis_map.matrix.shape[1], 3)
        np.testing.assert_allclose(axis_map(XP, x, 1), axis_map.matrix @ x, atol=1e-12)
        flat = _random(4, axis_map.matrix.shape[1])
        np.testing.assert_allclose(axis_map(XP, flat, 1), flat @ axis_map.matrix.T, atol=1e-12)
