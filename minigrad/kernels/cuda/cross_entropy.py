"""Cross entropy between logits and target weights, both (rows, classes)."""

from __future__ import annotations

from minigrad.kernels.cuda.arrays import THREADS, Array, blocks, contiguous, empty, takes
from minigrad.kernels.cuda.launcher import launch

__all__ = ["cross_entropy", "cross_entropy_vjp"]


def _lanes(classes: int) -> int:
    """Return how many lanes share a row: a power of two, about a quarter of the classes."""
    return min(32, 1 << max(0, classes // 4).bit_length())


@takes(arrays=2)
def cross_entropy(x: Array, q: Array) -> Array:
    """Loss of every row, (rows, 1). A class of weight 0 counts 0 even where its logit is -inf."""
    rows, classes = x.shape
    loss, lanes = empty(x, (rows, 1)), _lanes(classes)
    launch(
        "cross_entropy", (blocks(rows * lanes),), (THREADS,),
        (contiguous(x), contiguous(q), loss, rows, classes, lanes),
    )  # fmt: skip
    return loss


@takes(arrays=3)
def cross_entropy_vjp(g: Array, x: Array, q: Array) -> Array:
    """Gradient with respect to the logits: ``dx = g * (softmax(x) * sum(q) - q)``."""
    rows, classes = x.shape
    gx, lanes = empty(x, x.shape), _lanes(classes)
    launch(
        "cross_entropy_vjp", (blocks(rows * lanes),), (THREADS,),
        (contiguous(g), contiguous(x), contiguous(q), gx, rows, classes, lanes),
    )  # fmt: skip
    return gx
