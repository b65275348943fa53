"""Convolution of an image whose positions are repeated, without the repeated image.

A window of 3 over an image in which every position stands twice sees two positions; which of its
taps meet the same one depends on whether it begins with the first or the second of a pair:

    x0 x0 x1 x1             taps added up, per position of x:   w0 + w1, w2   and   w0, w1 + w2
    w0 w1 w2                w0 + w1 meet x0, w2 meets x1
       w0 w1 w2             w0 meets x0, w1 + w2 meet x1

That is a transposed convolution of stride 2 with 4 taps, w2, w1 + w2, w0 + w1 and w0: per axis two
products instead of three, on a half of the memory.
"""

from __future__ import annotations

import numpy as np

from minigrad.kernels.arrays.separable import AxisMap
from minigrad.ops.neural.conv import conv_transpose1d, conv_transpose2d, conv_transpose3d
from minigrad.ops.neural.pool import Separable
from minigrad.tensor import Tensor

__all__ = ["conv_doubled"]

_TAPS = AxisMap(np.array([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]], np.float64))


def conv_doubled(x: Tensor, weight: Tensor) -> Tensor:
    """Repeat every position of `x` along all axes, and convolve with zeros around.

    Parameters
    ----------
    x : Tensor, (N, C, *spatial)
        One to three spatial axes.
    weight : Tensor, (O, C, 3, ...)
        The filters, of size 3.

    Returns
    -------
    Tensor, (N, O, ...)
        With sides twice as long.

    Examples
    --------
    >>> import minigrad as mg
    >>> conv_doubled(mg.tensor([[[1.0, 2.0]]]), mg.ones(1, 1, 3))
    tensor([[[2., 4., 5., 4.]]])
    """
    dims = x.ndim - 2
    filters = Separable((_TAPS,) * dims)(weight.transpose(0, 1))
    transposed = (conv_transpose1d, conv_transpose2d, conv_transpose3d)[dims - 1]
    return transposed(x, filters, stride=2, padding=1)
