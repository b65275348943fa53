"""Transposed convolution line by line, where windows overlap: stride 2 and a filter of 4, for one.

Results whose places leave one remainder by the stride, a phase, meet the same taps: a convolution
with a part of the filter. Along a line, with stride 2, padding 1 and 4 taps:

    line of the image        | p0 | p1 | p2 | ...
    windows of y1, y3, ...   | p0   p1 |                 @ w2, w0
                                  | p1   p2 |            @ w2, w0
    windows of y2, y4, ...   | p0   p1 |                 @ w3, w1
                                  | p1   p2 |            @ w3, w1

As in `conv_lines` windows are the rows of a matrix as they lie; the rows of the result are a stride
apart. Where y has so few channels that all phases fit in a vector, they are one row, side by side,
and the weight has zeros for the taps that a phase does not have.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import prange

from minigrad.kernels.cpu.arrays import Array, empty, lanes
from minigrad.kernels.cpu.compile import parallel
from minigrad.kernels.cpu.conv_lines import is_strange, surround
from minigrad.kernels.cpu.gemm import Matrix, multiply
from minigrad.kernels.cpu.windows import Axis

__all__ = ["transpose_lines"]

Windows = tuple[Axis, Axis, Axis]


class _Phase(NamedTuple):
    """Every stride-th result of a line, and what they meet."""

    first: int  # result
    results: int
    pixel: int  # where the window of the first result begins
    taps: range  # that meet this pixel and those behind it


def transpose_lines(y: Array, x: Array, w: Array, windows: Windows) -> bool:
    """Write the transposed convolution of x, the results of `windows`, to y (N, D, H, W, C).

    Return False if zeros, around x or in the weight, may have met what is not finite.
    """
    depth, height, width = windows
    phases, channels = _phases(width), y.shape[-1]
    together = width.size % width.stride == 0 and width.stride * channels <= lanes(y.dtype)
    rows = [phases] if together else [[phase] for phase in phases]
    begins = [min(phase.pixel for phase in row) for row in rows]
    matrix = _matrix(w, rows, begins)
    before, most = max(0, -min(begins)), phases[0].results
    line = before + max(width.out, max(begins) + most - 1 + matrix.shape[2])
    image = empty((*x.shape[:3], line, x.shape[-1]), x.dtype)
    surround(image, x, 0, 0, before)
    places = [
        (row[0].first, row[0].results, at + before) for row, at in zip(rows, begins, strict=True)
    ]
    strange = np.zeros(math.prod(y.shape[:3]), np.bool_)
    _transpose(y, strange, image, matrix, np.array(places), depth, height, width.stride)
    return not strange.any()


def _matrix(w: Array, rows: list[list[_Phase]], begins: list[int]) -> Array:
    """Return the weight (O, C, *kernel) as (rows, lines of the filter, pixels, O, beside, C)."""
    outer, channels, *kernel = w.shape
    lines = math.prod(kernel[:-1])
    filters = w.reshape(outer, channels, lines, kernel[-1]).transpose(2, 3, 0, 1)
    ends = [max(phase.pixel + len(phase.taps) for phase in row) for row in rows]
    reach = max(end - begin for begin, end in zip(begins, ends, strict=True))
    matrix = empty((len(rows), lines, reach, outer, len(rows[0]), channels), w.dtype)
    matrix[...] = 0
    for to, row, begin in zip(matrix, rows, begins, strict=True):
        for n, phase in enumerate(row):
            at = phase.pixel - begin
            to[:, at : at + len(phase.taps), :, n] = filters[:, phase.taps]
    return matrix


def _phases(axis: Axis) -> list[_Phase]:
    """Return the phases of an axis; the kernel is as long as the stride at least."""
    found = []
    for first in range(min(axis.stride, axis.size)):
        ahead, tap = divmod(first + axis.low, axis.stride)
        taps = range(tap, axis.kernel, axis.stride)[::-1]
        results = -(-(axis.size - first) // axis.stride)
        found.append(_Phase(first, results, ahead - len(taps) + 1, taps))
    return found


@parallel
def _transpose(y, strange, x, w, places, depth, height, stride):  # type: ignore[no-untyped-def]
    """Multiply the rows of all phases of a line of y; note whether it has what is not finite."""
    _, lines, reach, inner, beside, channels = w.shape
    out, image, weight = y.reshape(-1), x.reshape(-1), w.reshape(-1)
    deep, wide, line = reach * inner, beside * channels, y.shape[3] * channels
    for task in prange(len(strange)):
        rest, h = task // height.size, task % height.size
        n, d = rest // depth.size, rest % depth.size
        begun = False
        for i in range((d + depth.low) % depth.stride, depth.kernel, depth.stride):
            from_d = (d + depth.low - i) // depth.stride
            if not 0 <= from_d < depth.out:
                continue
            for j in range((h + height.low) % height.stride, height.kernel, height.stride):
                from_h = (h + height.low - j) // height.stride
                if not 0 <= from_h < height.out:
                    continue
                source = ((n * depth.out + from_d) * height.out + from_h) * x.shape[3]
                for row in range(len(places)):
                    first, count, pixel = places[row]
                    part = (row * lines + i * height.kernel + j) * deep * wide
                    multiply(
                        Matrix(out, task * line + first * channels, stride * channels),
                        Matrix(image, (source + pixel) * inner, inner), Matrix(weight, part, wide),
                        (count, deep, wide), begun,
                    )  # fmt: skip
                begun = True
        result = out[task * line : (task + 1) * line]
        if begun:
            strange[task] = is_strange(result)
        else:
            result[:] = 0
