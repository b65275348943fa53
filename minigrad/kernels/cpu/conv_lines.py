"""Convolution line by line, and the gradient of its weight: small weights, many results in a line.

In a channels-last image with zeros around, the part of a window that is in one line lies in one
piece, and the next result's begins `stride` pixels on: neighbouring windows are the rows of a
matrix as they lie, overlapping, and nothing is gathered. Each line of the filter is one product:

    line of the image   | p0 | p1 | p2 | p3 | p4 | ...          p: the channels of a pixel
    window of y0        | p0   p1   p2 |                  @ w   (3 C, channels of y)
    window of y1             | p1   p2   p3 |             @ w

Where y has fewer channels than a vector has lanes, several results side by side are one row:

    windows of y0, y1   | p0   p1   p2   p3 |             @ | w  0 |
                                                            | 0  w |
"""

from __future__ import annotations

import math

import numpy as np
from numba import prange

from minigrad.kernels.constants import laid_out
from minigrad.kernels.cpu.arrays import Array, contiguous, empty, lanes
from minigrad.kernels.cpu.compile import compiled, parallel
from minigrad.kernels.cpu.gemm import Matrix, Strided, multiply, transpose
from minigrad.kernels.cpu.simd import copy_short
from minigrad.kernels.cpu.windows import Axis, position, source

__all__ = ["convolve_lines", "correlate_lines", "is_strange", "surround"]

Windows = tuple[Axis, Axis, Axis]


