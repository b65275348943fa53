"""Tiles of rows back from the gradient of y to that of x, and the gradients of the weights."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from numba import get_thread_id, prange

from minigrad.kernels.cpu.arrays import Array, empty
from minigrad.kernels.cpu.compile import compiled, parallel
from minigrad.kernels.cpu.gemm import Matrix, Strided, multiply
from minigrad.kernels.cpu.layer_norm import gradient_of_row
from minigrad.kernels.cpu.mlp_plan import place, tile_of, workspace
from minigrad.kernels.cpu.mlp_steps import gelu, gelu_gradient, norm, row, scaled

__all__ = ["Left", "backward", "backward_hidden", "pieces", "scale_gradient", "weight_gradients"]

PIECE_COLUMNS = 96  # hidden ones whose weights get their gradients in one task


class Left(NamedTuple):
    """What the rows of a slab leave to the gradients of the weights."""

    gh: Array  # gradient of h, chunk by chunk
    z: Array  # what the second weight multiplies, chunk by chunk
    normed: Array  # what the first weight multiplies
    branch: Array  # gradient of the result, times the factor

    @classmethod
    def empty(cls, rows: int, channels: int, hidden: int, dtype: np.dtype) -> Left:
        """Return memory for so many rows."""
        return cls(*(empty(rows * width, dtype) for width in (hidden, hidden, channels, channels)))


@parallel
def backward_hidden(gz, sums, rows, hidden, p, slab, memory):  # type: ignore[no-untyped-def]
    """Take tiles back to the gradient of z; sum it up, and its product with gelu(h)."""
    channels, size = p.b2.size, p.b1.size
    slab_rows = slab.samples * slab.positions
    for task in prange(len(sums)):
        _, at, count = tile_of(slab, task)
        g, _, a = workspace(memory[get_thread_id()], count, channels, slab.chunk)
        scaled(g, rows, slab.first + at, count, p.scale)
        for k in range(0, size, slab.chunk):
            width = min(slab.chunk, size - k)
            slopes = Matrix(gz, k * slab_rows + at * width, width)
            multiply(slopes, g, Matrix(p.w2, k, size), (count, channels, width), False)
            gelu(a, place(hidden, k, at, width), count, p.b1[k : k + width])
            total, product = sums[task, 0, k : k + width], sums[task, 1, k : k + width]
            total[:] = 0
            product[:] = 0
            for i in range(count):
                value, slope = row(a, i, width), row(slopes, i, width)
                for j in range(width):
                    total[j] += slope[j]
                    product[j] += slope[j] * value[j]


@compiled
def _copy(y, x, count, width):  # type: ignore[no-untyped-def]
    for i in range(count):
        row(y, i, width)[:] = row(x, i, width)


@compiled
def _back_through_norm(gy, rows, left, m, at, count, p, total):  # type: ignore[no-untyped-def]
    """Write the gradient of x, and add to those of the norm's parameters and of b2."""
    channels = p.b2.size
    to_weight, to_bias = total[:channels], total[channels : 2 * channels]
    to_branch = total[2 * channels :]
    for i in range(count):
        here = slice((m + i) * channels, (m + i + 1) * channels)
        mean, scale = rows.stats[m + i, 0], rows.stats[m + i, 1]
        gradient_of_row(
            rows.out[here], row(gy, i, channels), rows.x[here], mean, scale, p.norm_weight,
            to_weight, to_bias,
        )  # fmt: skip
        target = left.branch[(at + i) * channels : (at + i + 1) * channels]
        source, f = rows.given[here], rows.factor[(m + i) // rows.length]
        for c in range(channels):
            target[c] = source[c] * f
            to_branch[c] += target[c]


@parallel
def backward(left, sums, rows, hidden, grn, p, slab, memory):  # type: ignore[no-untyped-def]
    """Take tiles all the way back, and leave what the gradients of the weights need.

    `grn`: whether there is one, its gain and its slope; ``left.gh`` holds the gradient of z then.
    """
    channels, size = p.b2.size, p.b1.size
    slab_rows = slab.samples * slab.positions
    known, gain, slope = grn
    for task in prange(len(sums)):
        n, at, count = tile_of(slab, task)
        m = slab.first + at
        g, gy, gz = workspace(memory[get_thread_id()], count, channels, slab.chunk)
        total = sums[task]
        total[:] = 0
        norm(Matrix(left.normed, at * channels, channels), rows, m, count, p, True)
        scaled(g, rows, m, count, p.scale)
        for k in range(0, size, slab.chunk):
            width = min(slab.chunk, size - k)
            columns = slice(k, k + width)
            start = k * slab_rows + at * width
            z, gh = Matrix(left.z, start, width), Matrix(left.gh, start, width)
            if known:
                _copy(gz, gh, count, width)
            else:
                multiply(gz, g, Matrix(p.w2, k, size), (count, channels, width), False)
            response = gain[n, columns], p.grn_bias[columns], slope[n, columns]
            h = place(hidden, k, at, width)
            gelu_gradient(z, gh, h, gz, count, p.b1[columns], response, total[columns])
            w1 = Matrix(p.w1, k * channels, channels)
            multiply(gy, gh, w1, (count, width, channels), k > 0)
        _back_through_norm(gy, rows, left, m, at, count, p, total[size:])


@parallel
def weight_gradients(gw1, gw2, cuts, left, rows, add):  # type: ignore[no-untyped-def]
    """``gw2 = branch.T @ z`` and ``gw1 = gh.T @ normed`` over so many rows; see `pieces`."""
    hidden, channels = gw1.shape
    to1, to2 = gw1.reshape(-1), gw2.reshape(-1)
    for task in prange(len(cuts)):
        j, width, k, chunk = cuts[task]
        at = k * rows + j - k
        z, branch = Matrix(left.z, at, chunk), Strided(left.branch, 0, 1, channels)
        multiply(Matrix(to2, j, hidden), branch, z, (channels, rows, width), add)
        gh, normed = Strided(left.gh, at, 1, chunk), Matrix(left.normed, 0, channels)
        multiply(Matrix(to1, j * channels, channels), gh, normed, (width, rows, channels), add)


@functools.lru_cache(maxsize=64)
def pieces(hidden: int, chunk: int) -> Array:
    """Cut the hidden columns for `weight_gradients`: first, width; first, width of the chunk."""
    return np.array(
        [
            (j, min(PIECE_COLUMNS, k + width - j), k, width)
            for k in range(0, hidden, chunk)
            for width in (min(chunk, hidden - k),)
            for j in range(k, k + width, PIECE_COLUMNS)
        ]
    )


@parallel
def scale_gradient(gw2, gscale, w2, scale):  # type: ignore[no-untyped-def]
    """From the gradient of ``w2 * scale`` to those of w2 and scale."""
    for c in prange(len(w2)):
        total = scale.dtype.type(0)
        g, w = gw2[c], w2[c]
        for j in range(w.size):
            total += g[j] * w[j]
            g[j] *= scale[c]
        gscale[c] = total
