"""Shapes that nobody thought of: hypothesis draws them."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from minigrad.kernels.arrays.conv import out_size
from tests.kernels.cuda import test_cross_entropy, test_depthwise_conv, test_grn, test_layer_norm

few = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
seeds = st.integers(0, 1000)


@st.composite
def convolutions(draw: Any) -> Any:
    """Draw (N, C, *size), kernel, stride, padding, dilation; two in three take the walk."""
    n, channels = draw(st.integers(1, 3)), draw(st.integers(1, 40))
    axes = draw(st.integers(1, 3))
    if axes < 3 and draw(st.integers(0, 2)):
        kernel = draw(st.sampled_from([3, 5, 7]))
        size = [draw(st.integers(1, 20)) for _ in range(axes)]
        padding = [(draw(st.integers(0, kernel)), draw(st.integers(0, kernel))) for _ in size]
        ones = (1,) * axes
        case = ((n, channels, *size), (kernel,) * axes, ones, tuple(padding), ones)
    else:
        size = [draw(st.integers(1, 8)) for _ in range(axes)]
        drawn = [[draw(st.integers(low, 3)) for _ in size] for low in (1, 1, 1, 0, 0)]
        kernel_, stride, dilation, before, after = map(tuple, drawn)
        case = (
            (n, channels, *size),
            kernel_,
            stride,
            tuple(zip(before, after, strict=True)),
            dilation,
        )
    (_, _, *size), kernel_, stride, around, dilation = case
    assume(min(out_size(size, kernel_, stride, around, dilation)) > 0)
    return case


@few
@given(case=convolutions(), seed=seeds)
def test_depthwise_conv_of(cupy: Any, case: Any, seed: int) -> None:
    test_depthwise_conv.check(cupy, np.random.default_rng(seed), case)


rows = st.tuples(st.integers(1, 90), st.integers(1, 130))


@few
@given(shape=rows, affine=st.booleans(), seed=seeds)
def test_layer_norm_of(cupy: Any, shape: Any, affine: bool, seed: int) -> None:
    assume(shape[1] > 2)  # of one or two columns nothing but rounding is left
    test_layer_norm.check(cupy, np.random.default_rng(seed), shape, affine=affine)


@few
@given(samples=st.integers(1, 3), shape=rows, seed=seeds)
def test_grn_of(cupy: Any, samples: int, shape: Any, seed: int) -> None:
    test_grn.check(cupy, np.random.default_rng(seed), (samples, *shape))


@few
@given(shape=rows, seed=seeds)
def test_cross_entropy_of(cupy: Any, shape: Any, seed: int) -> None:
    test_cross_entropy.check(cupy, np.random.default_rng(seed), shape)
