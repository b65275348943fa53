"""Dice losses beside PyTorch formulas written out, their options, and what they refuse."""

from __future__ import annotations

import math
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import minigrad as mg
from minigrad import nn
from minigrad.errors import DTypeError, MinigradError, OptionError, ShapeError
from minigrad.nn import functional as ours
from minigrad.ops.neural import segmentation as loss
from tests.ops.parity import agree

torch = pytest.importorskip("torch")

F = torch.nn.functional
RNG = np.random.default_rng(0)
LOGITS = RNG.standard_normal((2, 3, 4, 5))
LABELS = RNG.integers(0, 3, (2, 4, 5))
HOT = np.moveaxis(np.eye(3)[LABELS], -1, 1)
WEIGHT = np.array([0.2, 1.0, 3.0])


def _both(value: Any) -> tuple[Any, Any]:
    return mg.Tensor(value), torch.from_numpy(np.array(value))


def _torch_dice(x: Any, t: Any, smooth: float) -> Any:
    classes = x.shape[1]
    p = x.softmax(1) if classes > 1 else x.sigmoid()
    hot = F.one_hot(t, max(classes, 2)).movedim(-1, 1).double()
    hot = hot if classes > 1 else hot[:, 1:]
    positions = tuple(range(2, x.ndim))
    top = 2 * (p * hot).sum(positions) + smooth
    return (1 - top / (p.sum(positions) + hot.sum(positions) + smooth)).mean()


@pytest.mark.parametrize("classes", [1, 2, 4])
def test_dice_loss(classes: int) -> None:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, classes, 3, 5))
    labels = rng.integers(0, max(classes, 2), (2, 3, 5))
    t, u = _both(labels)
    agree(lambda x: loss.dice_loss(x, t, 0.5), lambda x: _torch_dice(x, u, 0.5), x, rtol=1e-10)
    hot = np.stack([labels == c for c in range(classes)] if classes > 1 else [labels == 1], 1)
    np.testing.assert_allclose(
        loss.dice_loss(mg.Tensor(x), mg.Tensor(hot)).item(), loss.dice_loss(mg.Tensor(x), t).item()
    )
    labels[:, 0] = -100
    shown = loss.dice_loss(mg.Tensor(x), mg.Tensor(labels), reduction="none")
    cut = loss.dice_loss(mg.Tensor(x[:, :, 1:]), mg.Tensor(labels[:, 1:]), reduction="none")
    np.testing.assert_allclose(shown.numpy(), cut.numpy())


def _parts(x: Any, options: dict[str, Any]) -> tuple[Any, Any]:
    """Probabilities and target, (N, C, positions), in PyTorch."""
    p = x.sigmoid() if options.get("multilabel") else x.softmax(1)
    if not options.get("from_logits", True):
        p = x
    t = torch.from_numpy(HOT)
    if not options.get("include_background", True):
        p, t = p[:, 1:], t[:, 1:]
    return p.flatten(2), t.flatten(2)


def _dice(x: Any, reduction: str = "mean", weight: Any = None, **options: Any) -> Any:
    p, t = _parts(x, options)
    power = 2 if options.get("squared") else 1
    top, size = 2 * (p * t).sum(2), (p**power).sum(2) + (t**power).sum(2)
    if options.get("batch"):
        top, size = top.sum(0, keepdim=True), size.sum(0, keepdim=True)
    value = 1 - (top + 1) / (size + 1)
    if weight is not None:
        w = torch.from_numpy(weight).expand_as(value)
        return (value * w).sum() / w.sum() if reduction == "mean" else value * w
    return {"none": value, "mean": value.mean(), "sum": value.sum()}[reduction]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"reduction": "none", "weight": WEIGHT},
        {"weight": WEIGHT},
        {"include_background": False, "weight": WEIGHT[1:]},
        {"multilabel": True},
        {"batch": True, "reduction": "none"},
        {"batch": True, "squared": True},
        {"from_logits": False, "reduction": "sum"},
    ],
)
def test_options_of_dice(options: dict[str, Any]) -> None:
    x = LOGITS if options.get("from_logits", True) else 1 / (1 + np.exp(-LOGITS))
    target = mg.Tensor(HOT if options.get("multilabel") else LABELS)
    own = {k: mg.Tensor(v) if k == "weight" else v for k, v in options.items()}
    agree(lambda x: ours.dice_loss(x, target, **own), lambda x: _dice(x, **options), x, rtol=1e-9)


@pytest.mark.parametrize("weight_type", loss.VOLUMES)
@pytest.mark.parametrize("background", [True, False])
def test_generalized_dice(weight_type: str, background: bool) -> None:
    def theirs(x: Any) -> Any:
        p, t = _parts(x, {"include_background": background})
        size = t.sum(2)
        w = {"square": 1 / size**2, "simple": 1 / size, "uniform": torch.ones_like(size)}[
            weight_type
        ]
        top, low = ((p * t).sum(2) * w).sum(1), ((p + t).sum(2) * w).sum(1)
        return (1 - (2 * top + 1e-5) / (low + 1e-5)).mean()

    agree(
        lambda x: ours.generalized_dice_loss(
            x, mg.Tensor(LABELS), weight_type, include_background=background
        ),
        theirs,
        LOGITS,
        rtol=1e-9,
    )


