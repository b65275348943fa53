"""Helpers on the gradients of parameters: clipping."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from minigrad.backend import get_xp
from minigrad.errors import DataError
from minigrad.tensor import Tensor

__all__ = ["clip_grad_norm_", "clip_grad_value_"]


def _grads(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    params = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    return [p.grad for p in params if p.grad is not None]


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale all gradients by one factor, so that their common norm is at most `max_norm`.

    g ← g · min(1, max_norm / (‖g‖ + 1e-6)), the norm over all gradients as one vector.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Whose gradients are meant; those without one are passed over.
    max_norm : float
        Largest norm allowed.
    norm_type : float, default 2
        Order of the norm; ``inf`` is the largest absolute value.
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
    arrays = [grad.array for grad in _grads(parameters)]
    norms = [_norm(array, norm_type) for array in arrays]
    total = _norm(np.array(norms, np.float64), norm_type) if norms else 0.0
    if error_if_nonfinite and not math.isfinite(total):
        raise DataError(
            f"clip_grad_norm_: the gradients' norm is {total}; lower the learning rate or the "
            "loss scale, and look for the cause with autograd.detect_anomaly"
        )
    factor = max_norm / (total + 1e-6)
    if not factor >= 1.0:  # NaN too, as PyTorch: a broken gradient stays visible
        with np.errstate(invalid="ignore"):
            for grad in _grads(parameters):
                grad.mul_(factor)
    return Tensor(np.array(total, arrays[0].dtype if arrays else np.float32))


def _norm(array: Any, order: float) -> float:
    xp = get_xp(array)
    if order == 2.0:
        flat = array.reshape(-1)
        return math.sqrt(float(xp.dot(flat, flat)))
    if math.isinf(order):
        return float(xp.abs(array).max(initial=0.0))
    return math.pow(float((xp.abs(array) ** order).sum()), 1.0 / order)


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Clip every element of the gradients to [−clip_value, clip_value].

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
        Whose gradients are meant; those without one are passed over.
    clip_value : float
        Largest absolute value allowed.
    """
    for grad in _grads(parameters):
        grad.clamp_(-clip_value, clip_value)
