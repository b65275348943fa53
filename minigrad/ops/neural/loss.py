"""Loss functions: classification, regression."""

from __future__ import annotations

import math
from typing import Any

from minigrad import dtypes, modes
from minigrad.autograd.node import Function
from minigrad.backend import at_hand, get_xp
from minigrad.errors import DTypeError, OptionError, ShapeError, unknown
from minigrad.kernels import pick
from minigrad.modes import state
from minigrad.ops.arguments import check_floating, check_tensor, constant
from minigrad.ops.arithmetic import div
from minigrad.ops.declare import operation
from minigrad.ops.elementwise import abs, exp, log, square, where
from minigrad.ops.index import take_along_dim
from minigrad.ops.neural.activation import LogSoftmax, logsigmoid
from minigrad.ops.operands import cast, rounded_once
from minigrad.ops.precision import FLOAT32, obey
from minigrad.ops.reduce import mean, sum
from minigrad.ops.shape import permute, reshape
from minigrad.tensor import Tensor, wrap

_REDUCTIONS = ("none", "mean", "sum")


class CrossEntropy(Function):
    """``-sum(q * log_softmax(x))`` of every row; see `minigrad.kernels.formulas.cross_entropy`."""

    saves = (0, 1)

    def forward(self, x: Any, q: Any) -> Any:
        return pick("cross_entropy", x)(x, q)

    def backward(self, g: Any, x: Any, q: Any) -> Any:
        return (
            pick("cross_entropy_vjp", g)(g, x, q) if self.needs[0] else None,
            LogSoftmax(1)(x) * -g if self.needs[1] else None,
        )


class BinaryCrossEntropy(Function):
    """``-t * log(x) - (1 - t) * log(1 - x)``, both logarithms at least -100 as in PyTorch."""

    several_steps = True
    saves = (0, 1)

    def forward(self, x: Any, t: Any) -> Any:
        xp = get_xp(x)
        return -(t * _log(xp, x) + (1.0 - t) * _log_rest(xp, x))

    def backward(self, g: Any, x: Any, t: Any) -> Any:
        gx = gt = None
        if self.needs[0]:
            gx = g * (x - t) / get_xp(g).clip((1.0 - x) * x, 1e-12, None)
        if self.needs[1]:
            gt = g * (_log_rest(get_xp(g), x) - _log(get_xp(g), x))
        return gx, gt


def _log(xp: Any, x: Any) -> Any:
    """Return log(x), but not less than -100; the logarithm never sees a 0."""
    positive = x > 0.0
    return xp.where(positive, xp.clip(xp.log(xp.where(positive, x, 1.0)), -100.0, None), -100.0)


def _log_rest(xp: Any, x: Any) -> Any:
    """Return log(1 - x), but not less than -100, exact where 1 - x is not."""
    below = x < 1.0
    return xp.where(below, xp.clip(xp.log1p(-xp.where(below, x, 0.0)), -100.0, None), -100.0)


# ---- reductions -----------------------------------------------------------------------------


def _check_reduction(name: str, reduction: str, more: tuple[str, ...] = ()) -> None:
    if reduction not in _REDUCTIONS + more:
        raise unknown(f"{name} reduction", reduction, _REDUCTIONS + more)


def _reduce(loss: Tensor, reduction: str) -> Tensor:
    if reduction == "mean":
        return mean(loss)
    return sum(loss) if reduction == "sum" else loss


def _pair(name: str, input: Any, target: Any, reduction: str) -> tuple[Tensor, Tensor]:
    """Check two tensors of one shape. PyTorch broadcasts here, which is nearly always a mistake."""
    _check_reduction(name, reduction)
    x, t = check_tensor(name, input), check_tensor(name, target)
    if state.autocast is not None:
        x, t = obey(name, x, t)
    check_floating(name, x)
    if x.shape != t.shape:
        raise ShapeError(
            f"{name}: input {x.shape} and target {t.shape} must have one shape; "
            "use target.reshape(input.shape) or target.expand_as(input)"
        )
    return x, cast(t, x.dtype)


# ---- classes --------------------------------------------------------------------------------


def _class_rows(name: str, input: Any) -> Tensor:
    """Return the scores (C,), (N, C) or (N, C, ...) as (rows, C), half precision in float32."""
    x = check_tensor(name, input)
    check_floating(name, x)
    if x.ndim == 0 or x.shape[min(x.ndim - 1, 1)] == 0:
        raise ShapeError(f"{name}: input must be (C,), (N, C) or (N, C, ...), got shape {x.shape}")
    if x.dtype.itemsize == 2:
        x = cast(x, dtypes.float32)
    if x.ndim > 2:
        x = permute(x, (0, *range(2, x.ndim), 1))
    return x if x.ndim == 2 else reshape(x, (math.prod(x.shape[:-1]), x.shape[-1]))


