from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import assume, given

import minigrad as mg
from minigrad.errors import DTypeError, OptionError, ShapeError
from minigrad.ops.neural import pool
from tests.ops.parity import agree, laid_out, layouts, same_values

torch = pytest.importorskip("torch")

F = torch.nn.functional


@st.composite
def windows(draw: Any, dilated: bool) -> Any:
    """Draw an image shape and a window that fits into it."""
    dims = draw(st.integers(1, 3))
    kernel = tuple(draw(st.integers(1, 4)) for _ in range(dims))
    dilation = tuple(draw(st.integers(1, 2 if dilated else 1)) for _ in range(dims))
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    size = tuple(
        max(d, d * (k - 1) + 1 - 2 * p) + draw(st.integers(0, 5))
        for k, p, d in zip(kernel, padding, dilation, strict=True)
    )
    stride = draw(st.one_of(st.none(), st.tuples(*(st.integers(1, 3) for _ in kernel))))
    shape = (draw(st.integers(0, 2)), draw(st.integers(1, 3)), *size)
    return shape, kernel, stride, padding, dilation, draw(st.booleans())


def _image(shape: Any, layout: str, ties: bool = False) -> Any:
    rng = np.random.default_rng(0)
    x = rng.integers(-2, 3, shape).astype(float) if ties else rng.standard_normal(shape)
    return laid_out(x, layout)


@given(windows(dilated=False), layouts, st.booleans(), st.sampled_from([None, 3]))
def test_avg_pool(window: Any, layout: str, count_include_pad: bool, divisor: int | None) -> None:
    shape, kernel, stride, padding, _, ceil_mode = window
    dims = len(kernel)
    name = f"avg_pool{dims}d"
    # PyTorch's avg_pool3d forgets the padding when it checks the size.
    assume(dims < 3 or all(n >= k for n, k in zip(shape[2:], kernel, strict=True)))
    options = (kernel, stride, padding, ceil_mode, count_include_pad)
    if dims > 1:
        options += (divisor,)
    x = _image(shape, layout)
    agree(
        lambda x: getattr(pool, name)(x, *options),
        lambda x: getattr(F, name)(x, *options),
        x,
        rtol=1e-10,
    )


@given(windows(dilated=True), layouts, st.booleans())
def test_max_pool(window: Any, layout: str, ties: bool) -> None:
    shape, kernel, stride, padding, dilation, ceil_mode = window
    name = f"max_pool{len(kernel)}d"
    options = (kernel, stride, padding, dilation, ceil_mode)
    x = _image(shape, layout, ties)
    ours, theirs = getattr(pool, name), getattr(F, name)
    agree(lambda x: ours(x, *options), lambda x: theirs(x, *options), x, rtol=1e-10)
    same_values(
        ours(mg.Tensor(x), *options, return_indices=True),
        theirs(torch.from_numpy(x.copy()), *options, return_indices=True),
    )


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=3),
    layouts,
    st.booleans(),
)
def test_adaptive_pool(axes: Any, layout: str, ties: bool) -> None:
    dims = len(axes)
    x = _image((2, 3, *(n for n, _ in axes)), layout, ties)
    out = tuple(o for _, o in axes)
    for kind in ("avg", "max"):
        ours, theirs = (getattr(m, f"adaptive_{kind}_pool{dims}d") for m in (pool, F))
        agree(lambda x, f=ours: f(x, out), lambda x, f=theirs: f(x, out), x, rtol=1e-10)
    ours, theirs = (getattr(m, f"adaptive_max_pool{dims}d") for m in (pool, F))
    same_values(
        ours(mg.Tensor(x), out, return_indices=True),
        theirs(torch.from_numpy(x.copy()), out, return_indices=True),
    )


