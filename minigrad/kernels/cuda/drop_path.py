"""Scaling by a random mask: dropout (one number per element) and drop path (one per sample)."""

from __future__ import annotations

from minigrad.kernels.cuda.arrays import (
    THREADS,
    Array,
    blocks,
    contiguous,
    empty,
    fits,
    takes,
    vector,
)
from minigrad.kernels.cuda.launcher import launch

__all__ = ["scale_by_mask"]


def _per_sample(x: Array, mask: Array) -> bool:
    return x.ndim > 0 and bool(mask.shape == (len(x), *(1 for _ in x.shape[1:])))


def _known(x: Array, mask: Array, scale: float) -> bool:
    shaped = mask.shape == x.shape or _per_sample(x, mask)
    return shaped and mask.dtype == bool and fits(x, (), ())


@takes(None, _known)
def scale_by_mask(x: Array, mask: Array, scale: float) -> Array:
    """``y = x * mask * scale``; the mask is boolean and broadcasts."""
    per_sample = _per_sample(x, mask)
    order = list(range(x.ndim))
    order[per_sample:] = sorted(order[per_sample:], key=lambda axis: -x.strides[axis])
    values, mask = contiguous(x.transpose(order)), contiguous(mask.transpose(order))
    y = empty(x, values.shape)
    run = x.size // len(x) if per_sample and x.size else 1
    v = vector(run if run > 1 else y.size, values, y)
    launch(
        "scale_by_mask", (blocks(y.size // v),), (THREADS,),
        (values, mask, y, y.size, run, scale), (v,),
    )  # fmt: skip
    return y.transpose(sorted(order, key=order.__getitem__))
