from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import DTypeError, OptionError, ShapeError
from minigrad.ops.neural.dropout import drop_path, dropout


def test_dropout_keeps_the_expectation_and_scales() -> None:
    mg.manual_seed(0)
    y = dropout(mg.ones(200, 200), 0.25).numpy()
    assert set(np.unique(y)) == {0.0, np.float32(1 / 0.75)}
    assert abs(y.mean() - 1.0) < 0.02


def test_gradient_uses_the_mask_of_the_forward_pass() -> None:
    mg.manual_seed(0)
    x = mg.randn(50, 3, requires_grad=True)
    for f in (lambda: dropout(x, 0.5), lambda: drop_path(x, 0.5, training=True)):
        y = f()
        (g,) = mg.autograd.grad(y, x, mg.ones(50, 3), create_graph=True)
        np.testing.assert_allclose((g * x).detach().numpy(), y.detach().numpy(), rtol=1e-6)


def test_drop_path_drops_whole_samples() -> None:
    mg.manual_seed(0)
    y = drop_path(mg.ones(1000, 3, 2), 0.2, training=True).numpy().reshape(1000, -1)
    assert (y == y[:, :1]).all()
    assert set(np.unique(y)) == {0.0, 1.25}
    assert abs((y[:, 0] == 0).mean() - 0.2) < 0.05
    unscaled = drop_path(mg.ones(1000, 1), 0.2, training=True, scale_by_keep=False).numpy()
    assert set(np.unique(unscaled)) == {0.0, 1.0}


def test_one_sample_is_dropped_or_scaled_never_divided_by_zero() -> None:
    values = {float(drop_path(mg.ones(1, 1), 0.5, training=True).item()) for _ in range(60)}
    assert values == {0.0, 2.0}


def test_seed_repeats_masks() -> None:
    x = mg.ones(64)
    runs = []
    for _ in range(2):
        mg.manual_seed(7)
        runs.append((dropout(x).numpy(), drop_path(x, 0.3, True).numpy()))
    np.testing.assert_array_equal(runs[0], runs[1])


def test_nothing_happens_outside_training_or_at_zero() -> None:
    x = mg.ones(3)
    before = mg.get_rng_state().numpy().copy()
    assert dropout(x, 0.5, training=False) is x
    assert dropout(x, 0.0) is x
    assert drop_path(x, 0.5) is x
    assert drop_path(x, 0.0, training=True) is x
    np.testing.assert_array_equal(mg.get_rng_state().numpy(), before)


def test_all_dropped_and_empty() -> None:
    assert dropout(mg.ones(3), 1.0).tolist() == [0.0] * 3
    assert dropout(mg.ones(0, 3)).shape == (0, 3)
    assert drop_path(mg.ones(0, 3), 0.5, True).shape == (0, 3)


def test_dtype_stays() -> None:
    for dtype in ("float16", "float64"):
        assert dropout(mg.ones(3, dtype=dtype)).dtype == dtype
        assert drop_path(mg.ones(3, dtype=dtype), 0.5, True).dtype == dtype


WRONG: list[Any] = [
    (lambda: dropout(mg.ones(2), 1.5), OptionError, "between 0 and 1"),
    (lambda: dropout(mg.tensor([1]), 0.5), DTypeError, "float"),
    (lambda: drop_path(mg.ones(2), 1.0, True), OptionError, "p < 1"),
    (lambda: drop_path(mg.tensor(1.0), 0.5, True), ShapeError, "0-d"),
]


@pytest.mark.parametrize(("call", "kind", "message"), WRONG)
def test_errors_teach(call: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        call()