def test_none_keeps_a_length_and_one_int_means_all() -> None:
    x = mg.randn(2, 3, 7, 5)
    assert pool.adaptive_avg_pool2d(x, (None, 2)).shape == (2, 3, 7, 2)
    assert pool.adaptive_max_pool2d(x, 1).shape == (2, 3, 1, 1)
    np.testing.assert_allclose(
        pool.adaptive_avg_pool2d(x, 1).numpy()[..., 0, 0], x.numpy().mean((2, 3)), atol=1e-6
    )


def test_one_image_without_batch() -> None:
    x = np.random.default_rng(0).standard_normal((3, 6, 6))
    agree(lambda x: pool.max_pool2d(x, 2), lambda x: F.max_pool2d(x, 2), x)
    agree(lambda x: pool.avg_pool2d(x, 2), lambda x: F.avg_pool2d(x, 2), x)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_bad_pixel_spoils_its_own_windows_only(bad: float) -> None:
    x = np.ones((1, 2, 4, 6), np.float32)
    x[0, 0, 1, 2], x[0, 1, 3, 5], x[0, 1, 0, 0] = bad, bad, -bad
    for ours, theirs in [
        (lambda t: mg.nn.functional.avg_pool2d(t, 2), lambda t: F.avg_pool2d(t, 2)),
        (lambda t: mg.nn.functional.interpolate(t, scale_factor=2.0),
         lambda t: F.interpolate(t, scale_factor=2.0)),
        (lambda t: mg.nn.functional.adaptive_avg_pool2d(t, 2),
         lambda t: F.adaptive_avg_pool2d(t, 2)),
    ]:  # fmt: skip
        expected = theirs(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(ours(mg.from_numpy(x)).numpy(), expected, rtol=1e-6)


def test_nan_wins_over_numbers() -> None:
    x = mg.tensor([[[1.0, float("nan"), 3.0, 4.0]]])
    y, where = pool.max_pool1d(x, 2, return_indices=True)
    assert np.isnan(y.numpy()).tolist() == [[[True, False]]]
    assert where.numpy().tolist() == [[[1, 3]]]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float16", 1e-3)])
def test_dtype_stays(dtype: str, tolerance: float) -> None:
    x = mg.randn(2, 3, 8, 8).to(dtype).requires_grad_()
    for f in (pool.avg_pool2d, pool.max_pool2d):
        y = f(x, 2)
        x.grad = None
        y.sum().backward()
        assert y.dtype == x.grad.dtype == dtype
        z = getattr(F, f.__name__)(torch.from_numpy(x.detach().numpy()), 2)
        np.testing.assert_allclose(y.detach().numpy(), z.numpy(), atol=tolerance)


x44 = mg.zeros(1, 1, 4, 4)
WRONG: list[Any] = [
    (lambda: pool.max_pool2d(mg.zeros(4, 4), 2), ShapeError, r"\(N, C, H, W\)"),
    (lambda: pool.max_pool2d(x44, 5), ShapeError, "larger than the padded image"),
    (lambda: pool.max_pool1d(mg.zeros(1, 1, 1), 2, 1, 1, 2), ShapeError, "holds no pixel"),
    (lambda: pool.max_pool2d(x44, 2, padding=2), OptionError, "half"),
    (lambda: pool.max_pool2d(x44, 0), OptionError, "kernel_size"),
    (lambda: pool.avg_pool2d(x44, 2, stride=0), OptionError, "stride"),
    (lambda: pool.avg_pool2d(x44, 2, divisor_override=0), OptionError, "divisor_override"),
    (lambda: pool.avg_pool2d(x44.long(), 2), DTypeError, "float"),
    (lambda: pool.adaptive_avg_pool2d(x44, (1, 2, 3)), OptionError, "output_size"),
    (lambda: pool.adaptive_avg_pool2d(x44, -1), OptionError, "output_size"),
    (lambda: pool.adaptive_max_pool2d(mg.zeros(1, 1, 0, 4), 1), ShapeError, "no pixels"),
]


@pytest.mark.parametrize(("call", "kind", "message"), WRONG)
def test_errors_teach(call: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        call()
