"""Cross entropy between logits and target weights, both (rows, classes).

One formula serves every kind of target. Class indices, class weights, label smoothing and ignored
positions all become one array q of weights per row and class: ``loss = -sum(q * log_softmax(x))``.
"""

from __future__ import annotations

from typing import Any

__all__ = ["cross_entropy", "cross_entropy_vjp"]

Array = Any


def _shifted_exp(xp: Any, x: Array) -> tuple[Array, Array, Array]:
    shifted = x - xp.max(x, axis=-1, keepdims=True)
    e = xp.exp(shifted)
    return shifted, e, xp.sum(e, axis=-1, keepdims=True)


def cross_entropy(xp: Any, x: Array, q: Array) -> Array:
    """Loss of every row, (rows, 1). A class of weight 0 counts 0 even where its logit is -inf."""
    shifted, _, total = _shifted_exp(xp, x)
    log_p = xp.where(q == 0.0, 0.0, shifted - xp.log(total))
    return -xp.sum(q * log_p, axis=-1, keepdims=True)


def cross_entropy_vjp(xp: Any, g: Array, x: Array, q: Array) -> Array:
    """Gradient with respect to the logits: ``dx = g * (softmax(x) * sum(q) - q)``.

    A row of weight 0 gets 0, whatever its logits are.
    """
    _, e, total = _shifted_exp(xp, x)
    mass = xp.sum(q, axis=-1, keepdims=True)
    return g * (xp.where(mass == 0.0, 0.0, e * (mass / total)) - q)
