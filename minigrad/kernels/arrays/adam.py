"""One step of Adam or AdamW; the parameter and its state are changed in place.

Kingma, Ba: Adam, arXiv:1412.6980. Loshchilov, Hutter: Decoupled Weight Decay Regularization,
arXiv:1711.05101.
"""

from __future__ import annotations

from typing import Any

from minigrad.kernels.declare import declare

__all__ = ["adam", "adam_flat"]

Array = Any


def adam(
    xp: Any,
    p: Array,
    g: Array,
    m: Array,
    v: Array,
    step_size: float,
    v_scale: float,
    beta1: float,
    beta2: float,
    eps: float,
    shrink: float = 1.0,
    penalty: float = 0.0,
) -> None:
    """Take one step, in place.

    ``m += (1 - beta1) (g - m)``, ``v = beta2 v + (1 - beta2) g^2``, and then
    ``p = shrink p - step_size m / (sqrt(v) / v_scale + eps)``, where g has ``penalty p`` added.
    """
    numbers = (step_size, v_scale, beta1, beta2, eps, shrink, penalty)
    for pc, gc, mc, vc, a, b in xp.chunks(p, g, m, v):
        _update(xp, pc, gc, mc, vc, a, b, *numbers)


@declare(takes=lambda p, g, m, v, *numbers: len(numbers) == 1)
def adam_flat(xp: Any, p: Array, g: Array, m: Array, v: Array, numbers: Array) -> None:
    """Take one step with all of `adam`'s numbers, ``step_size`` to ``penalty``, in one array.

    They are read where they lie when the kernel runs, so a CUDA graph that is launched again takes
    the step with the current ones.
    """
    a, b = xp.empty_like(p), xp.empty_like(p)
    _update(xp, p, g, m, v, a, b, *[numbers[i] for i in range(7)])


def _update(
    xp: Any,
    p: Array,
    g: Array,
    m: Array,
    v: Array,
    a: Array,
    b: Array,
    step_size: float,
    v_scale: float,
    beta1: float,
    beta2: float,
    eps: float,
    shrink: float,
    penalty: float,
) -> None:
    """Take the step on a chunk, with a and b to work in."""
    if not isinstance(penalty, float) or penalty:
        xp.multiply(p, penalty, out=b)
        b += g
        g = b
    if not isinstance(shrink, float) or shrink != 1.0:
        p *= shrink
    xp.subtract(g, m, out=a)
    a *= 1.0 - beta1
    m += a
    xp.multiply(g, g, out=a)
    a *= 1.0 - beta2
    v *= beta2
    v += a
    xp.sqrt(v, out=a)
    a /= v_scale
    a += eps
    xp.divide(m, a, out=a)
    a *= step_size
    p -= a
