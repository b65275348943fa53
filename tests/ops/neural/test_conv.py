from __future__ import annotations

import itertools
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import minigrad as mg
from minigrad.errors import DTypeError, OptionError, ShapeError
from minigrad.ops.neural import conv
from tests.ops.parity import agree, laid_out, layouts

torch = pytest.importorskip("torch")

F = torch.nn.functional
AXES = (1, 2, 3)


@st.composite
def geometries(draw: Any) -> Any:
    """Draw dims, shapes and options of a convolution that has at least one window."""
    dims = draw(st.integers(1, 3))
    per_axis = lambda low, high: tuple(draw(st.integers(low, high)) for _ in range(dims))  # noqa: E731
    kernel, stride, dilation = per_axis(1, 4 if dims < 3 else 2), per_axis(1, 3), per_axis(1, 2)
    padding = per_axis(0, 3)
    size = tuple(
        max(1, d * (k - 1) + 1 - 2 * p) + draw(st.integers(0, 6 if dims < 3 else 2))
        for k, d, p in zip(kernel, dilation, padding, strict=True)
    )
    groups = draw(st.sampled_from([1, 2, 3]))
    inner, outer = draw(st.sampled_from([(1, 1), (1, 2), (2, 1)]))
    n = draw(st.integers(0, 3))
    return n, groups * inner, groups * outer, size, kernel, stride, padding, dilation, groups


def _draw(rng: Any, layout: str, *shape: int) -> Any:
    return laid_out(rng.standard_normal(shape), layout)


