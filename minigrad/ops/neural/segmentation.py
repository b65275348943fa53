"""Losses of segmentation: the overlap of prediction and target (Dice), alone or with entropy."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from minigrad import dtypes
from minigrad.backend import at_hand, get_xp
from minigrad.errors import DTypeError, OptionError, ShapeError, unknown
from minigrad.modes import state
from minigrad.ops.arguments import check_floating, check_tensor
from minigrad.ops.declare import operation
from minigrad.ops.elementwise import clamp, log, sigmoid, where
from minigrad.ops.neural.activation import softmax
from minigrad.ops.neural.loss import (
    _check_reduction,
    _class_indices,
    _class_weight,
    _reduce,
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cross_entropy,
    nll_loss,
)
from minigrad.ops.operands import cast
from minigrad.ops.precision import FLOAT32, obey
from minigrad.ops.reduce import mean, sum
from minigrad.ops.shape import reshape
from minigrad.tensor import Tensor, wrap

VOLUMES = ("square", "simple", "uniform")


class Maps(NamedTuple):
    """Prediction and target of every class at every position, (N, C, positions)."""

    p: Tensor
    t: Tensor
    dtype: Any  # of the result; sums over many positions are taken in float32 at least


def _maps(
    name: str,
    input: Any,
    target: Any,
    ignore_index: int,
    from_logits: bool,
    multilabel: bool,
) -> Maps:
    """Return probabilities and target as (N, C, positions); 0 where a position does not count."""
    x, target = check_tensor(name, input), check_tensor(name, target)
    if state.autocast is not None:
        x, target = obey("dice_loss", x, target)
    check_floating(name, x)
    if x.ndim < 3:
        raise ShapeError(f"{name}: input must be (N, C, ...) with positions, got shape {x.shape}")
    dtype, x = x.dtype, cast(x, dtypes.float32) if x.dtype.itemsize == 2 else x
    n, classes = x.shape[:2]
    rows = (n, classes, math.prod(x.shape[2:]))

    def probabilities(x: Tensor) -> Tensor:
        if not from_logits:
            return _probabilities(name, x)
        return sigmoid(x) if multilabel or classes == 1 else softmax(x, 1)

    if target.shape == x.shape:
        return Maps(reshape(probabilities(x), rows), reshape(cast(target, x.dtype), rows), dtype)
    if multilabel and classes > 1:
        raise ShapeError(
            f"{name}: with multilabel=True every class has a target of its own, so target must "
            f"have the input's shape {x.shape}, got {target.shape}"
        )
    # One class means yes or no: index 1 is the class, 0 the background.
    labels, counts = _class_indices(name, x, target, max(classes, 2), ignore_index)
    xp = get_xp(labels)
    wanted = xp.arange(classes)[:, None] if classes > 1 else 1
    here = counts.reshape(n, 1, -1).astype(x.dtype)
    t = wrap((labels.reshape(n, 1, -1) == wanted) * here)
    if at_hand(counts) and counts.all():
        return Maps(reshape(probabilities(x), rows), t, dtype)
    x = only(x, counts)
    return Maps(reshape(probabilities(x), rows) * wrap(here), t, dtype)


def only(x: Tensor, counts: Any) -> Tensor:
    """Return x (N, C, ...) with 0 at the positions that do not count: NaN there goes nowhere."""
    return where(wrap(counts.reshape(x.shape[0], 1, *x.shape[2:]) != 0), x, 0.0)  # type: ignore[no-any-return]


def _probabilities(name: str, x: Tensor) -> Tensor:
    outside = ~((x.array >= 0) & (x.array <= 1))
    if outside.any():
        raise OptionError(
            f"{name}: with from_logits=False the input must be probabilities between 0 and 1, got "
            f"{x.array[outside][0]}; apply softmax or sigmoid first, or pass logits with "
            "from_logits=True"
        )
    return x


def _foreground(name: str, maps: Maps, include_background: bool) -> Maps:
    """Leave class 0 out where it is asked for."""
    if include_background:
        return maps
    if maps.p.shape[1] < 2:
        raise OptionError(
            f"{name}: include_background=False leaves no class; one class has no background "
            "channel, pass include_background=True"
        )
    return Maps(maps.p[:, 1:], maps.t[:, 1:], maps.dtype)


@operation("functional", autocast=FLOAT32)
def dice_loss(
    input: Tensor,
    target: Tensor,
    smooth: float = 1.0,
    ignore_index: int = -100,
    reduction: str = "mean",
    *,
    weight: Tensor | None = None,
    include_background: bool = True,
    from_logits: bool = True,
    multilabel: bool = False,
    batch: bool = False,
    squared: bool = False,
) -> Tensor:
    """One minus the Dice coefficient of every class of every sample.

    ``1 - (2 * sum(p * t) + smooth) / (sum(p) + sum(t) + smooth)``, sums over all positions of a
    sample; p is ``softmax(input)`` over the classes, or ``sigmoid(input)`` if there is one class.

    Parameters
    ----------
    input : Tensor, (N, C, ...)
        Logits.
    target : Tensor
        Class indices (N, ...), integer; or t itself, (N, C, ...).
    smooth : float, default 1
        Keeps the quotient away from 0 / 0 where a class is absent.
    ignore_index : int, default -100
        Positions with this class index do not count.
    reduction : {'mean', 'sum', 'none'}
        'none' gives (N, C).
    weight : Tensor, (C,), optional
        Weight of each class; the mean is the sum of losses over the sum of the weights.
    include_background : bool, default True
        Whether class 0 counts; without it there are C - 1 classes, `weight` included.
    from_logits : bool, default True
        False if `input` holds probabilities already.
    multilabel : bool, default False
        Classes may overlap: each has its own sigmoid, and target has the shape of input.
    batch : bool, default False
        Sum over the samples too, as if the batch were one large image; 'none' gives (1, C).
    squared : bool, default False
        ``p**2`` and ``t**2`` in the denominator, as in V-Net.

    Returns
    -------
    Tensor

    Raises
    ------
    ShapeError, OptionError
        If the target does not fit the input, a label is out of range, or a probability is not one.

    Notes
    -----
    Source: Milletari et al., V-Net, arXiv:1606.04797 (with p in place of its square in the
    denominator, unless `squared`).

    Examples
    --------
    >>> import minigrad as mg
    >>> logits = mg.tensor([[[30.0, -30.0], [-30.0, 30.0]]])  # sure of classes 0 and 1
    >>> mg.nn.functional.dice_loss(logits, mg.tensor([[0, 1]]))
    tensor(0.)
    """
    name = "dice_loss"
    _check_reduction(name, reduction)
    _check_smooth(name, smooth)
    maps = _maps(name, input, target, ignore_index, from_logits, multilabel)
    p, t, dtype = _foreground(name, maps, include_background)
    w = _class_weight(name, weight, p.shape[1], p.dtype)
    overlap: Any = sum(p * t, 2)
    size: Any = sum(p * p, 2) + sum(t * t, 2) if squared else sum(p, 2) + sum(t, 2)
    if batch:
        overlap, size = sum(overlap, 0, keepdim=True), sum(size, 0, keepdim=True)
    loss: Any = 1.0 - (overlap * 2.0 + smooth) / (size + smooth)
    if w is not None:
        loss = loss * wrap(w)
        if reduction == "mean":
            return cast(sum(loss) / (loss.shape[0] * float(w.sum())), dtype)
    return cast(_reduce(loss, reduction), dtype)


def _check_smooth(name: str, smooth: float) -> None:
    if not smooth >= 0.0:
        raise OptionError(f"{name}: smooth must not be negative, got {smooth}")


@operation("functional")
def generalized_dice_loss(
    input: Tensor,
    target: Tensor,
    weight_type: str = "square",
    smooth: float = 1e-5,
    ignore_index: int = -100,
    reduction: str = "mean",
    *,
    include_background: bool = True,
    from_logits: bool = True,
    multilabel: bool = False,
) -> Tensor:
    """One minus a Dice coefficient of all classes together, rare ones weighing more.

    ``1 - (2 * sum_c(w_c * sum(p * t)) + smooth) / (sum_c(w_c * sum(p + t)) + smooth)`` per sample,
    with ``w_c = 1 / sum(t)**2``; a class that a sample lacks weighs as much as its rarest one.

    Parameters
    ----------
    input, target, smooth, ignore_index, include_background, from_logits, multilabel
        As for `dice_loss`.
    weight_type : {'square', 'simple', 'uniform'}
        ``1 / sum(t)**2``, ``1 / sum(t)`` or 1.
    reduction : {'mean', 'sum', 'none'}
        'none' gives (N,).

    Returns
    -------
    Tensor

    Notes
    -----
    Source: Sudre et al., arXiv:1707.03237.

    Examples
    --------
    >>> import minigrad as mg
    >>> logits = mg.tensor([[[30.0, -30.0], [-30.0, 30.0]]])
    >>> mg.nn.functional.generalized_dice_loss(logits, mg.tensor([[1, 0]]))
    tensor(1.0000)
    """
    name = "generalized_dice_loss"
    _check_reduction(name, reduction)
    _check_smooth(name, smooth)
    if weight_type not in VOLUMES:
        raise unknown(f"{name} weight_type", weight_type, VOLUMES)
    maps = _maps(name, input, target, ignore_index, from_logits, multilabel)
    p, t, dtype = _foreground(name, maps, include_background)
    w = wrap(_volume_weights(t.array.sum(2), weight_type))
    overlap: Any = sum(sum(p * t, 2) * w, 1)
    size: Any = sum((sum(p, 2) + sum(t, 2)) * w, 1)
    return cast(_reduce(1.0 - (overlap * 2.0 + smooth) / (size + smooth), reduction), dtype)


def _volume_weights(volume: Any, kind: str) -> Any:
    """Return the weight of every class of every sample from its size; (N, C)."""
    xp = get_xp(volume)
    if kind == "uniform":
        return xp.ones_like(volume)
    present = volume > 0
    w = present / xp.where(present, volume, 1.0) ** (2 if kind == "square" else 1)
    most = w.max(axis=1, keepdims=True)
    return xp.where(present, w, xp.where(most > 0, most, 1.0)).astype(volume.dtype)


@operation("functional")
def dice_ce_loss(
    input: Tensor,
    target: Tensor,
    dice_weight: float = 1.0,
    ce_weight: float = 1.0,
    smooth: float = 1.0,
    ignore_index: int = -100,
    reduction: str = "mean",
    *,
    weight: Tensor | None = None,
    label_smoothing: float = 0.0,
    include_background: bool = True,
    from_logits: bool = True,
    multilabel: bool = False,
    batch: bool = False,
) -> Tensor:
    """``dice_weight * dice_loss + ce_weight * cross_entropy``: overlap and every position's vote.

    With one class, or with `multilabel`, the second is the binary cross entropy of every class.

    Parameters
    ----------
    input, target, smooth, ignore_index, from_logits, multilabel, batch
        As for `dice_loss`.
    dice_weight, ce_weight : float, default 1
        Of the two parts; not negative.
    reduction : {'mean', 'sum'}
        Of each part.
    weight : Tensor, (C,), optional
        Weight of each class in the cross entropy.
    label_smoothing : float, default 0
        Of the cross entropy.
    include_background : bool, default True
        Whether class 0 counts in the Dice part; in the cross entropy it always does.

    Returns
    -------
    Tensor
        0-d.

    Notes
    -----
    Source: Isensee et al., nnU-Net, Nature Methods 18 (2021), which uses both parts equally.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.dice_ce_loss(mg.zeros(1, 2, 2), mg.tensor([[0, 1]]))
    tensor(1.0265)
    """
    name = "dice_ce_loss"
    if reduction not in ("mean", "sum"):
        raise unknown(f"{name} reduction", reduction, ("mean", "sum"))
    if dice_weight < 0 or ce_weight < 0:
        raise OptionError(
            f"{name}: dice_weight and ce_weight must not be negative, got {dice_weight} and "
            f"{ce_weight}"
        )
    x, t = check_tensor(name, input), check_tensor(name, target)
    dice: Any = dice_loss(
        x, t, smooth, ignore_index, reduction, include_background=include_background,
        from_logits=from_logits, multilabel=multilabel, batch=batch,
    )  # fmt: skip
    if multilabel or x.shape[1] == 1:
        if label_smoothing:
            raise OptionError(f"{name}: label_smoothing needs classes that exclude each other")
        entropy = _binary(name, x, t, ignore_index, reduction, weight, from_logits)
    elif from_logits:
        entropy = cross_entropy(x, t, weight, ignore_index, reduction, label_smoothing)
    else:
        entropy = _from_probabilities(name, x, t, weight, ignore_index, reduction, label_smoothing)
    return dice * dice_weight + entropy * ce_weight  # type: ignore[no-any-return]


def _from_probabilities(
    name: str,
    x: Tensor,
    t: Tensor,
    weight: Any,
    ignore_index: int,
    reduction: str,
    smoothing: float,
) -> Any:
    """Return the cross entropy of probabilities; no logarithm sees less than 1e-7."""
    if smoothing or t.shape == x.shape:
        raise OptionError(
            f"{name}: with from_logits=False the target must be class indices and label_smoothing "
            "0; pass logits"
        )
    x = only(x, t.array != ignore_index)
    return nll_loss(log(clamp(x, 1e-7)), t, weight, ignore_index, reduction)


def _binary(
    name: str, x: Tensor, t: Tensor, ignore_index: int, reduction: str, weight: Any, logits: bool
) -> Any:
    """Return the binary cross entropy of every class, over the positions that count."""
    counts: Any = None
    if t.shape != x.shape:  # class indices for one class
        if t.dtype.kind == "f":
            raise DTypeError(f"{name}: class indices must be integers, got {t.dtype}")
        labels = reshape(t, (t.shape[0], 1, *t.shape[1:]))
        counts = cast(labels != ignore_index, x.dtype)
        t = cast(labels, x.dtype) * counts
        x = only(x, counts.array)
    function = binary_cross_entropy_with_logits if logits else binary_cross_entropy
    each: Any = function(x, cast(t, x.dtype), reduction="none")
    w = _class_weight(name, weight, x.shape[1], each.dtype)
    if w is not None:
        each = each * reshape(wrap(w), (-1, *[1] * (x.ndim - 2)))
    if counts is not None:
        each = each * counts
        if reduction == "mean":
            return sum(each) / wrap(get_xp(counts.array).maximum(counts.array.sum(), 1.0))
    return mean(each) if reduction == "mean" else sum(each)