def _class_indices(
    name: str, x: Tensor, target: Tensor, classes: int, ignore_index: int
) -> tuple[Any, Any]:
    """Return the class of every row (0 where ignored) and which rows count, as arrays.

    A class out of range is refused on the CPU. On a GPU a look at the labels would wait for it in
    every step; there such a row counts as NaN, and so does the loss, and `detect_anomaly` refuses.
    """
    expected = x.shape[:1] + x.shape[2:] if x.ndim > 1 else ()
    if target.shape != expected:
        raise ShapeError(
            f"{name}: input {x.shape} has its classes on axis {min(x.ndim - 1, 1)}, so class "
            f"indices must have shape {expected}, got {target.shape}"
        )
    if dtypes.is_floating(target.dtype) or target.dtype == dtypes.bool_:
        raise DTypeError(
            f"{name}: class indices must be integers, got {target.dtype}; convert: target.long()"
        )
    labels = target.array.reshape(-1)
    counts = labels != ignore_index
    xp = get_xp(labels)
    bad = counts & ((labels < 0) | (labels >= classes))
    if not at_hand(labels) and not modes.current().flags & modes.ANOMALY:
        counts = xp.where(bad, math.nan, counts.astype(dtypes.float32))
    elif bad.any():
        raise OptionError(
            f"{name}: label {int(labels[bad][0])} is out of range for {classes} classes "
            f"(0 to {classes - 1}); check num_classes, or pass ignore_index={int(labels[bad][0])}"
        )
    return xp.where(bad | (labels == ignore_index), 0, labels).astype(dtypes.int64), counts


def _class_weight(name: str, weight: Any, classes: int, dtype: Any) -> Any:
    """Return the class weights as an array, or None."""
    if weight is None:
        return None
    w = check_tensor(name, weight)
    if w.shape != (classes,):
        raise ShapeError(
            f"{name}: weight must have one number per class ({classes},), got {w.shape}"
        )
    return w.array.astype(dtype, copy=False)


@operation("functional", autocast=FLOAT32)
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """Cross entropy between logits and classes: ``-log(softmax(input)[target])``.

    Parameters
    ----------
    input : Tensor, (N, C), (C,) or (N, C, ...)
        Logits of C classes, floating.
    target : Tensor
        Class indices of shape (N,), () or (N, ...), integer; or class probabilities of the shape
        of `input`, floating.
    weight : Tensor, (C,), optional
        Weight of each class; gets no gradient.
    ignore_index : int, default -100
        Index of positions that do not count.
    reduction : {'mean', 'sum', 'none'}
        With class indices the mean is weighted: the sum of losses over the sum of the weights.
    label_smoothing : float, default 0
        Share of the target that is spread evenly over all classes, 0 to 1.

    Returns
    -------
    Tensor
        0-d, or of the shape of the class indices with 'none'.

    Raises
    ------
    OptionError
        If a label or an option is out of its range.
    ShapeError, DTypeError
        If the shapes or types of input, target and weight do not fit.

    Examples
    --------
    >>> import minigrad as mg
    >>> logits = mg.tensor([[0.0, 0.0], [3.0, 0.0]])
    >>> mg.nn.functional.cross_entropy(logits, mg.tensor([1, 0]), reduction="none")
    tensor([0.6931, 0.0486])
    """
    name = "cross_entropy"
    _check_reduction(name, reduction)
    if not 0.0 <= label_smoothing <= 1.0:
        raise OptionError(f"{name}: label_smoothing must be between 0 and 1, got {label_smoothing}")
    if state.autocast is not None:
        input, target, weight = obey(name, input, target, weight)
    rows = _class_rows(name, input)
    count, classes = rows.shape
    x, t = check_tensor(name, input), check_tensor(name, target)
    w = _class_weight(name, weight, classes, rows.dtype)
    smooth = label_smoothing / classes
    total = wrap(get_xp(rows.array).full((), float(count), rows.dtype))
    if t.shape == x.shape and dtypes.is_floating(t.dtype):
        q = cast(_class_rows(name, t), rows.dtype) * (1.0 - label_smoothing) + smooth
        q = q if w is None else q * wrap(w)
        shape = x.shape[:1] + x.shape[2:] if x.ndim > 1 else ()
    else:
        labels, counts = _class_indices(name, x, t, classes, ignore_index)
        xp = get_xp(labels)
        every = xp.ones(classes, dtype=rows.dtype) if w is None else w
        counts = counts.astype(rows.dtype)
        own = every[labels] * counts
        weights = counts[:, None] * (every * smooth)
        weights[xp.arange(count), labels] += own * (1.0 - label_smoothing)
        q, total, shape = wrap(weights), constant(own.sum()), t.shape
    loss: Any = reshape(CrossEntropy()(rows, q), shape)
    if reduction != "none":
        loss = sum(loss) if reduction == "sum" else _mean(sum(loss), total)
    return cast(loss, x.dtype)


