from __future__ import annotations

import math
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import minigrad as mg
from minigrad.errors import DTypeError, OptionError, ShapeError
from minigrad.ops.neural import loss
from tests.ops.parity import agree, arrays, laid_out, layouts

torch = pytest.importorskip("torch")

F = torch.nn.functional
reductions = st.sampled_from(["mean", "sum", "none"])


@st.composite
def classifications(draw: Any) -> Any:
    """Draw logits (N, C, ...) or (C,), class indices with ignored ones, and class weights."""
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    classes = draw(st.integers(1, 4))
    size = draw(st.lists(st.integers(1, 3), max_size=2))
    one = draw(st.booleans()) and not size
    shape = (classes,) if one else (draw(st.integers(0, 4)), classes, *size)
    x = laid_out(rng.standard_normal(shape), draw(layouts))
    labels = rng.integers(0, classes, () if one else (shape[0], *size))
    ignore = draw(st.sampled_from([-100, 0]))
    if labels.size > 1 and labels.ndim:
        labels.flat[0] = ignore
    weight = rng.random(classes) + 0.1 if draw(st.booleans()) else None
    return x, labels, weight, ignore


def _both(value: Any) -> tuple[Any, Any]:
    if value is None:
        return None, None
    return mg.Tensor(value), torch.from_numpy(np.array(value))


def _nothing_counts(labels: Any, ignore: int) -> bool:
    return bool((labels == ignore).all())  # then the mean is 0 / 0


@given(classifications(), reductions, st.sampled_from([0.0, 0.1, 1.0]))
@pytest.mark.filterwarnings("ignore:invalid value encountered")
def test_cross_entropy_with_class_indices(case: Any, reduction: str, smoothing: float) -> None:
    x, labels, weight, ignore = case
    t, u = _both(labels)
    w, v = _both(weight)
    if reduction == "mean" and _nothing_counts(labels, ignore):
        ours = loss.cross_entropy(mg.Tensor(x), t, w, ignore, reduction, smoothing)
        assert math.isnan(ours.item())
        return
    agree(
        lambda x: loss.cross_entropy(x, t, w, ignore, reduction, smoothing),
        lambda x: F.cross_entropy(
            x, u, v, ignore_index=ignore, reduction=reduction, label_smoothing=smoothing
        ),
        x,
        rtol=1e-10,
    )


@given(classifications(), reductions, st.sampled_from([0.0, 0.1]))
def test_cross_entropy_with_probabilities(case: Any, reduction: str, smoothing: float) -> None:
    x, _, weight, _ = case
    if x.size == 0 and reduction == "mean":
        return
    p = np.random.default_rng(0).random(x.shape)
    w, v = _both(weight)
    agree(
        lambda x, p: loss.cross_entropy(x, p, w, -100, reduction, smoothing),
        lambda x, p: F.cross_entropy(x, p, v, reduction=reduction, label_smoothing=smoothing),
        x,
        p,
        rtol=1e-10,
    )


@given(classifications(), reductions)
def test_nll_loss(case: Any, reduction: str) -> None:
    x, labels, weight, ignore = case
    if reduction == "mean" and _nothing_counts(labels, ignore):
        return
    t, u = _both(labels)
    w, v = _both(weight)
    agree(
        lambda x: loss.nll_loss(x, t, w, ignore, reduction),
        lambda x: F.nll_loss(x, u, v, ignore_index=ignore, reduction=reduction),
        x,
        rtol=1e-10,
    )


def test_masked_and_extreme_logits() -> None:
    x = mg.tensor([[0.0, float("-inf"), 0.0], [1e4, -1e4, 0.0]], requires_grad=True)
    y = loss.cross_entropy(x, mg.tensor([0, 1]), reduction="none")
    np.testing.assert_allclose(y.detach().numpy(), [math.log(2.0), 2e4], rtol=1e-6)
    y.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), [[-0.5, 0, 0.5], [1, -1, 0]], atol=1e-6)


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss"])
def test_a_batch_in_which_nothing_counts_has_no_gradient(name: str) -> None:
    x = mg.ones(2, 3, requires_grad=True)
    loss = getattr(mg.nn.functional, name)(x, mg.tensor([-100, -100]))
    loss.backward()
    assert np.isnan(loss.item())
    assert x.grad is not None
    assert x.grad.tolist() == [[0.0] * 3] * 2


def test_half_precision_sums_do_not_overflow() -> None:
    x = mg.randn(70000, 2).half().requires_grad_()
    y = loss.cross_entropy(x, mg.zeros(70000, dtype="int64"))
    y.backward()
    assert y.dtype == x.grad.dtype == "float16"
    expected = F.cross_entropy(
        torch.from_numpy(x.detach().numpy()).double(), torch.zeros(70000, dtype=torch.long)
    )
    assert abs(y.item() - expected.item()) < 1e-3


UNIT = st.integers(0, 2**32 - 1).map(lambda s: np.random.default_rng(s).random((3, 4)))


@given(UNIT, UNIT, reductions, st.booleans())
def test_binary_cross_entropy(x: Any, t: Any, reduction: str, weighted: bool) -> None:
    w, v = _both(np.arange(4.0) if weighted else None)
    agree(
        lambda x, t: loss.binary_cross_entropy(x, t, w, reduction),
        lambda x, t: F.binary_cross_entropy(x, t, v, reduction=reduction),
        x,
        t,
        rtol=1e-6,  # PyTorch's second derivative adds 1e-12 below the line
    )