def convolve_lines(y: Array, x: Array, w: Array, bias: Array, windows: Windows) -> bool:
    """Write the convolution of x (N, D, H, W, C) to y, flat.

    Return False if zeros, around the image or in the weight, may have met what is not finite.
    """
    channels = len(bias)
    beside = _beside(channels, windows[2].out, lanes(y.dtype))
    image, inside = _with_zeros(x, windows)
    matrix = laid_out(_matrix, (w,), beside, windows[2].stride)
    strange = np.zeros(y.size // (windows[2].out * channels), np.bool_)
    _convolve(y, strange, image, matrix, np.tile(bias, beside), *inside)
    return not strange.any()


def correlate_lines(sums: Array, g: Array, x: Array, windows: Windows) -> None:
    """Write to every row of `sums` what a part of the lines has for the weight (O, taps, C)."""
    image, inside = _with_zeros(x, windows)
    _correlate(sums, g, image, *inside)


def _beside(channels: int, out: int, lane: int) -> int:
    """Return how many results side by side make a row."""
    most = max(1, min(lane // channels, out))
    return next(n for n in range(most, 0, -1) if out % n == 0)


def _matrix(w: Array, beside: int, stride: int) -> Array:
    """Return the weight (O, C, *kernel) as (lines of the filter, pixels, C, beside, O)."""
    channels, inner, *kernel = w.shape
    lines, width = math.prod(kernel[:-1]), kernel[-1]
    turned = empty((inner, lines, width, channels), w.dtype)
    transpose(turned.reshape(-1), contiguous(w).reshape(channels, -1))
    matrix = empty((lines, width + (beside - 1) * stride, inner, beside, channels), w.dtype)
    matrix[...] = 0
    for n in range(beside):
        matrix[:, n * stride : n * stride + width, :, n] = turned.transpose(1, 2, 0, 3)
    return matrix


def _with_zeros(x: Array, windows: Windows) -> tuple[Array, Windows]:
    """Return the image with the zeros in it that windows reach around it, and where they lie."""
    depth, height, width = windows
    inside = _enlarged(depth), _enlarged(height), _enlarged(width)
    sides = tuple(axis.size for axis in inside)
    if sides == x.shape[1:-1]:
        return x, inside
    image = empty((len(x), *sides, x.shape[-1]), x.dtype)
    surround(image, x, *(max(0, axis.low) for axis in windows))
    return image, inside


def _enlarged(axis: Axis) -> Axis:
    """Return the axis with zeros for all windows; negative padding stays: it skips pixels."""
    before, outside = max(0, axis.low), min(0, axis.low)
    reach = (axis.out - 1) * axis.stride + (axis.kernel - 1) * axis.dilation + 1
    return axis._replace(size=max(before + axis.size, reach - outside), low=outside)


@parallel
def surround(y, x, front, top, left):  # type: ignore[no-untyped-def]
    """Copy x into y, which has zeros around it."""
    _, depth, height, width, channels = y.shape
    flat, pixels = y.reshape(-1), x.reshape(-1)
    for task in prange(len(y) * depth * height):
        n, d, h = task // (depth * height), task // height % depth - front, task % height - top
        line = flat[task * width * channels : (task + 1) * width * channels]
        if 0 <= d < x.shape[1] and 0 <= h < x.shape[2]:
            at = ((n * x.shape[1] + d) * x.shape[2] + h) * x.shape[3] * channels
            begin, count = left * channels, x.shape[3] * channels
            line[:begin] = 0
            copy_short(line, begin, pixels, at, count)
            line[begin + count :] = 0
        else:
            line[:] = 0


@compiled
def _first_line(task, axes):  # type: ignore[no-untyped-def]
    """Return where the first window of a line of results begins, in pixels."""
    depth, height, width = axes
    n, d, h, _ = position(task * width.out, axes)
    line = (n * depth.size + source(depth, d, 0)) * height.size + source(height, h, 0)
    return line * width.size + source(width, 0, 0)


@compiled
def is_strange(row):  # type: ignore[no-untyped-def]
    """Return whether some of the row's numbers are not finite."""
    count = 0
    for i in range(row.size):
        count += not abs(row[i]) < np.inf
    return count > 0


@parallel
def _convolve(y, strange, x, w, bias, depth, height, width):  # type: ignore[no-untyped-def]
    """Multiply the rows of a line of y; note whether it has numbers that are not finite."""
    _, pixels, inner, beside, channels = w.shape
    image, weight = x.reshape(-1), w.reshape(-1)
    deep, wide = pixels * inner, beside * channels
    rows = width.out // beside
    for task in prange(len(strange)):
        first = _first_line(task, (depth, height, width))
        at = task * width.out * channels
        for i in range(rows):
            copy_short(y, at + i * wide, bias, 0, wide)
        for i in range(depth.kernel):
            for j in range(height.kernel):
                line = (i * depth.dilation * height.size + j * height.dilation) * width.size
                multiply(
                    Matrix(y, at, wide),
                    Matrix(image, (first + line) * inner, beside * width.stride * inner),
                    Matrix(weight, (i * height.kernel + j) * deep * wide, wide),
                    (rows, deep, wide), True,
                )  # fmt: skip
        strange[task] = is_strange(y[at : at + width.out * channels])


@parallel
def _correlate(sums, g, x, depth, height, width):  # type: ignore[no-untyped-def]
    """Give every part of the lines its own ``g.T @ windows``."""
    inner = x.shape[4]
    image, deep = x.reshape(-1), width.kernel * inner
    row = depth.kernel * height.kernel * deep
    channels = sums.shape[1] // row
    lines = g.size // channels // width.out
    for part in prange(len(sums)):
        total = sums[part]
        total[:] = 0
        for task in range(part * lines // len(sums), (part + 1) * lines // len(sums)):
            first = _first_line(task, (depth, height, width))
            slopes = Strided(g, task * width.out * channels, 1, channels)
            for i in range(depth.kernel):
                for j in range(height.kernel):
                    line = (i * depth.dilation * height.size + j * height.dilation) * width.size
                    multiply(
                        Matrix(total, (i * height.kernel + j) * deep, row), slopes,
                        Matrix(image, (first + line) * inner, width.stride * inner),
                        (channels, width.out, deep), True,
                    )  # fmt: skip
