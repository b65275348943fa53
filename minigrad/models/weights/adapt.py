"""Weights made to fit another model: other channels, another number of axes, other kernels.

Each rule keeps what the layer computes where both models can be compared. Inflated kernels give on
a volume that is constant along the new axis what the image's kernels give on a slice; a kernel for
one channel gives on a grey picture what the kernel for three gives on that picture as RGB.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.errors import unknown

__all__ = ["CHANNELS", "INFLATIONS", "adapt", "inflate", "resize", "with_channels"]

Array = NDArray[Any]

CHANNELS = ("repeat", "mean")
INFLATIONS = ("mean", "center")


def adapt(
    array: Array, shape: tuple[int, ...], channels: str | None = None, inflation: str = "mean"
) -> tuple[Array, str] | None:
    """Return a weight in another shape and what was done for it; None if nothing helps.

    Parameters
    ----------
    array : numpy.ndarray
        The weight of a convolution, (out, in, *spatial); of anything else only axes of length 1
        may differ.
    shape : tuple of int
        What the model has.
    channels : str, optional
        See `with_channels`; None where the number of input channels may not differ.
    inflation : str
        See `inflate`.
    """
    if array.shape == shape:
        return array, ""
    if _without_ones(array.shape) == _without_ones(shape) and array.ndim != len(shape):
        return array.reshape(shape), ""
    if array.ndim < 3 or len(shape) < 3 or len(array) != shape[0]:
        return None
    array, done = array.astype(np.float64), []
    if array.shape[1] != shape[1]:
        if channels is None:
            return None
        done.append(f"{array.shape[1]} → {shape[1]} input channels ({channels})")
        array = with_channels(array, shape[1], channels)
    if array.ndim != len(shape):
        done.append(f"{array.ndim - 2}-D → {len(shape) - 2}-D ({inflation})")
        lengths = shape[2:] if len(shape) > array.ndim else ()
        array = inflate(array, len(shape) - 2, lengths, inflation)
    if array.shape != shape:
        old, new = ("×".join(map(str, s[2:])) for s in (array.shape, shape))
        done.append(f"kernel {old} → {new} (interpolated)")
        array = resize(array, shape[2:])
    return np.ascontiguousarray(array), ", ".join(done)


def with_channels(weight: Array, count: int, rule: str = "repeat") -> Array:
    """Return a convolution's weight for another number of input channels.

    Parameters
    ----------
    weight : numpy.ndarray, (out, in, *spatial)
        The weight.
    count : int
        How many input channels it is to have.
    rule : {"repeat", "mean"}
        "repeat" gives channel i the kernel of channel i modulo the old number, "mean" gives every
        channel the mean kernel. Both multiply by old / new number, so that channels which are all
        alike give the old result. For one channel both are the sum.

    Examples
    --------
    >>> with_channels(np.array([[[1.0], [2.0], [3.0]]]), 1)
    array([[[6.]]])
    """
    if rule not in CHANNELS:
        raise unknown("rule for channels", rule, CHANNELS)
    old = weight.shape[1]
    if rule == "mean" or count == 1:
        kernels = weight.mean(1, keepdims=True).repeat(count, 1)
    else:
        kernels = weight[:, np.arange(count) % old]
    scaled: Array = kernels * (old / count)
    return scaled


def inflate(weight: Array, axes: int, lengths: tuple[int, ...] = (), rule: str = "mean") -> Array:
    """Return a convolution's weight with more or fewer spatial axes.

    Parameters
    ----------
    weight : numpy.ndarray, (out, in, *spatial)
        The weight.
    axes : int
        How many spatial axes it is to have.
    lengths : tuple of int, optional
        Of the new axes, which come first, as depth comes before height; by default as the first
        axis of the kernel.
    rule : {"mean", "center"}
        "mean" repeats the kernel along a new axis and divides by its length; an axis is taken away
        by the sum over it. "center" puts the kernel into the middle of zeros, and takes it from
        there.

    Examples
    --------
    >>> inflate(np.ones((1, 1, 2, 2)), 3).tolist()
    [[[[[0.5, 0.5], [0.5, 0.5]], [[0.5, 0.5], [0.5, 0.5]]]]]
    """
    if rule not in INFLATIONS:
        raise unknown("inflation", rule, INFLATIONS)
    while weight.ndim - 2 < axes:
        length = lengths[axes - (weight.ndim - 2) - 1] if lengths else weight.shape[2]
        if rule == "mean":
            weight = np.repeat(weight[:, :, None] / length, length, 2)
        else:
            inflated = np.zeros((*weight.shape[:2], length, *weight.shape[2:]), weight.dtype)
            inflated[:, :, length // 2] = weight
            weight = inflated
    while weight.ndim - 2 > axes:
        middle = weight.shape[2] // 2
        weight = weight.sum(2) if rule == "mean" else weight[:, :, middle]
    return weight


def resize(weight: Array, lengths: tuple[int, ...]) -> Array:
    """Return a convolution's weight with a larger or smaller kernel, linearly interpolated.

    MedNeXt's UpKern: ``torch.nn.functional.interpolate(weight, lengths, mode="trilinear")``, whose
    points are the centres of the cells. The numbers are not scaled.

    Examples
    --------
    >>> resize(np.array([[[0.0, 3.0, 0.0]]]), (5,)).round(1).tolist()
    [[[0.0, 1.2, 3.0, 1.2, 0.0]]]
    """
    for axis, length in enumerate(lengths, 2):
        weight = np.tensordot(weight, _interpolation(weight.shape[axis], length), (axis, 1))
        weight = np.moveaxis(weight, -1, axis)
    return weight


def _interpolation(old: int, new: int) -> NDArray[np.float64]:
    """Return the matrix (new, old) that interpolates linearly between cell centres."""
    at = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    low = np.minimum(at.astype(int), max(old - 2, 0))
    matrix = np.zeros((new, old))
    matrix[np.arange(new), low] = 1.0 - (at - low)
    matrix[np.arange(new), np.minimum(low + 1, old - 1)] += at - low
    return matrix


def _without_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n for n in shape if n != 1)