def _mean(loss: Tensor, total: Tensor) -> Tensor:
    """Return ``loss / total``: NaN where nothing counts, but with a gradient of 0 then, not NaN."""
    nothing = total == 0
    return loss / where(nothing, 1.0, total) + where(nothing, math.nan, 0.0)  # type: ignore[no-any-return]


@operation("functional", autocast=FLOAT32)
def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
) -> Tensor:
    """Negative log likelihood: ``-input[target]``, for log-probabilities.

    ``nll_loss(log_softmax(x, 1), target)`` is ``cross_entropy(x, target)``; for the parameters see
    there.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.nll_loss(mg.tensor([[-0.5, -1.0]]), mg.tensor([1]))
    tensor(1.)
    """
    name = "nll_loss"
    _check_reduction(name, reduction)
    if state.autocast is not None:
        input, target, weight = obey(name, input, target, weight)
    rows = _class_rows(name, input)
    x, t = check_tensor(name, input), check_tensor(name, target)
    w = _class_weight(name, weight, rows.shape[1], rows.dtype)
    labels, counts = _class_indices(name, x, t, rows.shape[1], ignore_index)
    own = (counts if w is None else w[labels] * counts).astype(rows.dtype)
    picked = reshape(take_along_dim(rows, wrap(labels[:, None]), 1), (-1,))
    loss: Any = reshape(where(wrap(counts != 0), picked, 0.0) * wrap(-own), t.shape)
    if reduction != "none":
        loss = sum(loss) if reduction == "sum" else _mean(sum(loss), constant(own.sum()))
    return cast(loss, x.dtype)


# ---- probabilities --------------------------------------------------------------------------


def _weighted(name: str, loss: Tensor, weight: Any, reduction: str) -> Tensor:
    if weight is not None:
        weight = check_tensor(name, weight)
        loss = loss * weight
    return _reduce(loss, reduction)


@operation("functional", autocast=FLOAT32)
def binary_cross_entropy(
    input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean"
) -> Tensor:
    """Cross entropy of probabilities: ``-t * log(x) - (1 - t) * log(1 - x)``.

    Parameters
    ----------
    input : Tensor
        Probabilities, any shape. Logits are better served by `binary_cross_entropy_with_logits`.
    target : Tensor
        Numbers between 0 and 1, of the same shape.
    weight : Tensor, optional
        Multiplier of every element, broadcast.
    reduction : {'mean', 'sum', 'none'}
        What to return.

    Returns
    -------
    Tensor

    Raises
    ------
    OptionError
        If an input is not between 0 and 1.
    ShapeError
        If the shapes differ.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.binary_cross_entropy(mg.tensor([0.5]), mg.tensor([1.0]))
    tensor(0.6931)
    """
    name = "binary_cross_entropy"
    x, t = _pair(name, input, target, reduction)
    outside = ~((x.array >= 0) & (x.array <= 1))
    if outside.any():
        raise OptionError(
            f"{name}: input must be probabilities between 0 and 1, got {x.array[outside][0]}; "
            "apply sigmoid first, or use binary_cross_entropy_with_logits"
        )
    return _weighted(name, BinaryCrossEntropy()(x, t), weight, reduction)


@operation("functional", autocast=FLOAT32)
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """Cross entropy of ``sigmoid(input)``, computed without overflow.

    ``-w * (pos_weight * t * log(sigmoid(x)) + (1 - t) * log(1 - sigmoid(x)))``

    Parameters
    ----------
    input : Tensor
        Logits, any shape.
    target : Tensor
        Numbers between 0 and 1, of the same shape.
    weight : Tensor, optional
        Multiplier of every element, broadcast.
    reduction : {'mean', 'sum', 'none'}
        What to return.
    pos_weight : Tensor, optional
        Weight of positive targets, broadcast (one number per class, usually).

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import minigrad as mg
    >>> F = mg.nn.functional
    >>> F.binary_cross_entropy_with_logits(mg.zeros(2), mg.tensor([0.0, 1.0]))
    tensor(0.6931)
    """
    name = "binary_cross_entropy_with_logits"
    x, t = _pair(name, input, target, reduction)
    likelihood = -logsigmoid(x)
    if pos_weight is not None:  # 1 - t + pos_weight * t
        likelihood = likelihood * (1.0 + (check_tensor(name, pos_weight) - 1.0) * t)
    return _weighted(name, (1.0 - t) * x + likelihood, weight, reduction)


