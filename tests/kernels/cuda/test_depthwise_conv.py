from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minigrad.kernels.arrays.conv import out_size
from minigrad.kernels.cuda import depthwise_conv
from tests.kernels.cuda.tools import DTYPES, assert_formula, dtype_of

# (N, C, *size), kernel, stride, padding, dilation
WALKS = {
    "7x7": ((2, 5, 9, 16), (7, 7), (1, 1), ((3, 3), (3, 3)), (1, 1)),
    "7x7, one strip": ((1, 33, 7, 7), (7, 7), (1, 1), ((3, 3), (3, 3)), (1, 1)),
    "7x7, image smaller than the kernel": ((1, 3, 2, 3), (7, 7), (1, 1), ((3, 3), (3, 3)), (1, 1)),
    "7x7, no padding": ((1, 3, 8, 15), (7, 7), (1, 1), ((0, 0), (0, 0)), (1, 1)),
    "3x3, uneven padding": ((2, 4, 5, 9), (3, 3), (1, 1), ((0, 2), (2, 1)), (1, 1)),
    "signal": ((2, 6, 19), (7,), (1,), ((3, 3),), (1,)),
    "volume": ((2, 33, 4, 5, 9), (3, 3, 3), (1, 1, 1), ((1, 1), (0, 2), (1, 1)), (1, 1, 1)),
    "7x7x7": ((1, 3, 3, 5, 8), (7, 7, 7), (1, 1, 1), ((3, 3), (3, 3), (3, 3)), (1, 1, 1)),
}
PLAIN = {
    "stride 2": ((2, 3, 9, 8), (3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1)),
    "stride (3, 2), dilation": ((1, 4, 13, 11), (3, 2), (3, 2), ((2, 1), (0, 3)), (2, 3)),
    "large kernel": ((1, 3, 12, 10), (9, 11), (1, 1), ((4, 4), (5, 5)), (1, 1)),
    "volume, no cube": ((1, 3, 5, 6, 4), (3, 5, 3), (1, 1, 1), ((1, 1), (2, 2), (1, 1)), (1, 1, 1)),
    "signal, dilated": ((2, 3, 17), (5,), (1,), ((4, 4),), (2,)),
}


def check(cupy: Any, rng: np.random.Generator, case: Any, dtype: str = "float32") -> None:
    shape, kernel, *geometry = case
    channels = shape[1]
    x = np.moveaxis(rng.normal(0, 1, (shape[0], *shape[2:], channels)), -1, 1)  # channels-last
    w, bias = rng.normal(0, 1, (channels, 1, *kernel)), rng.normal(0, 1, channels)
    stride, padding, dilation = geometry
    out = out_size(shape[2:], kernel, stride, padding, dilation)
    g = rng.normal(0, 1, (shape[0], channels, *out))
    rest = (*geometry, channels)
    assert_formula(cupy, "depthwise_conv", [x, w, bias, *rest], dtype)
    assert_formula(cupy, "depthwise_conv_input_grad", [g, w, shape[2:], *rest], dtype)
    assert_formula(cupy, "depthwise_conv_weight_grad", [g, x, kernel, *rest], dtype)


@pytest.mark.parametrize("case", [*WALKS, *PLAIN])
def test_values(cupy: Any, rng: np.random.Generator, case: str) -> None:
    _, kernel, stride, _, dilation = (WALKS | PLAIN)[case]
    walks = depthwise_conv._walks(np.dtype("float32"), kernel, stride, dilation)
    assert walks == (case in WALKS)
    check(cupy, rng, (WALKS | PLAIN)[case])


@pytest.mark.parametrize("dtype", DTYPES[1:])
@pytest.mark.parametrize("case", ["7x7", "stride 2"])
def test_element_types(cupy: Any, rng: np.random.Generator, case: str, dtype: str) -> None:
    assert depthwise_conv._walks(dtype_of(dtype), (7, 7), (1, 1), (1, 1)) == (dtype != "float64")
    check(cupy, rng, (WALKS | PLAIN)[case], dtype)


def test_images_are_cut_into_shorter_walks(
    cupy: Any, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However the image is cut, the convolution is the same; so it is for few parts and many."""
    for walks, parts in ((1, 1), (1 << 20, 2)):
        monkeypatch.setattr(depthwise_conv, "WALKS", walks)
        monkeypatch.setattr(depthwise_conv, "PARTS", parts)
        check(cupy, rng, ((3, 40, 23, 9), *WALKS["7x7"][1:]))