@given(geometries(), layouts)
def test_conv_agrees_with_pytorch_to_second_order(geometry: Any, layout: str) -> None:
    n, c, o, size, kernel, stride, padding, dilation, groups = geometry
    rng = np.random.default_rng(0)
    name = f"conv{len(size)}d"
    inputs = (
        _draw(rng, layout, n, c, *size),
        _draw(rng, layout, o, c // groups, *kernel),
        _draw(rng, layout, o),
    )
    options = (stride, padding, dilation, groups)
    agree(
        lambda x, w, b: getattr(conv, name)(x, w, b, *options),
        lambda x, w, b: getattr(F, name)(x, w, b, *options),
        *inputs,
        rtol=1e-10,
        second=n > 0,
    )


@given(geometries(), layouts, st.integers(0, 1))
def test_conv_transpose_agrees_with_pytorch_to_second_order(
    geometry: Any, layout: str, extra: int
) -> None:
    n, c, o, size, kernel, stride, padding, dilation, groups = geometry
    extra = extra if all(max(s, d) > 1 for s, d in zip(stride, dilation, strict=True)) else 0
    least = [
        (m - 1) * s - 2 * p + d * (k - 1) + extra + 1
        for m, s, p, d, k in zip(size, stride, padding, dilation, kernel, strict=True)
    ]
    if min(least) < 1:
        padding = (0,) * len(size)
    rng = np.random.default_rng(0)
    name = f"conv_transpose{len(size)}d"
    inputs = (
        _draw(rng, layout, n, c, *size),
        _draw(rng, layout, c, o // groups, *kernel),
        _draw(rng, layout, o),
    )
    options = (stride, padding, extra, groups, dilation)
    agree(
        lambda x, w, b: getattr(conv, name)(x, w, b, *options),
        lambda x, w, b: getattr(F, name)(x, w, b, *options),
        *inputs,
        rtol=1e-10,
        second=n > 0,
    )


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("kernel", "dilation"), [(3, 1), (4, 1), ((2, 5), (3, 2))])
def test_padding_by_name(padding: str, kernel: Any, dilation: Any) -> None:
    rng = np.random.default_rng(0)
    shape = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    for groups in (1, 4):
        agree(
            lambda x, w, g=groups: conv.conv2d(x, w, None, 1, padding, dilation, g),
            lambda x, w, g=groups: F.conv2d(x, w, None, 1, padding, dilation, g),
            rng.standard_normal((2, 4, 11, 12)),
            rng.standard_normal((4, 4 // groups, *shape)),
            rtol=1e-10,
        )


@pytest.mark.parametrize("dims", AXES)
def test_one_image_without_batch(dims: int) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.standard_normal((2, *(5,) * dims)), rng.standard_normal((2, 2, *(3,) * dims))
    for name in (f"conv{dims}d", f"conv_transpose{dims}d"):
        agree(getattr(conv, name), getattr(F, name), x, w, rtol=1e-10)


# The shapes of the ConvNeXt trunk, and more channels than fit in one group of the cache.
@pytest.mark.parametrize(
    ("n", "c", "size", "o", "kernel", "stride", "padding", "groups"),
    [
        (2, 3, 32, 8, 4, 4, 0, 1),
        (2, 8, 14, 16, 2, 2, 0, 1),
        (3, 40, 14, 40, 7, 1, 3, 40),
        (9, 40, 7, 40, 7, 1, 3, 40),
        (1, 6, 56, 6, 7, 1, 3, 6),
        (2, 16, 33, 24, 3, 1, 1, 1),
        (2, 16, 33, 24, 3, 2, 1, 8),
        (1, 8, 5, 12, 1, 1, 0, 1),
        (70, 30, 40, 30, 5, 2, 2, 30),
    ],
)
@pytest.mark.parametrize(("dtype", "rtol"), [("float32", 1e-5), ("float16", 5e-3)])
def test_trunk_shapes_in_single_and_half_precision(
    n: int, c: int, size: int, o: int, kernel: int, stride: int, padding: int, groups: int,
    dtype: str, rtol: float,
) -> None:  # fmt: skip
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, c, size, size)).astype(dtype)
    w = (rng.standard_normal((o, c // groups, kernel, kernel)) / kernel).astype(dtype)
    bias = rng.standard_normal(o).astype(dtype)
    ours = [mg.Tensor(a, requires_grad=True) for a in (x, w, bias)]
    theirs = [torch.from_numpy(a.astype("float64")).requires_grad_() for a in (x, w, bias)]
    y = conv.conv2d(*ours, stride, padding, 1, groups)
    z = F.conv2d(*theirs, stride, padding, 1, groups)
    g = rng.standard_normal(y.shape).astype(dtype)
    y.backward(mg.Tensor(g))
    z.backward(torch.from_numpy(g.astype("float64")))
    for a, b in [(y, z), *((p.grad, q.grad) for p, q in zip(ours, theirs, strict=True))]:
        expected = b.detach().numpy()
        assert a.dtype == dtype
        np.testing.assert_allclose(a.detach().numpy(), expected, atol=rtol * np.abs(expected).max())


def test_result_is_channels_last_in_memory() -> None:
    x, w = mg.randn(2, 4, 8, 8), mg.randn(6, 4, 3, 3)
    assert conv.conv2d(x, w).array.transpose(0, 2, 3, 1).flags.c_contiguous
    depthwise = conv.conv2d(x, mg.randn(4, 1, 7, 7), padding=3, groups=4)
    assert depthwise.array.transpose(0, 2, 3, 1).flags.c_contiguous


def test_inputs_are_left_alone() -> None:
    x, w, b = mg.randn(2, 4, 8, 8), mg.randn(4, 1, 3, 3), mg.randn(4)
    before = [t.numpy().copy() for t in (x, w, b)]
    conv.conv2d(x, w, b, padding=1, groups=4)
    conv.conv2d(x, mg.randn(4, 4, 3, 3), b)
    for t, a in zip((x, w, b), before, strict=True):
        np.testing.assert_array_equal(t.numpy(), a)


x4, w4 = mg.zeros(1, 4, 8, 8), mg.zeros(96, 3, 4, 4)
WRONG: list[Any] = [
    (lambda: conv.conv2d(x4, w4), ShapeError, "4 channels but weight .* expects 3"),
    (lambda: conv.conv2d(mg.zeros(1, 1, 8, 8), w4), ShapeError, "repeat the grey channel"),
    (lambda: conv.conv2d(mg.zeros(8, 8), w4), ShapeError, r"\(N, C, H, W\)"),
    (lambda: conv.conv2d(x4, mg.zeros(3, 4, 4)), ShapeError, "4 axes"),
    (lambda: conv.conv2d(x4, mg.zeros(2, 4, 9, 9)), ShapeError, "larger than the padded image"),
    (lambda: conv.conv2d(x4, mg.zeros(2, 4, 3, 3), mg.zeros(3)), ShapeError, r"bias .* \(2,\)"),
    (lambda: conv.conv2d(x4.long(), mg.zeros(2, 4, 3, 3)), DTypeError, "float"),
    (lambda: conv.conv2d(x4.double(), mg.zeros(2, 4, 3, 3)), DTypeError, "float64 and float32"),
    (lambda: conv.conv2d(x4, mg.zeros(2, 4, 3, 3), stride=0), OptionError, "stride"),
    (lambda: conv.conv2d(x4, mg.zeros(2, 4, 3, 3), stride=(1, 1, 1)), OptionError, "stride"),
    (lambda: conv.conv2d(x4, mg.zeros(2, 4, 3, 3), padding=-1), OptionError, "padding"),
    (lambda: conv.conv2d(x4, mg.zeros(2, 4, 3, 3), padding="full"), OptionError, "'same'"),
    (lambda: conv.conv2d(x4, mg.zeros(2, 4, 3, 3), None, 2, "same"), OptionError, "stride 1"),
    (lambda: conv.conv2d(x4, mg.zeros(3, 2, 3, 3), groups=2), OptionError, "3 output channels"),
    (lambda: conv.conv2d(x4, mg.zeros(2, 4, 3, 3), groups=0), OptionError, "groups"),
    (lambda: conv.conv2d(x4, mg.zeros(2, 4, 0, 3)), ShapeError, "empty"),
    (lambda: conv.conv_transpose2d(x4, w4), ShapeError, "expects 96"),
    (
        lambda: conv.conv_transpose2d(x4, mg.zeros(4, 2, 2, 2), output_padding=1),
        OptionError,
        "smaller than stride",
    ),
    (
        lambda: conv.conv_transpose2d(mg.zeros(1, 4, 1, 1), mg.zeros(4, 2, 2, 2), padding=1),
        ShapeError,
        "nothing is left",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), WRONG)
def test_errors_teach(call: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        call()


def test_same_input_gives_same_bits() -> None:
    x, w = mg.randn(4, 8, 14, 14), mg.randn(8, 1, 7, 7)
    runs = list(itertools.repeat(None, 3))
    results = [conv.conv2d(x, w, padding=3, groups=8).numpy() for _ in runs]
    for r in results[1:]:
        np.testing.assert_array_equal(r, results[0])
