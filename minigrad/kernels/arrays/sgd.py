"""One step of gradient descent with momentum; parameter and running sum are changed in place.

Sutskever et al.: On the importance of initialization and momentum in deep learning, ICML 2013; the
arithmetic is PyTorch's.
"""

from __future__ import annotations

from typing import Any

__all__ = ["sgd"]

Array = Any


def sgd(
    xp: Any,
    p: Array,
    g: Array,
    b: Array,
    lr: float,
    keep: float,
    take: float,
    ahead: float,
    decay: float,
) -> None:
    """Take one step, in place; b is the running sum, or p itself if there is none.

    ``d = g + decay p``, then ``b = keep b + take d`` and the direction is ``b``, or with
    ``ahead`` (Nesterov) ``d + ahead b``: ``p = p - lr direction``. The first step has keep 0 and
    take 1.
    """
    for pc, gc, bc, d, tmp in xp.chunks(p, g, b):
        xp.multiply(pc, decay, out=d)
        d += gc
        if b is not p:
            bc *= keep
            bc += xp.multiply(d, take, out=tmp)
            if ahead:
                d += xp.multiply(bc, ahead, out=tmp)
            else:
                d[...] = bc
        d *= lr
        pc -= d
