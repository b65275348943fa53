"""Every operation on the kernels, against finite differences, to the second order."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import minigrad as mg
import minigrad.nn.functional as F
from tests.ops.drawn import laid_out, layouts

WEIGHT = mg.tensor([1.0, 2.0, 3.0]).double()
LABELS = mg.tensor([2, 0, -100])
HOT = mg.tensor([[[0, 1, 1, 0], [1, 0, 2, 2]]])

# What is differentiated, the shapes of its inputs. Kinks (relu, max) stay away from random points.
CASES: dict[str, tuple[Callable[..., Any], list[tuple[int, ...]]]] = {
    "conv1d": (lambda x, w, b: F.conv1d(x, w, b, 2, 1), [(2, 2, 7), (3, 2, 3), (3,)]),
    "conv2d": (
        lambda x, w, b: F.conv2d(x, w, b, (2, 1), (1, 2), (1, 2), 2),
        [(2, 4, 5, 6), (2, 2, 3, 2), (2,)],
    ),
    "conv2d same": (lambda x, w: F.conv2d(x, w, padding="same"), [(1, 2, 4, 5), (3, 2, 2, 4)]),
    "conv3d": (F.conv3d, [(1, 2, 3, 3, 4), (2, 2, 2, 2, 2), (2,)]),
    "depthwise": (
        lambda x, w, b: F.conv2d(x, w, b, padding=3, groups=3),
        [(2, 3, 5, 6), (3, 1, 7, 7), (3,)],
    ),
    "depthwise, stride 2": (
        lambda x, w: F.conv2d(x, w, stride=2, padding=1, groups=3),
        [(1, 3, 6, 5), (3, 1, 3, 3)],
    ),
    "conv_transpose1d": (
        lambda x, w, b: F.conv_transpose1d(x, w, b, 3, 1, 2),
        [(2, 2, 3), (2, 3, 4), (3,)],
    ),
    "conv_transpose2d": (
        lambda x, w: F.conv_transpose2d(x, w, None, 2, 1, 1, 2),
        [(1, 4, 3, 3), (4, 1, 3, 3)],
    ),
    "conv_transpose3d": (F.conv_transpose3d, [(1, 2, 2, 2, 2), (2, 1, 2, 2, 2), (1,)]),
    "avg_pool1d": (lambda x: F.avg_pool1d(x, 3, 2, 1, True, False), [(2, 2, 6)]),
    "avg_pool2d": (lambda x: F.avg_pool2d(x, (3, 2), 2, 1), [(2, 2, 5, 6)]),
    "avg_pool3d": (lambda x: F.avg_pool3d(x, 2), [(1, 2, 4, 4, 5)]),
    "max_pool1d": (lambda x: F.max_pool1d(x, 3, 1, 1, 2), [(2, 2, 8)]),
    "max_pool2d": (lambda x: F.max_pool2d(x, 3, 2, 1), [(2, 2, 5, 6)]),
    "max_pool3d": (lambda x: F.max_pool3d(x, 2), [(1, 2, 4, 4, 5)]),
    "adaptive_avg_pool2d": (lambda x: F.adaptive_avg_pool2d(x, (3, 4)), [(2, 2, 5, 3)]),
    "adaptive_max_pool2d": (lambda x: F.adaptive_max_pool2d(x, (3, 2)), [(2, 2, 5, 3)]),
    "nearest": (lambda x: F.interpolate(x, (7, 2)), [(2, 2, 3, 4)]),
    "linear": (lambda x: F.interpolate(x, 7, mode="linear"), [(2, 2, 4)]),
    "bilinear": (
        lambda x: F.interpolate(x, (5, 3), mode="bilinear", align_corners=True),
        [(2, 2, 3, 4)],
    ),
    "bicubic": (lambda x: F.interpolate(x, (5, 3), mode="bicubic"), [(1, 2, 3, 4)]),
    "trilinear": (lambda x: F.interpolate(x, (2, 3, 5), mode="trilinear"), [(1, 1, 3, 2, 3)]),
    "layer_norm": (lambda x, w, b: F.layer_norm(x, 5, w, b), [(3, 2, 5), (5,), (5,)]),
    "layer_norm, two axes": (lambda x: F.layer_norm(x, (2, 5)), [(3, 2, 5)]),
    "group_norm": (lambda x, w, b: F.group_norm(x, 2, w, b), [(2, 4, 3, 2), (4,), (4,)]),
    "instance_norm": (lambda x: F.instance_norm(x), [(2, 3, 4)]),
    "batch_norm": (
        lambda x, w, b: F.batch_norm(x, None, None, w, b, True),
        [(3, 2, 4), (2,), (2,)],
    ),
    "global_response_norm": (F.global_response_norm, [(2, 3, 2, 4), (4,), (4,)]),
    "softmax": (lambda x: F.softmax(x, 1), [(2, 3, 2)]),
    "log_softmax": (lambda x: F.log_softmax(x, -1), [(2, 3, 2)]),
    **{
        name: (getattr(F, name), [(3, 4)])
        for name in ["relu", "relu6", "leaky_relu", "elu", "hardtanh", "silu", "softplus"]
    },
    "logsigmoid": (F.logsigmoid, [(3, 4)]),
    "gelu": (F.gelu, [(3, 4)]),
    "gelu tanh": (lambda x: F.gelu(x, "tanh"), [(3, 4)]),
    "cross_entropy": (
        lambda x: F.cross_entropy(x, LABELS, WEIGHT, label_smoothing=0.1),
        [(3, 3)],
    ),
    "cross_entropy, images": (lambda x: F.cross_entropy(x, HOT), [(1, 3, 2, 4)]),
    "cross_entropy, probabilities": (F.cross_entropy, [(3, 4), (3, 4)]),
    "nll_loss": (lambda x: F.nll_loss(x, LABELS), [(3, 3)]),
    "binary_cross_entropy": (
        lambda x, t: F.binary_cross_entropy(mg.sigmoid(x), mg.sigmoid(t)),
        [(3, 4), (3, 4)],
    ),
    "binary_cross_entropy_with_logits": (
        lambda x, t, p: F.binary_cross_entropy_with_logits(x, t, pos_weight=p),
        [(3, 4), (3, 4), (4,)],
    ),
    "mse_loss": (F.mse_loss, [(3, 4), (3, 4)]),
    "l1_loss": (F.l1_loss, [(3, 4), (3, 4)]),
    "smooth_l1_loss": (F.smooth_l1_loss, [(3, 4), (3, 4)]),
    "huber_loss": (F.huber_loss, [(3, 4), (3, 4)]),
    "kl_div": (lambda x, t: F.kl_div(x, t, log_target=True), [(3, 4), (3, 4)]),
    "dice_loss": (lambda x: F.dice_loss(x, HOT), [(1, 3, 2, 4)]),
}  # fmt: skip


def _inputs(shapes: list[tuple[int, ...]], seed: int, layout: str) -> list[mg.Tensor]:
    rng = np.random.default_rng(seed)
    arrays = [laid_out(rng.standard_normal(s), layout) for s in shapes]
    return [mg.Tensor(a, requires_grad=True) for a in arrays]


@pytest.mark.parametrize("name", CASES)
@given(seed=st.integers(0, 2**32 - 1), layout=layouts)
@settings(max_examples=4)
def test_first_and_second_derivative(name: str, seed: int, layout: str) -> None:
    function, shapes = CASES[name]
    inputs = _inputs(shapes, seed, layout)
    assert mg.autograd.gradcheck(function, inputs, fast_mode=True)
    assert mg.autograd.gradgradcheck(function, inputs, fast_mode=True)


def test_dropout_with_a_fixed_seed() -> None:
    def dropped(x: mg.Tensor) -> mg.Tensor:
        mg.manual_seed(0)
        return F.drop_path(F.dropout(x, 0.4), 0.3, training=True)

    inputs = _inputs([(4, 3, 2)], 0, "C")
    assert mg.autograd.gradcheck(dropped, inputs)
    assert mg.autograd.gradgradcheck(dropped, inputs)