def test_binary_cross_entropy_of_certain_inputs() -> None:
    values, targets = [0.0, 1.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0]
    x = mg.tensor(values, requires_grad=True)
    z = torch.tensor(values, requires_grad=True)
    y = loss.binary_cross_entropy(x, mg.tensor(targets), reduction="none")
    u = F.binary_cross_entropy(z, torch.tensor(targets), reduction="none")
    y.sum().backward()
    u.sum().backward()
    np.testing.assert_allclose(y.detach().numpy(), u.detach().numpy())
    np.testing.assert_allclose(x.grad.numpy(), z.grad.numpy(), rtol=1e-5)


@given(arrays(max_dims=3), reductions, st.booleans(), st.booleans())
@pytest.mark.filterwarnings("ignore:invalid value encountered", "ignore:Mean of empty")
def test_binary_cross_entropy_with_logits(
    x: Any, reduction: str, weighted: bool, positive: bool
) -> None:
    if x.size == 0:
        return
    rng = np.random.default_rng(0)
    t = rng.random(x.shape)
    w, v = _both(rng.random(x.shape) if weighted else None)
    p, q = _both(rng.random(x.shape[-1:]) * 3 if positive else None)
    agree(
        lambda x, t: loss.binary_cross_entropy_with_logits(x, t, w, reduction, p),
        lambda x, t: F.binary_cross_entropy_with_logits(x, t, v, reduction=reduction, pos_weight=q),
        x,
        t,
        rtol=1e-10,
    )


REGRESSION: list[tuple[str, dict[str, float]]] = [
    ("mse_loss", {}),
    ("l1_loss", {}),
    ("smooth_l1_loss", {}),
    ("smooth_l1_loss", {"beta": 0.3}),
    ("smooth_l1_loss", {"beta": 0.0}),
    ("huber_loss", {}),
    ("huber_loss", {"delta": 0.4}),
]


@pytest.mark.parametrize(("name", "options"), REGRESSION)
@given(x=arrays(min_side=1, max_dims=3, ties=False), reduction=reductions)
def test_regression(name: str, options: dict[str, float], x: Any, reduction: str) -> None:
    t = np.random.default_rng(1).standard_normal(x.shape)
    agree(
        lambda x, t: getattr(loss, name)(x, t, reduction, **options),
        lambda x, t: getattr(F, name)(x, t, reduction=reduction, **options),
        x,
        t,
        rtol=1e-10,
    )


@given(
    arrays(min_side=1, max_dims=3), st.booleans(), st.sampled_from(["mean", "batchmean", "none"])
)
@pytest.mark.filterwarnings("ignore:reduction")
def test_kl_div(x: Any, log_target: bool, reduction: str) -> None:
    t = np.random.default_rng(0).random(x.shape)
    if t.ndim and not log_target:
        t.flat[0] = 0.0
    t.setflags(write=True)
    if x.ndim == 0 and reduction == "batchmean":
        return
    u = torch.from_numpy(t)
    agree(
        lambda x: loss.kl_div(x, mg.Tensor(t), reduction, log_target),
        lambda x: F.kl_div(x, u, reduction=reduction, log_target=log_target),
        x,
        rtol=1e-10,
    )


@pytest.mark.parametrize("dtype", ["float16", "float32"])
@pytest.mark.parametrize("name", ["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "kl_div"])
def test_dtype_stays(name: str, dtype: str) -> None:
    x, t = mg.rand(3, 4).to(dtype).requires_grad_(), mg.rand(3, 4)
    y = getattr(loss, name)(x, t)
    y.backward()
    assert y.dtype == x.grad.dtype == dtype


x24, i2 = mg.zeros(2, 4), mg.tensor([0, 1])
WRONG: list[Any] = [
    (lambda: loss.cross_entropy(x24, mg.tensor([0, 4])), OptionError, "label 4 .* 4 classes"),
    (lambda: loss.cross_entropy(x24, mg.tensor([-1, 0])), OptionError, "label -1 .*ignore_index"),
    (lambda: loss.cross_entropy(x24, mg.tensor([0, 1, 2])), ShapeError, r"\(2,\), got \(3,\)"),
    (lambda: loss.cross_entropy(x24, mg.tensor([0.0, 1.0])), DTypeError, "target.long"),
    (lambda: loss.cross_entropy(x24, i2, mg.ones(3)), ShapeError, "one number per class"),
    (lambda: loss.cross_entropy(x24, i2, reduction="maen"), OptionError, "did you mean 'mean'"),
    (lambda: loss.cross_entropy(x24, i2, label_smoothing=2.0), OptionError, "label_smoothing"),
    (lambda: loss.cross_entropy(mg.zeros(2, 0), i2), ShapeError, r"\(N, C\)"),
    (lambda: loss.cross_entropy(x24.long(), i2), DTypeError, "float"),
    (lambda: loss.nll_loss(x24, mg.tensor([0, 9])), OptionError, "label 9"),
    (lambda: loss.mse_loss(x24, mg.zeros(2, 1)), ShapeError, "one shape"),
    (lambda: loss.binary_cross_entropy(x24 + 2.0, x24), OptionError, "sigmoid"),
    (lambda: loss.smooth_l1_loss(x24, x24, beta=-1.0), OptionError, "beta"),
    (lambda: loss.huber_loss(x24, x24, delta=0.0), OptionError, "delta"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "kind", "message"), WRONG)
def test_errors_teach(call: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        call()


def test_binary_cross_entropy_of_a_small_probability_is_exact() -> None:
    x = mg.tensor([1e-9], requires_grad=True)
    y = loss.binary_cross_entropy(x, mg.tensor([0.0]))
    assert y.item() == pytest.approx(1e-9)