def test_generalized_dice_where_classes_are_absent() -> None:
    x, t = mg.Tensor(LOGITS), mg.Tensor(np.zeros_like(LABELS))
    each = ours.generalized_dice_loss(x, t, reduction="none")
    assert each.shape == (2,)
    assert bool(((each > 0) & (each < 1)).all())
    rare = LABELS.copy()
    rare[:, 0, 0], rare[LABELS == 2] = 2, 0
    rare[:, 0, 0] = 2
    w = loss._volume_weights(np.array([[4.0, 2.0, 0.0], [0.0, 0.0, 0.0]]), "square")
    np.testing.assert_allclose(w, [[1 / 16, 1 / 4, 1 / 4], [1, 1, 1]])


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_dice_and_cross_entropy(reduction: str) -> None:
    w = torch.from_numpy(WEIGHT)
    agree(
        lambda x: ours.dice_ce_loss(
            x, mg.Tensor(LABELS), 0.5, 2.0, reduction=reduction, weight=mg.Tensor(WEIGHT),
            label_smoothing=0.1, include_background=False,
        ),
        lambda x: (
            0.5 * _dice(x, reduction, include_background=False)
            + 2 * F.cross_entropy(
                x, torch.from_numpy(LABELS), w, reduction=reduction, label_smoothing=0.1
            )
        ),
        LOGITS,
        rtol=1e-9,
    )  # fmt: skip


def test_dice_and_cross_entropy_of_probabilities() -> None:
    p = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
    target = mg.Tensor(LABELS)
    a = ours.dice_ce_loss(mg.Tensor(p), target, from_logits=False).item()
    assert a == pytest.approx(ours.dice_ce_loss(mg.Tensor(LOGITS), target).item())
    hard = ours.dice_ce_loss(mg.Tensor(HOT), target, from_logits=False)
    assert hard.item() == pytest.approx(0.0)


@pytest.mark.parametrize("logits", [True, False])
def test_one_class_has_binary_cross_entropy_and_ignores_positions(logits: bool) -> None:
    x = LOGITS[:, :1] if logits else 1 / (1 + np.exp(-LOGITS[:, :1]))
    labels = (LABELS == 1).astype(np.int64)
    labels[:, 0] = 9

    def theirs(x: Any) -> Any:
        p = x.sigmoid() if logits else x
        t = torch.from_numpy(labels[:, None, 1:] == 1).double()
        p = p[:, :, 1:]
        top, size = 2 * (p * t).flatten(2).sum(2), (p + t).flatten(2).sum(2)
        return (1 - (top + 1) / (size + 1)).mean() + F.binary_cross_entropy(p, t)

    agree(
        lambda x: ours.dice_ce_loss(x, mg.Tensor(labels), ignore_index=9, from_logits=logits),
        theirs,
        x,
        rtol=1e-9,
        second=logits,
    )


def test_several_labels_at_one_position() -> None:
    t = (LOGITS > 0.3).astype(np.float64)
    w = torch.from_numpy(WEIGHT)[:, None, None]

    def theirs(x: Any) -> Any:
        p, u = x.sigmoid().flatten(2), torch.from_numpy(t).flatten(2)
        value = (1 - (2 * (p * u).sum(2) + 1) / ((p + u).sum(2) + 1)).mean()
        each = F.binary_cross_entropy_with_logits(x, torch.from_numpy(t), reduction="none")
        return value + (each * w).mean()

    agree(
        lambda x: ours.dice_ce_loss(x, mg.Tensor(t), multilabel=True, weight=mg.Tensor(WEIGHT)),
        theirs,
        LOGITS,
        rtol=1e-9,
    )


def test_half_precision_does_not_overflow() -> None:
    x = mg.zeros(1, 2, 300, 300, dtype=mg.float16).requires_grad_()
    y = ours.dice_loss(x, mg.zeros(1, 300, 300).long())
    assert y.dtype == mg.float16
    assert y.item() == pytest.approx((1 / 3 + 1) / 2, abs=1e-3)
    y.backward()
    assert bool(x.grad.isfinite().all())


def test_layers_say_what_the_functions_say() -> None:
    x, t, w = mg.Tensor(LOGITS), mg.Tensor(LABELS), mg.Tensor(WEIGHT)
    pairs = [
        (nn.DiceLoss(weight=w, batch=True), ours.dice_loss(x, t, weight=w, batch=True)),
        (nn.DiceLoss(0.1, squared=True), ours.dice_loss(x, t, 0.1, squared=True)),
        (nn.GeneralizedDiceLoss("simple"), ours.generalized_dice_loss(x, t, "simple")),
        (
            nn.DiceCELoss(0.3, weight=w, label_smoothing=0.2),
            ours.dice_ce_loss(x, t, 0.3, weight=w, label_smoothing=0.2),
        ),
    ]
    for layer, expected in pairs:
        assert layer(x, t).item() == expected.item()


