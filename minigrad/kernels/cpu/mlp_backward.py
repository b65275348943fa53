"""Tiles of rows back from the gradient of y to that of x, and the gradients of the weights."""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
from numba import get_thread_id, prange, types
from numba.extending import overload

from minigrad.kernels.cpu.arrays import Array, empty, lanes
from minigrad.kernels.cpu.bfloat16 import widen
from minigrad.kernels.cpu.compile import OPTIONS, compiled, parallel
from minigrad.kernels.cpu.gemm import PACKED, Matrix, multiply, panel_width, transpose_block
from minigrad.kernels.cpu.layer_norm import gradient_of_row
from minigrad.kernels.cpu.mlp_plan import (
    Slab,
    chunk_of,
    pairs_of_tile,
    place,
    tasks_of,
    tile_of,
    workspace,
)
from minigrad.kernels.cpu.mlp_steps import below, gelu, gelu_gradient, norm, row, scaled
from minigrad.kernels.cpu.pairs import depth_of, operand, pair_rows_of, pair_to_panels
from minigrad.kernels.cpu.simd import VECTOR_BYTES
from minigrad.kernels.cpu.tasks import take

__all__ = [
    "Left",
    "backward",
    "backward_hidden",
    "pieces",
    "scale_gradient",
    "weight_gradients",
]

PIECE_COLUMNS = 96  # hidden ones whose weights get their gradients in one task


class Left(NamedTuple):
    """What the rows of a slab leave to the gradients of the weights, as products like it best.

    Of bfloat16 two rows of a tile make one of pairs, and every tile has as many, the last of them
    zeros where it has fewer rows.
    """

    gh: Array  # gradient of h, packed
    z: Array  # what the second weight multiplies, packed
    normed: Array  # what the first weight multiplies, transposed
    branch: Array  # gradient of the result, times the factor, transposed

    @classmethod
    def empty(cls, depth: int, channels: int, hidden: int, dtype: np.dtype) -> Left:
        """Return memory for so many rows, or pairs of them if `dtype` is that of pairs."""
        sizes = depth * hidden, (depth + lanes(dtype)) * channels
        return cls(*(empty(size, dtype) for size in sizes for _ in range(2)))


