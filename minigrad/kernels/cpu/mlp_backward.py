"""Tiles of rows back from the gradient of y to that of x, and the gradients of the weights."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from numba import get_thread_id, prange

from minigrad.kernels.cpu.arrays import Array, empty, lanes
from minigrad.kernels.cpu.bfloat16 import widen
from minigrad.kernels.cpu.compile import compiled, parallel
from minigrad.kernels.cpu.gemm import PACKED, Matrix, multiply, transpose_block
from minigrad.kernels.cpu.layer_norm import gradient_of_row
from minigrad.kernels.cpu.mlp_plan import place, tasks_of, tile_of, workspace
from minigrad.kernels.cpu.mlp_steps import below, gelu, gelu_gradient, norm, row, scaled
from minigrad.kernels.cpu.pairs import depth_of, operand, pair_columns, pair_panels
from minigrad.kernels.cpu.simd import VECTOR_BYTES
from minigrad.kernels.cpu.tasks import take

__all__ = [
    "Left",
    "backward",
    "backward_hidden",
    "paired",
    "pieces",
    "scale_gradient",
    "weight_gradients",
]

PIECE_COLUMNS = 96  # hidden ones whose weights get their gradients in one task


class Left(NamedTuple):
    """What the rows of a slab leave to the gradients of the weights, as products like it best."""

    gh: Array  # gradient of h, packed
    z: Array  # what the second weight multiplies, packed
    normed: Array  # what the first weight multiplies, transposed
    branch: Array  # gradient of the result, times the factor, transposed

    @classmethod
    def empty(cls, rows: int, channels: int, hidden: int, dtype: np.dtype) -> Left:
        """Return memory for so many rows."""
        sizes = rows * hidden, (rows + lanes(dtype)) * channels
        return cls(*(empty(size, dtype) for size in sizes for _ in range(2)))


@compiled
def _transposed(values, at, rows):  # type: ignore[no-untyped-def]
    """Return the transposed matrix of a slab from its column `at` on."""
    return Matrix(values, at, rows + VECTOR_BYTES // values.itemsize)


@parallel
def backward_hidden(gz, sums, rows, hidden, p, slab, memory, tasks):  # type: ignore[no-untyped-def]
    """Take tiles back to the gradient of z; sum up its parts, and their products with gelu(h)."""
    channels, size = p.b2.size, p.b1.size
    for _thread in prange(tasks.threads):
        task = take(tasks)
        while task < tasks_of(slab):
            tile = tile_of(slab, task)
            at, count = tile.at, tile.samples * tile.length
            g, _, a = workspace(memory[get_thread_id()], count, channels, slab.chunk)
            scaled(g, rows, slab.first + at, count, p.scale)
            left = operand(g, count, channels, p.w2)
            for k in range(0, size, slab.chunk):
                width = min(slab.chunk, size - k)
                slopes, w2 = place(gz, k, at, width), Matrix(p.w2, k * channels, PACKED)
                multiply(slopes, left, w2, (count, depth_of(channels, p.w2), width), False)
                gelu(a, place(hidden, k, at, width), count, p.b1[k : k + width])
                for n in range(tile.samples):
                    own = sums[tile.part + n]
                    total, product = own[0, k : k + width], own[1, k : k + width]
                    total[:] = 0
                    product[:] = 0
                    for i in range(n * tile.length, (n + 1) * tile.length):
                        value, slope = row(a, i, width), row(slopes, i, width)
                        for j in range(width):
                            total[j] += slope[j]
                            product[j] += slope[j] * value[j]
            task = take(tasks)


@compiled
def _copy(y, x, count, width):  # type: ignore[no-untyped-def]
    for i in range(count):
        row(y, i, width)[:] = row(x, i, width)


@compiled
def _back_through_norm(branch, gy, rows, m, count, p, total):  # type: ignore[no-untyped-def]
    """Write the gradients of x and of the branch; add to those of the norm's parameters and b2."""
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
        target, source = row(branch, i, channels), rows.given[here]
        f = rows.factor[(m + i) // rows.length]
        for c in range(channels):
            target[c] = widen(source[c]) * f
            to_branch[c] += target[c]


@compiled
def _tile_back(task, left, total, rows, hidden, given, grn, p, slab, own):  # type: ignore[no-untyped-def]
    channels, size, slab_rows = p.b2.size, p.b1.size, slab.samples * slab.positions
    known, gain, slope = grn
    tile = tile_of(slab, task)
    at, count = tile.at, tile.samples * tile.length
    m = slab.first + at
    g, gy, gz = workspace(own, count, channels, slab.chunk)
    total[:] = 0
    norm(g, rows, m, count, p, True)
    transpose_block(_transposed(left.normed, at, slab_rows), g, count, channels)
    scaled(g, rows, m, count, p.scale)
    slopes = operand(g, count, channels, p.w2)
    for k in range(0, size, slab.chunk):
        width = min(slab.chunk, size - k)
        columns = slice(k, k + width)
        w1, w2 = Matrix(p.w1, k * channels, PACKED), Matrix(p.w2, k * channels, PACKED)
        if known:
            _copy(gz, place(given, k, at, width), count, width)
        else:
            multiply(gz, slopes, w2, (count, depth_of(channels, p.w2), width), False)
        for i in range(tile.samples):
            n, below_here = tile.sample + i, i * tile.length
            response = gain[n, columns], p.grn_bias[columns], slope[n, columns]
            gelu_gradient(
                Matrix(left.z, k * slab_rows, PACKED), Matrix(left.gh, k * slab_rows, PACKED),
                at + below_here, slab_rows, place(hidden, k, at + below_here, width),
                below(gz, below_here), tile.length, p.b1[columns], response, total[columns],
                own[own.size - slab.chunk :],
            )  # fmt: skip
        right = operand(gz, count, width, p.w1)
        multiply(gy, right, w1, (count, depth_of(width, p.w1), channels), k > 0)
    _back_through_norm(g, gy, rows, m, count, p, total[size:])
    transpose_block(_transposed(left.branch, at, slab_rows), g, count, channels)


@parallel
def backward(left, sums, rows, hidden, given, grn, p, slab, memory, tasks):  # type: ignore[no-untyped-def]
    """Take tiles all the way back, and leave what the gradients of the weights need.

    `grn`: whether there is one, its gain and its slope; `given` is the gradient of z then.
    """
    for _thread in prange(tasks.threads):
        task = take(tasks)
        while task < tasks_of(slab):
            own = memory[get_thread_id()]
            _tile_back(task, left, sums[task], rows, hidden, given, grn, p, slab, own)
            task = take(tasks)


@parallel
def weight_gradients(gw1, gw2, cuts, left, rows, add, tasks):  # type: ignore[no-untyped-def]
    """``gw1 = normed.T @ gh``, transposed then, and ``gw2 = branch.T @ z`` over so many rows.

    Both are (C, hidden); see `pieces` for the cuts.
    """
    channels, hidden = gw1.shape
    for _thread in prange(tasks.threads):
        task = take(tasks)
        while task < 2 * len(cuts):
            j, width = cuts[task // 2]
            first = task % 2 == 0
            to = Matrix((gw1 if first else gw2).reshape(-1), j, hidden)
            a = _transposed(left.normed if first else left.branch, 0, rows)
            b = Matrix(left.gh if first else left.z, j * rows, PACKED)
            multiply(to, a, b, (channels, depth_of(rows, b.data), width), add)
            task = take(tasks)


def paired(left: Left, cuts: Array, channels: int, rows: int) -> Left:
    """Turn what a slab left, where it lies, into pairs of bfloat16, two rows in each."""
    _pair(left, cuts, channels, rows)
    return Left(*(a.view(np.int32) for a in left))


@parallel
def _pair(left, cuts, channels, rows):  # type: ignore[no-untyped-def]
    for task in prange(2 * len(cuts)):
        j, width = cuts[task // 2]
        panels = left.gh if task % 2 == 0 else left.z
        pair_panels(Matrix(panels, j * rows, PACKED), rows, width)
    for c in prange(channels):
        for a in (left.normed, left.branch):
            turned = _transposed(a, 0, rows)
            pair_columns(Matrix(a, c * turned.row, turned.row), 1, rows)


@functools.lru_cache(maxsize=64)
def pieces(hidden: int, chunk: int) -> Array:
    """Cut the hidden columns between panels: first, width; the last of a chunk is wider."""
    cuts = []
    for k in range(0, hidden, chunk):
        width = min(chunk, hidden - k)
        starts = range(k, k + max(1, width // PIECE_COLUMNS) * PIECE_COLUMNS, PIECE_COLUMNS)
        ends = [*starts[1:], k + width]
        cuts += [(j, end - j) for j, end in zip(starts, ends, strict=True)]
    return np.array(cuts)


@parallel
def scale_gradient(gw2, gscale, w2, scale):  # type: ignore[no-untyped-def]
    """From the gradient of ``w2 * scale`` to those of w2 and scale."""
    for c in prange(len(w2)):
        total = scale.dtype.type(0)
        g, w = gw2[c], w2[c]
        for j in range(w.size):
            total += g[j] * widen(w[j])
            g[j] *= scale[c]
        gscale[c] = total
