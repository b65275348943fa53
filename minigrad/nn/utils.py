"""Helpers: clipping of gradients, a model in evaluation mode for a while."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from minigrad import dtypes
from minigrad.backend import at_hand, get_xp, quietly
from minigrad.errors import DataError
from minigrad.kernels import pick
from minigrad.nn.module import Module
from minigrad.tensor import Tensor

__all__ = ["clip_grad_norm_", "clip_grad_value_", "evaluating"]


@contextmanager
def evaluating(model: Module) -> Iterator[None]:
    """Put every module into evaluation mode, and back as it was.

    Examples
    --------
    >>> import minigrad as mg
    >>> layer = mg.nn.Dropout(0.5)
    >>> with evaluating(layer):
    ...     layer.training
    False
    >>> layer.training
    True
    """
    before = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in before:
            module.training = training


def _grads(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    params = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    return [p.grad for p in params if p.grad is not None]


@quietly
def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale all gradients by one factor, so that their common norm is at most `max_norm`.

    g ← g · min(1, max_norm / (‖g‖ + 1e-6)), the norm over all gradients.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Whose gradients are clipped; those without one are skipped.
    max_norm : float
        Largest norm allowed.
    norm_type : float, default 2
        Order of the norm; ``inf`` is the largest absolute value, ``-inf`` the smallest. As in
        PyTorch it is the norm of the gradients' norms: 0 counts those that are not all zero.
    error_if_nonfinite : bool, default False
        Whether to raise when the norm is infinite or NaN.

    Returns
    -------
    Tensor
        The norm before clipping, 0-d.

    Examples
    --------
    >>> import minigrad as mg
    >>> w = mg.tensor([3.0, 4.0], requires_grad=True)
    >>> (w * w / 2).sum().backward()
    >>> clip_grad_norm_([w], max_norm=1.0)
    tensor(5.)
    >>> w.grad
    tensor([0.6000, 0.8000])
    """
    order = float(norm_type)
    grads = [grad for grad in _grads(parameters) if grad.array.size]
    if not grads:
        return Tensor(np.zeros((), np.float32))
    arrays = [grad.array for grad in grads]
    xp = get_xp(arrays[0])
    total = _norm(xp, xp.stack([_norm(xp, array, order) for array in arrays]), order)
    if error_if_nonfinite and not math.isfinite(float(total)):
        raise DataError(
            f"clip_grad_norm_: the gradients' norm is {total}; lower the learning rate or the "
            "loss scale, and look for the cause with autograd.detect_anomaly"
        )
    # an infinite norm: inf / inf
    factor = max_norm / (total + 1e-6)
    if not at_hand(factor) or not factor >= 1.0:  # a GPU always multiplies
        factor = xp.minimum(factor, 1.0)  # NaN stays, as in PyTorch: a broken gradient is visible
        for grad in grads:
            if dtypes.is_narrow(grad.dtype):  # as float16 a small factor would be 0
                grad.array[...] = grad.array.astype(np.float32) * factor.astype(np.float32)
            else:
                grad.array *= factor.astype(grad.dtype)
            grad._version[0] += 1
    return Tensor(xp.asarray(total, dtype=arrays[0].dtype))


def _norm(xp: Any, array: Any, order: float) -> Any:
    """Return the norm of all elements as a float64 scalar where the array is."""
    if order == 2.0:
        return xp.sqrt(pick("sum_squares", array)(array).astype(np.float64))
    if array.dtype.itemsize == 2:
        array = array.astype(np.float32)
    size = xp.abs(array)
    if math.isinf(order):
        return (size.max() if order > 0 else size.min()).astype(np.float64)
    if order == 0.0:
        return (size != 0).sum().astype(np.float64)
    # 0 to a negative power is infinite
    return (size.astype(np.float64) ** order).sum() ** (1.0 / order)


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Clip every element of the gradients to [−clip_value, clip_value].

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Whose gradients are clipped; those without one are skipped.
    clip_value : float
        Largest absolute value allowed.

    Examples
    --------
    >>> import minigrad as mg
    >>> w = mg.ones(2, requires_grad=True)
    >>> (w * mg.tensor([5.0, -0.5])).sum().backward()
    >>> mg.optim.clip_grad_value_([w], 1.0)
    >>> w.grad
    tensor([ 1. , -0.5])
    """
    for grad in _grads(parameters):
        grad.clamp_(-clip_value, clip_value)
