from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import DataError
from minigrad.nn.utils import clip_grad_norm_, clip_grad_value_

SHAPES = [(3, 4), (5,), ()]


def parameters(scale: float = 1.0) -> list[mg.Tensor]:
    rng = np.random.default_rng(0)
    params = [mg.zeros(*shape, requires_grad=True) for shape in SHAPES]
    for p in params:
        p.grad = mg.tensor(np.asarray(scale * rng.standard_normal(p.shape)), dtype=mg.float32)
    return [*params, mg.zeros(2, requires_grad=True)]  # one without a gradient


def like_torch(params: list[mg.Tensor]) -> list[Any]:
    torch = pytest.importorskip("torch")
    theirs = [torch.zeros(p.shape, requires_grad=True) for p in params]
    for p, t in zip(params, theirs, strict=True):
        t.grad = None if p.grad is None else torch.tensor(p.grad.numpy().copy())
    return theirs


@pytest.mark.parametrize("norm_type", [2.0, 1.0, 3.0, math.inf])
@pytest.mark.parametrize("max_norm", [0.5, 100.0])
def test_clip_grad_norm_equals_torch(norm_type: float, max_norm: float) -> None:
    torch = pytest.importorskip("torch")
    ours = parameters()
    theirs = like_torch(ours)
    total = clip_grad_norm_(ours, max_norm, norm_type)
    expected = torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)
    assert total.item() == pytest.approx(expected.item(), rel=1e-6)
    for p, t in zip(ours[:-1], theirs[:-1], strict=True):
        np.testing.assert_allclose(p.grad, t.grad.numpy(), rtol=1e-6)


def test_clip_grad_value_equals_torch() -> None:
    torch = pytest.importorskip("torch")
    ours = parameters()
    theirs = like_torch(ours)
    clip_grad_value_(ours, 0.3)
    torch.nn.utils.clip_grad_value_(theirs, 0.3)
    for p, t in zip(ours[:-1], theirs[:-1], strict=True):
        np.testing.assert_array_equal(p.grad, t.grad.numpy())


def test_broken_gradients_raise_only_if_asked() -> None:
    params = parameters(math.inf)
    with pytest.raises(DataError, match="the gradients' norm is"):
        clip_grad_norm_(params, 1.0, error_if_nonfinite=True)
    assert not np.isfinite(clip_grad_norm_(params, 1.0).item())


def test_nothing_to_clip() -> None:
    assert clip_grad_norm_([mg.zeros(2, requires_grad=True)], 1.0).item() == 0.0