x23, t3 = mg.zeros(1, 2, 3), mg.tensor([[0, 1, 0]])
WRONG: list[Any] = [
    (lambda: ours.dice_loss(mg.zeros(2, 4), mg.tensor([0, 1])), ShapeError, r"\(N, C, \.\.\.\)"),
    (lambda: ours.dice_loss(x23, mg.tensor([[0, 1, 2]])), OptionError, "label 2"),
    (lambda: ours.dice_loss(x23, t3, reduction="men"), OptionError, "did you mean 'mean'"),
    (lambda: ours.dice_loss(x23, t3, smooth=-1.0), OptionError, "smooth must not be negative"),
    (lambda: ours.dice_loss(x23, t3, weight=mg.ones(3)), ShapeError, "one number per class"),
    (lambda: ours.dice_loss(x23 + 2, t3, from_logits=False), OptionError, "between 0 and 1, got 2"),
    (lambda: ours.dice_loss(x23, t3, multilabel=True), ShapeError, "a target of its own"),
    (
        lambda: ours.dice_loss(x23[:, :1], t3, include_background=False),
        OptionError,
        "leaves no class",
    ),
    (lambda: ours.generalized_dice_loss(x23, t3, "cube"), OptionError, "unknown .*weight_type"),
    (lambda: nn.GeneralizedDiceLoss("cube"), OptionError, "unknown .*weight_type"),
    (lambda: ours.dice_ce_loss(x23, t3, -1.0), OptionError, "must not be negative, got -1.0"),
    (lambda: ours.dice_ce_loss(x23, t3, reduction="none"), OptionError, "choose from mean, sum"),
    (
        lambda: ours.dice_ce_loss(x23[:, :1], t3, label_smoothing=0.1),
        OptionError,
        "exclude each other",
    ),
    (lambda: ours.dice_ce_loss(x23[:, :1], t3.float()), DTypeError, r"target\.long\(\)"),
    (
        lambda: ours.dice_ce_loss(x23, t3, from_logits=False, label_smoothing=0.1),
        OptionError,
        "pass logits",
    ),
]


@pytest.mark.parametrize(("call", "kind", "message"), WRONG)
def test_errors_teach(call: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        call()
    assert isinstance(caught.value, MinigradError)


LOSSES: dict[str, Any] = {
    "dice": lambda x, t: ours.dice_loss(x, t, ignore_index=255),
    "dice, squared": lambda x, t: ours.dice_loss(x, t, ignore_index=255, squared=True, batch=True),
    "dice of probabilities": lambda x, t: ours.dice_loss(x, t, ignore_index=255, from_logits=False),
    "generalized dice": lambda x, t: ours.generalized_dice_loss(x, t, ignore_index=255),
    "dice_ce": lambda x, t: ours.dice_ce_loss(x, t, ignore_index=255),
    "dice_ce of probabilities": lambda x, t: ours.dice_ce_loss(
        x, t, ignore_index=255, from_logits=False
    ),
    "cross_entropy": lambda x, t: ours.cross_entropy(x, t, ignore_index=255),
    "cross_entropy, smooth": lambda x, t: ours.cross_entropy(
        x, t, mg.tensor([1.0, 2.0, 0.5][: x.shape[1]]), 255, "sum", 0.1
    ),
    "nll": lambda x, t: ours.nll_loss(x, t, ignore_index=255),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("classes", [1, 2, 3])
@pytest.mark.parametrize("kernels", ["reference", "fast"])
@given(bad=st.sampled_from([math.nan, math.inf, -math.inf, 3e38]), seed=st.integers(0, 99))
@settings(max_examples=10, deadline=None)
def test_what_is_ignored_reaches_neither_result_nor_gradient(
    name: str, classes: int, kernels: str, bad: float, seed: int
) -> None:
    """A map of NaN or infinity at ignored places is as good as one of zeros there."""
    if classes == 1 and not name.startswith("dice"):
        return
    if kernels == "fast":
        pytest.importorskip("numba")
    rng = np.random.default_rng(seed)
    x = rng.uniform(0.1, 0.9, (2, classes, 3, 4)).astype(np.float32)
    t = rng.integers(0, max(2, classes), (2, 3, 4))
    t[rng.random(t.shape) < 0.3] = 255
    ignored = np.broadcast_to((t == 255)[:, None], x.shape)
    outcomes = []
    with mg.backend.use_kernels(kernels):
        for value in (0.0, bad):
            logits = mg.tensor(np.where(ignored, np.float32(value), x), requires_grad=True)
            loss = LOSSES[name](logits, mg.tensor(t))
            loss.backward()
            assert logits.grad is not None
            outcomes.append((loss.item(), logits.grad.numpy()))
    np.testing.assert_allclose(outcomes[1][0], outcomes[0][0], rtol=1e-6)
    np.testing.assert_allclose(outcomes[1][1], outcomes[0][1], rtol=1e-6)
    assert not outcomes[1][1][ignored].any()
