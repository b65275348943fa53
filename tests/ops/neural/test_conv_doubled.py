"""The convolution of a doubled image is that of the image which interpolation makes."""

from __future__ import annotations

import numpy as np
import pytest

import minigrad as mg
from minigrad.autograd import gradcheck
from minigrad.nn import functional as F
from minigrad.ops.neural.conv_doubled import conv_doubled

CONVS = (F.conv1d, F.conv2d, F.conv3d)


@pytest.mark.parametrize("side", [1, 2, 9])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_values_and_gradients(dims: int, side: int) -> None:
    mg.manual_seed(0)
    x = mg.randn(2, 5, *[side] * dims, dtype=mg.float64, requires_grad=True)
    w = mg.randn(3, 5, *[3] * dims, dtype=mg.float64, requires_grad=True)
    doubled = F.interpolate(x, scale_factor=2.0)
    results = conv_doubled(x, w), CONVS[dims - 1](doubled, w, padding=1)
    g = mg.randn(*results[0].shape, dtype=mg.float64)
    both = [[y, *mg.autograd.grad(y, (x, w), g)] for y in results]
    for a, b in zip(*both, strict=True):
        np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy(), rtol=1e-12, atol=1e-12)


def test_every_order_of_derivative() -> None:
    mg.manual_seed(0)
    x = mg.randn(1, 2, 3, 2, dtype=mg.float64, requires_grad=True)
    w = mg.randn(2, 2, 3, 3, dtype=mg.float64, requires_grad=True)

    def slope(x: mg.Tensor, w: mg.Tensor) -> mg.Tensor:
        y = conv_doubled(x, w)
        (gx,) = mg.autograd.grad((y * y).sum(), x, create_graph=True)
        return gx

    assert gradcheck(slope, [x, w], fast_mode=True)
