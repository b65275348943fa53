"""Every compiled kernel equals its formula: float64 to 1e-12, float32 to 1e-5, in any layout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import mock

import numba
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minigrad import kernels
from minigrad.backend import use_kernels
from minigrad.kernels import pick
from minigrad.kernels.cpu import conv
from minigrad.kernels.formulas.mlp import Weights
from minigrad.ops.neural import pool, resize

DTYPES = ("float32", "float64")
LAYOUTS: dict[str, Callable[[Any], Any]] = {
    "contiguous": lambda a: a,
    "transposed": lambda a: a.T.copy().T,
    "strided": lambda a: np.repeat(a, 2, axis=-1)[..., ::2],
    "reversed": lambda a: a[..., ::-1].copy()[..., ::-1],
}


def flatten(result: Any) -> list[Any]:
    if isinstance(result, (tuple, list)):
        return [a for part in result for a in flatten(part)]
    return [] if result is None else [result]


def both(name: str, *args: Any) -> tuple[list[Any], list[Any]]:
    """Return what the compiled kernel and the formula make of the arguments."""
    results = []
    for choice in ("fast", "reference"):
        with use_kernels(choice):
            x = next(a for a in args if isinstance(a, np.ndarray))
            assert kernels.is_compiled(name, x) == (choice == "fast")
            results.append(flatten(pick(name, x)(*args)))
    return results[0], results[1]


def assert_equal(fast: list[Any], formula: list[Any], scale: float = 1.0) -> None:
    assert len(fast) == len(formula)
    for a, b in zip(fast, formula, strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        tolerance = {"float32": 1e-5, "float64": 1e-12, "int64": 0.0}[str(b.dtype)] * scale
        largest = np.abs(b[np.isfinite(b)]).max(initial=0.0)
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance * largest)


def check(name: str, *args: Any, scale: float = 1.0) -> None:
    assert_equal(*both(name, *args), scale=scale)


# ---- rows and elements ------------------------------------------------------------------------


def rows(shape: tuple[int, ...], seed: int = 0) -> dict[str, tuple[Any, ...]]:
    """Return arguments for every kernel that works on rows of the last axis."""
    rng = np.random.default_rng(seed)
    x, g = rng.standard_normal((2, *shape)) * 2.0
    w, b = rng.standard_normal((2, shape[-1]))
    q = np.abs(rng.standard_normal(shape))
    calls: dict[str, tuple[Any, ...]] = {
        "layer_norm": (x, w, b, 1e-6),
        "layer_norm_vjp": (g, x, w, 1e-6),
        "gelu": (x,),
        "gelu_vjp": (g, x),
        "relu": (x,),
        "relu_vjp": (g, x),
        "softmax": (x, -1),
        "log_softmax": (x, 0),
        "softmax_vjp": (g, q, -1),
        "log_softmax_vjp": (g, x, 0),
    }
    if len(shape) == 2:
        calls |= {"cross_entropy": (x, q), "cross_entropy_vjp": (g[:, :1], x, q)}
    if len(shape) == 3:
        calls |= {"grn": (x, w, b, 1e-6), "grn_vjp": (g, x, w, 1e-6)}
    if x.size > shape[-1]:
        calls |= {"batch_norm": (x, w, b, 1e-5), "batch_norm_vjp": (g, x, w, 1e-5)}
    return calls


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(3, 70, 50), (130, 17), (1, 5), (2, 3, 5, 16)], ids=str)
def test_rows(shape: tuple[int, ...], layout: str, dtype: str) -> None:
    change = LAYOUTS[layout]
    for name, args in rows(shape).items():
        args = tuple(change(a).astype(dtype) if hasattr(a, "shape") else a for a in args)
        check(name, *args)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(0, 4, 8), (0, 8)], ids=str)
def test_no_rows(shape: tuple[int, ...], dtype: str) -> None:
    for name, args in rows(shape).items():
        if name not in ("log_softmax", "log_softmax_vjp"):  # along an axis of length 0
            check(name, *(a.astype(dtype) if hasattr(a, "shape") else a for a in args))


def test_missing_parameters() -> None:
    x, g = np.random.default_rng(0).standard_normal((2, 6, 20))
    check("layer_norm", x, None, None, 1e-6)
    check("layer_norm_vjp", g, x, None, 1e-6)
    check("batch_norm", x, None, None, 1e-5)
    check("batch_norm_vjp", g, x, None, 1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_dead_channel_of_grn_has_gradients(dtype: str) -> None:
    name, args = "grn_vjp", rows((2, 9, 20))["grn_vjp"]
    g, x, w = (a.astype(dtype) for a in args[:3])
    x[:, :, 3] = 0
    check(name, g, x, w, 1e-6)
    check(name, g, np.zeros_like(x), w, 1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_special_values(dtype: str) -> None:
    x = np.array([[0.0, -0.0, 1.0, np.inf, -np.inf, np.nan, 1e30, -1e30]], dtype)
    check("gelu", x[:, :4])
    for name, args in (
        ("gelu", (x,)),
        ("softmax", (x[:, 4:], -1)),
        ("layer_norm", (x, None, None, 0.0)),
    ):
        with np.errstate(all="ignore"):
            fast, formula = both(name, *args)
        np.testing.assert_array_equal(np.isnan(fast[0]), np.isnan(formula[0]))
    masked = np.array([[1.0, -np.inf, 2.0]], dtype)
    check("cross_entropy", masked, np.array([[0.5, 0.0, 0.5]], dtype))
    check("softmax", masked, -1)


def test_other_element_types_take_the_formula() -> None:
    x = np.linspace(-2, 2, 12).astype(np.float16).reshape(3, 4)
    with use_kernels("fast"):
        assert pick("gelu", x)(x).dtype == np.float16
        assert pick("layer_norm", x)(x, None, None, 1e-5).dtype == np.float16
    check_half = both("softmax", x, -1)
    np.testing.assert_array_equal(*check_half[0], *check_half[1])


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("size", [0, 1, 1000, 40_000])
def test_adam(size: int, dtype: str) -> None:
    rng = np.random.default_rng(0)
    p, g, m, v = (rng.standard_normal((4, size)) ** 2).astype(dtype)
    numbers = (1e-3, 0.5, 0.9, 0.999, 1e-8)
    for extra in ((1.0, 0.0), (0.99, 0.0), (1.0, 0.1)):
        results = []
        for choice in ("fast", "reference"):
            state = [a.copy() for a in (p, g, m, v)]
            with use_kernels(choice):
                assert pick("adam", p)(*state, *numbers, *extra) is None
            results.append(state)
        assert_equal(*results)


# ---- products ---------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", DTYPES)
@settings(max_examples=40, deadline=None)
@given(
    size=st.tuples(*[st.integers(1, 90)] * 3),
    large=st.booleans(),
    turned=st.tuples(st.booleans(), st.booleans()),
)
def test_matmul(
    size: tuple[int, int, int], large: bool, turned: tuple[bool, bool], dtype: str
) -> None:
    m, k, n = (8 * s if large and i else s for i, s in enumerate(size))
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((m, k)).astype(dtype), rng.standard_normal((k, n)).astype(dtype)
    x, y = (a.T.copy().T if t else a for a, t in zip((x, y), turned, strict=True))
    check("matmul", x, y)
    check("matmul", x[:, ::2], y[::2])


# ---- convolutions -----------------------------------------------------------------------------


@st.composite
def convolutions(draw: Any, depthwise: bool) -> dict[str, Any]:
    """Draw sizes; about half of the depthwise filters are seven wide, with stride 1."""
    dims = draw(st.integers(1, 3))
    seven = depthwise and draw(st.booleans())
    small = st.integers(1, 3)
    kernel = [draw(st.integers(1, 4)) for _ in range(dims)]
    stride, dilation = [draw(small) for _ in range(dims)], [draw(small) for _ in range(dims)]
    if seven:
        kernel, stride, dilation = [*kernel[:-1], 7], [1] * dims, [1] * dims
    padding = [(draw(st.integers(0, 4)), draw(st.integers(0, 4))) for _ in range(dims)]
    size = [
        max(1, d * (k - 1) + 1 - lo - hi) + draw(st.integers(0, 9 if dims == 3 else 18))
        for k, d, (lo, hi) in zip(kernel, dilation, padding, strict=True)
    ]
    channels = draw(st.sampled_from([1, 3, 8, 16, 20, 33]))
    return {
        "x": (draw(st.sampled_from([0, 1, 2])), channels, *size),
        "w": (channels, 1, *kernel) if depthwise else (draw(st.integers(1, 20)), channels, *kernel),
        "steps": (stride, padding, dilation, channels if depthwise else 1),
        "bias": draw(st.booleans()),
        "last": draw(st.booleans()),
        "dtype": draw(st.sampled_from(DTYPES)),
        "line": draw(st.sampled_from([1, conv.LINE])),
    }


def channels_last(x: Any) -> Any:
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


def check_convolution(name: str, case: dict[str, Any]) -> None:
    with mock.patch.object(conv, "LINE", case.get("line", conv.LINE)):  # short lines as well
        _check_convolution(name, case)


def _check_convolution(name: str, case: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal(case[key]).astype(case["dtype"]) for key in "xw")
    if case["last"]:
        x = channels_last(x)
    bias = rng.standard_normal(len(w)).astype(x.dtype) if case["bias"] else None
    fast, formula = both(name, x, w, bias, *case["steps"])
    assert_equal(fast, formula)
    g = rng.standard_normal(formula[0].shape).astype(x.dtype)
    check(f"{name}_input_grad", g, w, x.shape[2:], *case["steps"])
    check(f"{name}_weight_grad", g, x, w.shape[2:], *case["steps"], scale=3.0)


@settings(max_examples=60, deadline=None)
@given(case=convolutions(depthwise=True))
def test_depthwise_convolution(case: dict[str, Any]) -> None:
    check_convolution("depthwise_conv", case)


@settings(max_examples=60, deadline=None)
@given(case=convolutions(depthwise=False))
def test_convolution(case: dict[str, Any]) -> None:
    check_convolution("conv", case)


@pytest.mark.parametrize(("side", "channels"), [(56, 24), (14, 48), (7, 80)])
def test_sizes_of_convnext(side: int, channels: int) -> None:
    case = {
        "x": (2, channels, side, side), "w": (channels, 1, 7, 7), "bias": True, "last": True,
        "steps": ([1, 1], [(3, 3), (3, 3)], [1, 1], channels), "dtype": "float32",
    }  # fmt: skip
    check_convolution("depthwise_conv", case)
    case |= {"w": (40, channels, 2, 2), "steps": ([2, 2], [(0, 0), (0, 0)], [1, 1], 1)}
    if side % 2 == 0:
        check_convolution("conv", case)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("kernel", "stride"), [(4, 2), (3, 2), (5, 3)])
@pytest.mark.parametrize("channels", [3, 20])
def test_windows_that_overlap_by_lines(channels: int, kernel: int, stride: int, dtype: str) -> None:
    case = {
        "x": (2, channels, 10, 24), "w": (6, channels, kernel, kernel), "bias": False, "last": True,
        "steps": ([stride] * 2, [(1, 1)] * 2, [1, 1], 1), "dtype": dtype,
    }  # fmt: skip
    check_convolution("conv", case)


def test_few_results_of_a_large_weight() -> None:
    case = {
        "x": (1, 64, 6, 7), "w": (40, 64, 2, 2), "bias": True, "last": True,
        "steps": ([2, 2], [(1, 0), (0, 1)], [1, 1], 1), "dtype": "float32",
    }  # fmt: skip
    with mock.patch.object(conv, "NEAR_BYTES", 0):
        check_convolution("conv", case)


def test_groups_take_the_formula() -> None:
    case = {
        "x": (1, 6, 9), "w": (4, 3, 3), "bias": True, "last": False,
        "steps": ([1], [(1, 1)], [1], 2), "dtype": "float64",
    }  # fmt: skip
    check_convolution("conv", case)


# ---- pooling and interpolation ----------------------------------------------------------------


@st.composite
def images(draw: Any) -> Any:
    """Draw an image of one to three dimensions with ties, of any layout."""
    dims = draw(st.integers(1, 3))
    size = [draw(st.integers(3, 7 if dims == 3 else 12)) for _ in range(dims)]
    shape = (draw(st.sampled_from([0, 1, 3])), draw(st.sampled_from([1, 8, 70])), *size)
    x = np.round(2.0 * np.random.default_rng(0).standard_normal(shape)).astype(
        draw(st.sampled_from(DTYPES))
    )
    return LAYOUTS[draw(st.sampled_from(sorted(LAYOUTS)))](channels_last(x))


@settings(max_examples=40, deadline=None)
@given(x=images(), kernel=st.integers(1, 3), stride=st.integers(1, 3), adaptive=st.booleans())
def test_max_pooling(x: Any, kernel: int, stride: int, adaptive: bool) -> None:
    tables = tuple(
        pool._adaptive_table(n, kernel)
        if adaptive
        else pool._window_table(n, kernel, stride, kernel // 2, 1, False)
        for n in x.shape[2:]
    )
    check("max_pool", x, tables)
    with use_kernels("reference"):
        y, where = pick("max_pool", x)(x, tables)
    check("pool_gather", x, where)
    check("pool_scatter", y, where, x.shape[2:])


@pytest.mark.parametrize("dtype", DTYPES)
def test_max_pooling_of_special_values(dtype: str) -> None:
    row = [1.0, np.nan, 3.0, -np.inf, -np.inf, -np.inf, np.nan, np.nan, np.inf, 2.0, 2.0, np.inf]
    x = np.tile(np.array(row, dtype), (2, 9, 1))
    for one, two in zip(
        *both("max_pool", x, (pool._window_table(12, 3, 3, 0, 1, False),)), strict=True
    ):
        np.testing.assert_array_equal(one, two)


@settings(max_examples=40, deadline=None)
@given(x=images(), data=st.data())
def test_maps_along_axes(x: Any, data: Any) -> None:
    def draw(n: int) -> Any:
        out = data.draw(st.integers(1, 20), label="out")
        return data.draw(
            st.sampled_from([
                None,
                pool.adaptive_map(n, out),
                pool._average_map(n, 3, 2, 1, False, "pixels"),
                resize._nearest_map(n, out, n / out, False),
                resize._smooth_map(n, out, n / out, "bicubic", False),
            ])
        )  # fmt: skip

    maps = tuple(draw(n) for n in x.shape[2:])
    check("separable", x, maps)
    out = [n if m is None else len(m.matrix) for n, m in zip(x.shape[2:], maps, strict=True)]
    g = np.random.default_rng(0).standard_normal((*x.shape[:2], *out)).astype(x.dtype)
    check("separable", g, tuple(m and m.T for m in maps))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_bad_pixels_go_where_their_weights_are(bad: float) -> None:
    x = np.ones((1, 8, 6, 6), "f")
    x[0, 2, 1, 1], x[0, 2, 4, 4] = bad, -bad
    fast, formula = both("separable", x, (resize._smooth_map(6, 9, 6 / 9, "bicubic", False),) * 2)
    np.testing.assert_array_equal(np.isfinite(fast[0]), np.isfinite(formula[0]))


# ---- the pointwise half of the block ----------------------------------------------------------


def block(
    shape: tuple[int, ...], dtype: str, scale: bool, grn: bool, hidden: int | None = None
) -> tuple[Any, ...]:
    """Return x, skip, g, factor and parameters."""
    rng = np.random.default_rng(0)
    channels = shape[-1]
    hidden = hidden or 4 * channels

    def normal(*size: int) -> Any:
        return (rng.standard_normal(size) / np.sqrt(size[-1] if len(size) == 2 else 1)).astype(
            dtype
        )

    parameters = Weights(
        normal(channels) + 1, normal(channels), normal(hidden, channels), normal(hidden),
        normal(channels, hidden), normal(channels), normal(channels) if scale else None,
        normal(hidden) if grn else None, normal(hidden) if grn else None,
    )  # fmt: skip
    x, skip, g = rng.standard_normal((3, *shape)).astype(dtype)
    factor = np.round(rng.random(shape[0])).astype(dtype) * dtype_of(dtype)(1.25)
    return x, skip, g, factor, parameters


def dtype_of(name: str) -> Any:
    return np.dtype(name).type


SHAPES = [
    (2, 5, 5, 8),
    (1, 7, 16),
    (3, 30, 40),
    (1, 49, 100),
    (2, 8, 40, 24),
    (2, 282, 96),
    (2, 285, 96),
    (0, 4, 16),
    (1, 1, 16),
    (5, 3, 16),  # two samples in a tile, one in the last
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("grn", [False, True])
@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_block(shape: tuple[int, ...], scale: bool, grn: bool, dtype: str) -> None:
    x, skip, g, factor, p = block(shape, dtype, scale, grn)
    check_block(x, skip, g, p, factor)
    check_block(x, skip, g, p, None)


@pytest.mark.slow
@pytest.mark.parametrize("grn", [False, True])
@pytest.mark.parametrize("shape", [(2, 56, 56, 96), (2, 14, 14, 384), (3, 7, 7, 768)], ids=str)
def test_block_of_convnext_tiny(shape: tuple[int, ...], grn: bool) -> None:
    x, skip, g, factor, p = block(shape, "float32", not grn, grn)
    check_block(x, skip, g, p, factor)


def test_block_with_another_width_and_layout() -> None:
    x, skip, g, factor, p = block((2, 6, 6, 20), "float64", True, False, hidden=33)
    turned = p._replace(w1=p.w1.T.copy().T, w2=p.w2.T.copy().T)
    check_block(x.swapaxes(1, 2), skip.swapaxes(1, 2), g.swapaxes(1, 2), turned, factor)


def check_block(x: Any, skip: Any, g: Any, p: Weights, factor: Any) -> None:
    with use_kernels("reference"):
        y, _ = pick("mlp", x)(x, skip, p, factor)
        gradients = flatten(pick("mlp_vjp", x)(g, x, p, None, factor))
    with use_kernels("fast"):
        for keep in (True, False):
            z, saved = pick("mlp", x)(x, skip, p, factor, keep=keep)
            assert_equal([z], [y])
            for kept in (saved, None):
                fast = flatten(pick("mlp_vjp", x)(g, x, p, kept, factor))
                assert_equal(fast, gradients, scale=3.0)


# ---- threads ----------------------------------------------------------------------------------


def with_threads(count: int, name: str, *args: Any) -> list[Any]:
    before = numba.get_num_threads()
    numba.set_num_threads(count)
    try:
        return flatten(pick(name, next(a for a in args if isinstance(a, np.ndarray)))(*args))
    finally:
        numba.set_num_threads(before)


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one core")
def test_results_do_not_depend_on_threads() -> None:
    rng = np.random.default_rng(0)
    x = channels_last(rng.standard_normal((3, 48, 30, 22)).astype("f"))
    steps = ([1, 1], [(3, 3), (3, 3)], [1, 1])
    w, patch = rng.standard_normal((48, 1, 7, 7)), rng.standard_normal((40, 48, 2, 2))
    calls = {
        "depthwise_conv": (x, w.astype("f"), None, *steps, 48),
        "depthwise_conv_input_grad": (x, w.astype("f"), (30, 22), *steps, 48),
        "depthwise_conv_weight_grad": (x, x, (7, 7), *steps, 48),
        "conv": (x, patch.astype("f"), None, [2, 2], [(0, 0)] * 2, [1, 1], 1),
        "conv_weight_grad": (x[:, :40, :15, :11], x, (2, 2), [2, 2], [(0, 0)] * 2, [1, 1], 1),
        "matmul": (x.reshape(48, -1), x.reshape(-1, 48)),
        "max_pool": (x, (pool._adaptive_table(30, 7), pool._adaptive_table(22, 7))),
        "pool_scatter": (x, np.zeros(x.shape, np.int64), (5, 5)),
        "separable": (x, (pool.adaptive_map(30, 7), pool.adaptive_map(22, 40))),
    }
    for shape in ((500, 90), (6, 90, 40)):
        calls |= {
            name: tuple(a.astype("f") if hasattr(a, "shape") else a for a in args)
            for name, args in rows(shape).items()
        }
    with use_kernels("fast"):
        for name, args in calls.items():
            for one, two in zip(
                with_threads(1, name, *args), with_threads(2, name, *args), strict=True
            ):
                np.testing.assert_array_equal(one, two, err_msg=name)
        for grn in (False, True):
            x, skip, g, factor, p = block((4, 20, 20, 48), "float32", not grn, grn)
            kept = [None, None]
            for i in range(2):
                numba.set_num_threads(i + 1)
                kept[i] = pick("mlp", x)(x, skip, p, factor)
            one, two = (flatten(k) for k in kept)
            one += with_threads(1, "mlp_vjp", g, x, p, kept[0][1], factor)
            two += with_threads(2, "mlp_vjp", g, x, p, kept[1][1], factor)
            for a, b in zip(one, two, strict=True):
                np.testing.assert_array_equal(a, b)
