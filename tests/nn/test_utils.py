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


GRADIENTS: list[list[list[float]]] = [
    [[3.0, 4.0]], [[3.0, -4.0], [0.0, 12.0]], [[0.0, 0.0]], [[0.0, 0.0], [1.0, 2.0]],
    [[math.nan, 1.0]], [[math.inf, 1.0]], [[math.nan, 1.0], [2.0, 3.0]], [[1e-30]], [],
]  # fmt: skip


@pytest.mark.parametrize("order", [0, 0.5, 1, 2, 3, -1, -2, math.inf, -math.inf, "inf"])
@pytest.mark.parametrize("values", GRADIENTS, ids=str)
@pytest.mark.parametrize("strict", [False, True])
def test_every_order_of_norm_at_the_edges(order: Any, values: Any, strict: bool) -> None:
    """Total and gradients are PyTorch's; what is refused is left as it was."""
    torch = pytest.importorskip("torch")
    for most in (0.1, 100.0, 0.0, math.inf):
        outcomes = []
        for m in (mg, torch):
            params = [m.zeros(len(v), requires_grad=True) for v in values]
            for p, v in zip(params, values, strict=True):
                p.grad = m.tensor(v)
            try:
                clip = m.nn.utils.clip_grad_norm_
                total = float(clip(params, most, norm_type=order, error_if_nonfinite=strict))
            except (DataError, RuntimeError):
                total = "refused"
            outcomes.append((total, [p.grad.numpy() for p in params]))
        (ours, grads), (theirs, expected) = outcomes
        assert ours == theirs or ours == pytest.approx(theirs, rel=1e-5, nan_ok=True)
        for a, b in zip(grads, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5)


@pytest.mark.parametrize("order", [0, 1, 2, math.inf, -math.inf, -1])
def test_empty_gradients_do_not_count(order: float) -> None:
    """PyTorch refuses them for some orders."""
    empty, full = mg.zeros(0, requires_grad=True), mg.zeros(2, requires_grad=True)
    empty.grad, full.grad = mg.zeros(0), mg.tensor([3.0, 4.0])
    alone = mg.zeros(2, requires_grad=True)
    alone.grad = mg.tensor([3.0, 4.0])
    total = clip_grad_norm_([empty, full], 1.0, order)
    assert total.item() == clip_grad_norm_([alone], 1.0, order).item()
    assert full.grad.tolist() == alone.grad.tolist()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_a_small_factor_of_half_precision_is_not_lost(dtype: str) -> None:
    """1e-9 as float16 is 0."""
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    p = mg.zeros(1, dtype=dtype, requires_grad=True)
    p.grad = mg.tensor([6e4], dtype=dtype)
    clip_grad_norm_([p], 1e-4)
    assert p.grad.item() == pytest.approx(1e-4, rel=1e-2)
