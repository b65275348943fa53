"""Dropout and drop path: noise that a network learns to do without.

Masks come from the default generator, so `minigrad.manual_seed` repeats them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad import backend, dtypes
from minigrad.autograd.node import Function
from minigrad.errors import OptionError, ShapeError
from minigrad.kernels import pick
from minigrad.modes import state
from minigrad.ops.arguments import check_floating, check_tensor
from minigrad.ops.declare import operation
from minigrad.ops.inplace import change
from minigrad.random import default_generator
from minigrad.tensor import Tensor, wrap


class ScaleByMask(Function):
    """``x * mask * scale``; its own transpose."""

    bfloat16 = True

    def __init__(self, mask: Any, scale: float) -> None:
        self.mask, self.scale = mask, scale

    def forward(self, x: Any) -> Any:
        return pick("scale_by_mask", x)(x, self.mask, self.scale)

    def backward(self, g: Any) -> Any:
        return ScaleByMask(self.mask, self.scale)(g)


def _mask(x: Tensor, shape: tuple[int, ...], keep: float) -> Any:
    """Draw a boolean mask that is true with probability `keep`."""

    def draw() -> Any:
        return np.asarray(default_generator().random(shape) < keep)

    if state.capture is not None:  # a CUDA graph: a new mask for every launch
        return state.capture.input(shape, np.dtype(bool), draw)
    return backend.to_device(draw(), x.device)


def drop_path_factor(x: Tensor, p: float) -> Tensor:
    """Draw the factors (N,) with which `drop_path` multiplies the samples of `x` in training.

    They are of the dtype of x, or float32 where that is narrower.
    """
    keep = _mask(x, x.shape[:1], 1.0 - p)
    dtype = dtypes.promote_types(x.dtype, dtypes.float32)
    return wrap(keep.astype(dtype) * dtype.type(1.0 / (1.0 - p)))


@operation("minigrad functional")
def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Set elements to 0 with probability `p` and scale the others by ``1 / (1 - p)``.

    Parameters
    ----------
    input : Tensor
        Any shape, floating.
    p : float, default 0.5
        Probability that an element is dropped, 0 to 1.
    training : bool, default True
        If False, return `input` as it is.
    inplace : bool, default False
        Change `input` itself and return it.

    Returns
    -------
    Tensor

    Raises
    ------
    OptionError
        If `p` is not a probability.

    Notes
    -----
    Source: Srivastava et al., Dropout, JMLR 15 (2014).

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.ones(3)
    >>> mg.dropout(x, 0.5, training=False) is x
    True
    """
    if inplace:
        return change(input, "dropout_", dropout, p, training)
    x = check_tensor("dropout", input)
    if not 0.0 <= p <= 1.0:
        raise OptionError(f"dropout: p is a probability between 0 and 1, got {p}")
    if not training or p == 0.0:
        return x
    check_floating("dropout", x)
    keep = 1.0 - p
    return ScaleByMask(_mask(x, x.shape, keep), 1.0 / keep if keep else 0.0)(x)


@operation("minigrad functional")
def drop_path(
    input: Tensor, p: float = 0.0, training: bool = False, scale_by_keep: bool = True
) -> Tensor:
    """Stochastic depth: drop the whole sample (entry of axis 0) with probability `p`.

    Parameters
    ----------
    input : Tensor, (N, ...)
        The output of a residual branch, floating.
    p : float, default 0
        Probability that a sample is dropped, at least 0 and below 1.
    training : bool, default False
        If False, return `input` as it is.
    scale_by_keep : bool, default True
        Scale the kept samples by ``1 / (1 - p)``, so that the expectation stays.

    Returns
    -------
    Tensor

    Raises
    ------
    OptionError
        If `p` is out of its range.
    ShapeError
        If `input` has no axis of samples.

    Notes
    -----
    Source: Huang et al., Deep Networks with Stochastic Depth, arXiv:1603.09382.

    Examples
    --------
    >>> import minigrad as mg
    >>> _ = mg.manual_seed(0)
    >>> y = mg.drop_path(mg.ones(4, 2), p=0.5, training=True)
    >>> sorted(set(y.flatten().tolist()))
    [0.0, 2.0]
    """
    x = check_tensor("drop_path", input)
    if not 0.0 <= p < 1.0:
        raise OptionError(f"drop_path: p is a probability, 0 <= p < 1, got {p}")
    if not training or p == 0.0:
        return x
    check_floating("drop_path", x)
    if x.ndim == 0:
        raise ShapeError("drop_path: input needs an axis of samples, got a 0-d tensor")
    mask = _mask(x, (x.shape[0], *(1 for _ in x.shape[1:])), 1.0 - p)
    return ScaleByMask(mask, 1.0 / (1.0 - p) if scale_by_keep else 1.0)(x)