@compiled
def _transposed(values, at, depth):  # type: ignore[no-untyped-def]
    """Return the transposed matrix of a slab from its column `at` on."""
    return Matrix(values, at, depth + VECTOR_BYTES // values.itemsize)


# What depends on whether rows are left as they are or in pairs: see `Left`.


def _first_left(left: Left, slab: Slab, task: int, at: int) -> int:
    """Return where what a tile leaves begins, in rows of the slab."""
    raise NotImplementedError("only compiled loops call this")


@overload(_first_left, strict=False, jit_options=OPTIONS)
def _first_left_of(left: Any, slab: Any, task: Any, at: Any) -> Any:
    if _in_pairs(left):
        return lambda left, slab, task, at: 2 * task * pairs_of_tile(slab)
    return lambda left, slab, task, at: at


def _leave(to: Array, first: int, depth: int, x: Matrix, count: int, slab: Slab, p: Any) -> None:
    """Leave rows of x, transposed; x is not as it was any more."""
    raise NotImplementedError("only compiled loops call this")


@overload(_leave, strict=False, jit_options=OPTIONS)
def _leave_rows(to: Any, first: Any, depth: Any, x: Any, count: Any, slab: Any, p: Any) -> Any:
    def pairs(to, first, depth, x, count, slab, p):  # type: ignore[no-untyped-def]
        half, channels = (count + 1) // 2, p.b2.size
        turned = _transposed(to, first // 2, depth)
        transpose_block(turned, pair_rows_of(x, count, channels), half, channels)
        for c in range(channels):
            at = turned.start + c * turned.row
            to[at + half : at + pairs_of_tile(slab)] = 0

    def rows(to, first, depth, x, count, slab, p):  # type: ignore[no-untyped-def]
        transpose_block(_transposed(to, first, depth), x, count, p.b2.size)

    return pairs if to.dtype == types.int32 else rows


def _finish(left: Left, k: int, first: int, depth: int, gz: Matrix, tile: Any, spare: Any) -> None:
    """Leave the last row of a tile that has an odd number of them, and zeros behind it."""
    raise NotImplementedError("only compiled loops call this")


@overload(_finish, strict=False, jit_options=OPTIONS)
def _finish_pairs(left: Any, k: Any, first: Any, depth: Any, gz: Any, tile: Any, spare: Any) -> Any:
    def pairs(left, k, first, depth, gz, tile, spare):  # type: ignore[no-untyped-def]
        count, end, width = tile
        z, gh = Matrix(left.z, k * depth, PACKED), Matrix(left.gh, k * depth, PACKED)
        half = first // 2 + count // 2
        if count % 2:
            last = gz.start + (count - 1) * gz.row
            pair_to_panels(z, half, depth, (spare, 0), (spare, 0), width, True)
            pair_to_panels(gh, half, depth, (gz.data, last), (gz.data, last), width, True)
            half += 1
        if half < first // 2 + end:
            j = 0
            while j < width:
                wide = panel_width(width - j, VECTOR_BYTES // 4)
                begin = (k + j) * depth
                left.z[begin + half * wide : begin + (first // 2 + end) * wide] = 0
                left.gh[begin + half * wide : begin + (first // 2 + end) * wide] = 0
                j += wide

    def nothing(left, k, first, depth, gz, tile, spare):  # type: ignore[no-untyped-def]
        pass

    return pairs if _in_pairs(left) else nothing


def _in_pairs(left: Any) -> bool:
    return bool(left[0].dtype == types.int32)


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
                slopes, w2 = place(gz, k, at, width), chunk_of(p.w2, k * channels)
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
def _tile_back(task, left, depth, total, rows, hidden, given, grn, p, slab, own):  # type: ignore[no-untyped-def]
    channels, size = p.b2.size, p.b1.size
    known, gain, slope = grn
    tile = tile_of(slab, task)
    at, count = tile.at, tile.samples * tile.length
    m, first = slab.first + at, _first_left(left, slab, task, at)
    g, gy, gz = workspace(own, count, channels, slab.chunk)
    spare = own[own.size - 2 * slab.chunk :]
    total[:] = 0
    norm(g, rows, m, count, p, True)
    _leave(left.normed, first, depth, g, count, slab, p)
    scaled(g, rows, m, count, p.scale)
    slopes = operand(g, count, channels, p.w2)
    for k in range(0, size, slab.chunk):
        width = min(slab.chunk, size - k)
        columns = slice(k, k + width)
        w1, w2 = chunk_of(p.w1, k * channels), chunk_of(p.w2, k * channels)
        if known:
            _copy(gz, place(given, k, at, width), count, width)
        else:
            multiply(gz, slopes, w2, (count, depth_of(channels, p.w2), width), False)
        for i in range(tile.samples):
            n, below_here = tile.sample + i, i * tile.length
            response = gain[n, columns], p.grn_bias[columns], slope[n, columns]
            gelu_gradient(
                Matrix(left.z, k * depth, PACKED), Matrix(left.gh, k * depth, PACKED),
                first + below_here, depth, place(hidden, k, at + below_here, width),
                below(gz, below_here), tile.length, p.b1[columns], response, total[columns], spare,
            )  # fmt: skip
        _finish(left, k, first, depth, gz, (count, pairs_of_tile(slab), width), spare)
        right = operand(gz, count, width, p.w1)
        multiply(gy, right, w1, (count, depth_of(width, p.w1), channels), k > 0)
    _back_through_norm(g, gy, rows, m, count, p, total[size:])
    _leave(left.branch, first, depth, g, count, slab, p)


@parallel
def backward(left, depth, sums, rows, hidden, given, grn, p, slab, memory, tasks):  # type: ignore[no-untyped-def]
    """Take tiles all the way back, and leave what the gradients of the weights need.

    `depth`: of their products; `grn`: whether there is one, its gain and its slope; `given` is the
    gradient of z then.
    """
    for _thread in prange(tasks.threads):
        task = take(tasks)
        while task < tasks_of(slab):
            own = memory[get_thread_id()]
            _tile_back(task, left, depth, sums[task], rows, hidden, given, grn, p, slab, own)
            task = take(tasks)


@parallel
def weight_gradients(gw1, gw2, cuts, left, depth, add, tasks):  # type: ignore[no-untyped-def]
    """``gw1 = normed.T @ gh``, transposed then, and ``gw2 = branch.T @ z`` over the rows of a slab.

    Both are (C, hidden); see `pieces` for the cuts.
    """
    channels, hidden = gw1.shape
    for _thread in prange(tasks.threads):
        task = take(tasks)
        while task < 2 * len(cuts):
            j, width = cuts[task // 2]
            first = task % 2 == 0
            to = Matrix((gw1 if first else gw2).reshape(-1), j, hidden)
            a = _transposed(left.normed if first else left.branch, 0, depth)
            b = Matrix(left.gh if first else left.z, j * depth, PACKED)
            multiply(to, a, b, (channels, depth, width), add)
            task = take(tasks)


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
