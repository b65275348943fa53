"""Where the windows of a convolution lie, axis by axis; an image with fewer axes has some of 1."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

from minigrad.kernels.arrays.conv import Padding
from minigrad.kernels.cpu.arrays import three
from minigrad.kernels.cpu.compile import compiled

__all__ = ["Axis", "axes", "position", "source"]

Ints = Sequence[int]


class Axis(NamedTuple):
    """One axis of an image and of the results of its windows."""

    size: int
    out: int
    kernel: int
    stride: int
    low: int  # padding before the image
    dilation: int


def axes(
    size: Ints, out: Ints, kernel: Ints, stride: Ints, padding: Padding, dilation: Ints
) -> tuple[Axis, Axis, Axis]:
    """Return depth, height and width."""
    low = tuple([lo for lo, _ in padding])
    return _axes(*map(tuple, (size, out, kernel, stride)), low, tuple(dilation))


@functools.lru_cache(maxsize=1024)
def _axes(
    size: Ints, out: Ints, kernel: Ints, stride: Ints, low: Ints, dilation: Ints
) -> tuple[Axis, Axis, Axis]:
    """Work it out once for all calls of a layer: small nets would feel it."""
    ones = (three(numbers, 1) for numbers in (size, out, kernel, stride))
    depth, height, width = zip(*ones, three(low, 0), three(dilation, 1), strict=True)
    return Axis(*depth), Axis(*height), Axis(*width)


@compiled
def source(axis, result, tap):  # type: ignore[no-untyped-def]
    """Return where a tap of the window of a result is in the image, or outside of it."""
    return result * axis.stride - axis.low + tap * axis.dilation


@compiled
def position(index, axes):  # type: ignore[no-untyped-def]
    """Return sample and coordinates of a result."""
    depth, height, width = axes
    rest, w = index // width.out, index % width.out
    rest, h = rest // height.out, rest % height.out
    return rest // depth.out, rest % depth.out, h, w
