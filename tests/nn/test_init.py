from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn
from minigrad.errors import OptionError, ShapeError
from minigrad.nn import init

SHAPE = (64, 32, 3, 3)
FAN_IN, FAN_OUT = 32 * 9, 64 * 9


@pytest.mark.parametrize(
    ("fill", "std"),
    [
        (lambda t: init.normal_(t, 1.0, 2.0), 2.0),
        (lambda t: init.uniform_(t, -1.0, 3.0), 4 / math.sqrt(12)),
        (lambda t: init.trunc_normal_(t, std=0.02), 0.02),
        (lambda t: init.xavier_uniform_(t), math.sqrt(2 / (FAN_IN + FAN_OUT))),
        (lambda t: init.xavier_normal_(t, gain=2.0), 2 * math.sqrt(2 / (FAN_IN + FAN_OUT))),
        (
            lambda t: init.kaiming_normal_(t, mode="fan_out", nonlinearity="relu"),
            math.sqrt(2 / FAN_OUT),
        ),
        (lambda t: init.kaiming_uniform_(t, a=math.sqrt(5)), 1 / math.sqrt(3 * FAN_IN)),
        (lambda t: init.constant_(t, 0.5), 0.0),
        (lambda t: init.ones_(t), 0.0),
        (lambda t: init.zeros_(t), 0.0),
    ],
)
def test_spread(fill: Any, std: float) -> None:
    mg.manual_seed(0)
    param = nn.Parameter(mg.full(SHAPE, 7.0))
    version = param._version[0]
    assert fill(param) is param
    assert param.requires_grad
    assert param.is_leaf
    assert param._version[0] > version
    assert param.dtype == mg.float32
    assert param.detach().numpy().std() == pytest.approx(std, rel=0.02)


def test_bounds() -> None:
    drawn = init.trunc_normal_(mg.zeros(4000), mean=0.5, std=1.0, a=-1.0, b=0.75).numpy()
    assert -1.0 <= drawn.min() < -0.8
    assert 0.7 < drawn.max() <= 0.75
    drawn = init.uniform_(mg.zeros(4000), 2.0, 3.0).numpy()
    assert 2.0 <= drawn.min() < drawn.max() <= 3.0


def test_a_generator_decides_the_numbers() -> None:
    a = init.normal_(mg.zeros(5), generator=mg.Generator(3))
    b = init.normal_(mg.zeros(5), generator=mg.Generator(3))
    np.testing.assert_array_equal(a, b)


def test_eye() -> None:
    np.testing.assert_array_equal(init.eye_(mg.ones(2, 3)), np.eye(2, 3))
    with pytest.raises(ShapeError, match="matrices only"):
        init.eye_(mg.ones(2))


def test_gains_equal_torch() -> None:
    torch_gain = pytest.importorskip("torch").nn.init.calculate_gain
    for name in ("linear", "conv2d", "conv_transpose3d", "sigmoid", "tanh", "relu", "selu"):
        assert init.calculate_gain(name) == pytest.approx(torch_gain(name))
    assert init.calculate_gain("leaky_relu", 0.2) == pytest.approx(torch_gain("leaky_relu", 0.2))
    with pytest.raises(OptionError, match="did you mean 'relu'"):
        init.calculate_gain("rellu")


def test_refusals() -> None:
    with pytest.raises(ShapeError, match="fan-in and fan-out"):
        init.xavier_normal_(mg.zeros(3))
    with pytest.raises(OptionError, match="did you mean 'fan_out'"):
        init.kaiming_normal_(mg.zeros(3, 3), mode="fanout")


def test_skip_random_draws_nothing_but_fills_constants() -> None:
    state = mg.get_rng_state()
    with init.skip_random():
        layer, norm = nn.Linear(3, 4), nn.LayerNorm(3)
        with init.skip_random():
            pass
        init.normal_(layer.weight)  # the inner block did not switch drawing on again
    np.testing.assert_array_equal(mg.get_rng_state(), state)
    assert norm.weight.tolist() == [1.0, 1.0, 1.0]
    init.normal_(layer.weight)
    assert not (mg.get_rng_state() == state).all()