@operation("functional", autocast=FLOAT32)
def kl_div(
    input: Tensor, target: Tensor, reduction: str = "mean", log_target: bool = False
) -> Tensor:
    """Kullback-Leibler divergence: ``target * (log(target) - input)``, elementwise.

    Parameters
    ----------
    input : Tensor
        Log-probabilities.
    target : Tensor
        Probabilities of the same shape, or their logarithms with `log_target`.
    reduction : {'mean', 'sum', 'none', 'batchmean'}
        'batchmean' divides the sum by the length of axis 0: the divergence as mathematics has it.
    log_target : bool, default False
        `target` holds logarithms.

    Returns
    -------
    Tensor

    Examples
    --------
    >>> import minigrad as mg
    >>> p, q = mg.tensor([[0.5, 0.5]]), mg.tensor([[0.25, 0.75]])
    >>> mg.nn.functional.kl_div(q.log(), p, reduction="batchmean")
    tensor(0.1438)
    """
    _check_reduction("kl_div", reduction, ("batchmean",))
    x, t = _pair("kl_div", input, target, "none")
    if log_target:
        loss = exp(t) * (t - x)
    else:
        zero = wrap(t.array == 0)
        loss = where(zero, 0.0, t * log(where(zero, 1.0, t))) - t * x
    if reduction == "batchmean":
        return div(sum(loss), x.shape[0] if x.ndim else 1)
    return _reduce(loss, reduction)


# ---- regression -----------------------------------------------------------------------------


@operation("functional", autocast=FLOAT32)
def mse_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Squared error ``(input - target)**2``; the shapes must be equal (PyTorch broadcasts).

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.mse_loss(mg.tensor([1.0, 3.0]), mg.zeros(2))
    tensor(5.)
    """
    x, t = _pair("mse_loss", input, target, reduction)
    return rounded_once(lambda x, t: _reduce(square(x - t), reduction), x, t)


@operation("functional", autocast=FLOAT32)
def l1_loss(input: Tensor, target: Tensor, reduction: str = "mean") -> Tensor:
    """Absolute error ``|input - target|``; the shapes must be equal (PyTorch broadcasts).

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.l1_loss(mg.tensor([1.0, 4.0]), mg.zeros(2))
    tensor(2.5)
    """
    x, t = _pair("l1_loss", input, target, reduction)
    return _reduce(abs(x - t), reduction)


@operation("functional", autocast=FLOAT32)
def smooth_l1_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", beta: float = 1.0
) -> Tensor:
    """Squared error ``d**2 / (2 * beta)`` for ``|d| < beta``, else ``|d| - beta / 2``.

    Raises
    ------
    OptionError
        If `beta` is negative; 0 gives `l1_loss`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.smooth_l1_loss(mg.tensor([0.5, 3.0]), mg.zeros(2))
    tensor(1.3125)
    """
    if beta < 0:
        raise OptionError(f"smooth_l1_loss: beta must not be negative, got {beta}")
    x, t = _pair("smooth_l1_loss", input, target, reduction)
    if beta == 0:
        return l1_loss(x, t, reduction)

    def loss(x: Tensor, t: Tensor) -> Tensor:
        d = x - t
        size: Any = abs(d)
        far = size >= beta
        near = square(where(far, 0.0, d)) * (0.5 / beta)  # not of far ones: 0 * inf as gradient
        return _reduce(where(far, size - 0.5 * beta, near), reduction)

    return rounded_once(loss, x, t)


@operation("functional", autocast=FLOAT32)
def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0
) -> Tensor:
    """Squared error ``d**2 / 2`` for ``|d| <= delta``, else ``delta * (|d| - delta / 2)``.

    Raises
    ------
    OptionError
        If `delta` is not positive.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.huber_loss(mg.tensor([0.0, 3.0]), mg.tensor([1.0, 0.0]))
    tensor(1.5)
    """
    if not delta > 0:
        raise OptionError(f"huber_loss: delta must be positive, got {delta}")
    x, t = _pair("huber_loss", input, target, reduction)

    def loss(x: Tensor, t: Tensor) -> Tensor:
        d = x - t
        size: Any = abs(d)
        far = size > delta
        near = square(where(far, 0.0, d)) * 0.5
        return _reduce(where(far, (size - 0.5 * delta) * delta, near), reduction)

    return rounded_once(loss, x, t)
