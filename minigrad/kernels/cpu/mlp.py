"""The pointwise half of a ConvNeXt block in one go: norm, product, GELU, GRN, product, residual.

    h = norm(x) @ w1.T + b1
    z = gelu(h), followed in V2 by global response normalisation
    y = skip + (z @ w2.T + b2) * scale * factor        x, skip, y: rows of C;  h, z: rows of H = 4 C

h is four times as large as x, and its way to memory and back takes as long as the products. So a
task takes a tile of rows through all steps, a chunk of hidden columns at a time:

           tile of x               chunk of h          chunk of z
    rows  |    C    | -norm, @w1-> | CHUNK | --gelu--> | CHUNK | -@w2, added up-> |    C    |

The tile stays in the cache of its core while the weights stream past.

Backward treats rows in tiles as well; then, in blocks of hidden columns, come the gradients of the
weights, which are sums over rows. In between z and the gradient of h have to be kept, so all this
happens in slabs of rows, small enough for the cache that the cores share. How rows are cut depends
on shapes alone: no sum changes with the number of threads.

Backward needs x, the statistics of its rows, and h, which is computed anew if it was not kept.
Hidden values are stored chunk by chunk: ``h[k * rows + row * width + j]`` is in column ``k + j``.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
from numba import get_thread_id, prange

from minigrad.kernels.cpu.arrays import Array, contiguous, empty, lanes, takes
from minigrad.kernels.cpu.compile import compiled, parallel, threads
from minigrad.kernels.cpu.gelu import normal
from minigrad.kernels.cpu.gemm import VECTORS, multiply, pack, transpose_block
from minigrad.kernels.cpu.grn import Response
from minigrad.kernels.cpu.layer_norm import gradient_of_row, normalize_row, statistics
from minigrad.kernels.cpu.simd import VECTOR_BYTES
from minigrad.kernels.formulas.mlp import Weights

__all__ = ["Saved", "mlp", "mlp_vjp"]

CHUNK = 384  # hidden columns at a time
TILE = 15 << 16  # bytes of a tile and its chunks: a little less than a cache of 1 MiB
SLAB = 1 << 23  # bytes of the hidden values of a slab
FEW = 256  # rows for which weights are not packed
PARTS = 8  # of the hidden columns then, at most, and rows of a weight that stay in the cache
SHORT = 48
PIECE = 96  # hidden columns whose weights get their gradients in one task


class Saved(NamedTuple):
    """What forward leaves to backward."""

    stats: Array  # (rows, 2): mean and 1 / standard deviation
    squares: Any  # array or None, (samples, H): sums of gelu(h)^2 over positions, for GRN
    hidden: Array | None  # h without b1


class _Slab(NamedTuple):
    """Rows that are worked on together: `samples` times `positions` rows from `first` on."""

    first: int
    samples: int
    positions: int

    @property
    def rows(self) -> int:
        return self.samples * self.positions


class _Cut(NamedTuple):
    """How rows and hidden columns are cut."""

    chunk: int
    tile: int
    slabs: list[_Slab]

    @classmethod
    def of(cls, x: Array, hidden: int, grn: bool) -> _Cut:
        channels = x.shape[-1]
        rows = x.size // channels
        panel = VECTORS * lanes(x.dtype)
        chunks = -(-hidden // CHUNK)
        chunk = min(hidden, -(-hidden // (chunks * panel)) * panel)
        most = SLAB // (hidden * x.itemsize)
        if grn:  # a slab has whole samples
            positions = rows // len(x)
            samples = max(1, min(len(x), most // positions))
            starts = range(0, len(x), samples)
            slabs = [_Slab(n * positions, min(samples, len(x) - n), positions) for n in starts]
        else:
            positions = -(-rows // max(1, -(-rows // most)))
            starts = range(0, rows, positions)
            slabs = [_Slab(m, 1, min(positions, rows - m)) for m in starts]
        largest = max(8, TILE // ((2 * channels + chunk) * x.itemsize))
        tiles = -(-positions // largest)
        tiles = -(-tiles // 4) * 4 if tiles > 1 else 2  # even, so that cores get equal shares
        return cls(chunk, max(8, -(-positions // tiles)), slabs)


# ---- steps of a tile --------------------------------------------------------------------------


@compiled
def _norm(y, y0, y_step, x, m, rows, stats, weight, bias, known, eps):  # type: ignore[no-untyped-def]
    """Normalise rows of x; take the statistics, or use them where they are `known`."""
    channels = weight.size
    for i in range(rows):
        row = x[(m + i) * channels : (m + i + 1) * channels]
        if not known:
            stats[m + i, 0], stats[m + i, 1] = statistics(row, eps)
        target = y[y0 + i * y_step : y0 + i * y_step + channels]
        normalize_row(target, row, stats[m + i, 0], stats[m + i, 1], weight, bias)


@compiled
def _gelu(z, z0, z_step, h, h0, h_step, rows, bias):  # type: ignore[no-untyped-def]
    for i in range(rows):
        source = h[h0 + i * h_step : h0 + i * h_step + bias.size]
        target = z[z0 + i * z_step : z0 + i * z_step + bias.size]
        for j in range(bias.size):
            value = source[j] + bias[j]
            target[j] = value * normal(value)[0]


@compiled
def _gelu_in_place(z, z0, z_step, rows, bias):  # type: ignore[no-untyped-def]
    # One array, not two that are the same: those could overlap anyhow, and loops would stay scalar.
    for i in range(rows):
        target = z[z0 + i * z_step : z0 + i * z_step + bias.size]
        for j in range(bias.size):
            value = target[j] + bias[j]
            target[j] = value * normal(value)[0]


@compiled
def _gelu_of(row, bias):  # type: ignore[no-untyped-def]
    for i in range(row.size):
        value = row[i] + bias
        row[i] = value * normal(value)[0]


@compiled
def _respond(z, z0, z_step, rows, gain, shift):  # type: ignore[no-untyped-def]
    for i in range(rows):
        target = z[z0 + i * z_step : z0 + i * z_step + gain.size]
        for j in range(gain.size):
            target[j] = target[j] * gain[j] + shift[j]


@compiled
def _residual(y, skip, m, rows, branch, b0, b_step, bias, scale, factor, length):  # type: ignore[no-untyped-def]
    channels = bias.size
    for i in range(rows):
        at = (m + i) * channels
        target, source = y[at : at + channels], skip[at : at + channels]
        value = branch[b0 + i * b_step : b0 + i * b_step + channels]
        f = factor[(m + i) // length]
        for c in range(channels):
            target[c] = source[c] + (value[c] + bias[c]) * (scale[c] * f)


# ---- forward ----------------------------------------------------------------------------------


@parallel
def _pack(p1, p2, w1, w2, channels, hidden, chunk):  # type: ignore[no-untyped-def]
    """Pack both weights transposed, one matrix per chunk of hidden columns."""
    chunks = -(-hidden // chunk)
    for task in prange(2 * chunks):
        k = task // 2 * chunk
        width = min(chunk, hidden - k)
        j = 0
        if task % 2:
            while j < channels:
                j += pack(p2, k * channels, w2, k, hidden, width, channels, j)
        else:
            while j < width:
                j += pack(p1, k * channels, w1, k * channels, channels, channels, width, j)


@parallel
def _forward(  # type: ignore[no-untyped-def]
    y, skip, x, stats, hidden, keep, norm_weight, norm_bias, p1, b1, p2, b2, scale, factor, length,
    eps, tile, chunk, memory,
):  # fmt: skip
    """Take tiles of rows all the way."""
    channels, all_rows = b2.size, len(stats)
    pad = VECTOR_BYTES // x.itemsize
    step, wide = channels + pad, chunk + pad
    for task in prange(-(-all_rows // tile)):
        own = memory[get_thread_id()]
        m = task * tile
        rows = min(tile, all_rows - m)
        branch, a0 = rows * step, 2 * rows * step
        _norm(own, 0, step, x, m, rows, stats, norm_weight, norm_bias, False, eps)
        for k in range(0, b1.size, chunk):
            width = min(chunk, b1.size - k)
            h, h0, h_step = (hidden, k * all_rows + m * width, width) if keep else (own, a0, wide)
            multiply(
                h, h0, h_step, rows, width, own, 0, step, 1, p1, k * channels, 0, channels, False
            )
            if keep:
                _gelu(own, a0, wide, h, h0, h_step, rows, b1[k : k + width])
            else:
                _gelu_in_place(own, a0, wide, rows, b1[k : k + width])
            multiply(
                own,
                branch,
                step,
                rows,
                channels,
                own,
                a0,
                wide,
                1,
                p2,
                k * channels,
                0,
                width,
                k > 0,
            )
        _residual(y, skip, m, rows, own, branch, step, b2, scale, factor, length)


@parallel
def _forward_hidden(  # type: ignore[no-untyped-def]
    hidden, rows_kept, kept_first, sums, x, stats, known, first, positions,
    norm_weight, norm_bias, p1, b1, eps, tile, chunk, memory,
):  # fmt: skip
    """Take tiles of rows to h; sum up gelu(h)^2 for each."""
    channels = norm_weight.size
    pad = VECTOR_BYTES // x.itemsize
    step, wide = channels + pad, chunk + pad
    tiles = -(-positions // tile)
    for task in prange(len(sums)):
        own = memory[get_thread_id()]
        at = task % tiles * tile
        rows = min(tile, positions - at)
        at += task // tiles * positions
        a0 = rows * step
        _norm(own, 0, step, x, first + at, rows, stats, norm_weight, norm_bias, known, eps)
        for k in range(0, b1.size, chunk):
            width = min(chunk, b1.size - k)
            h0 = k * rows_kept + (kept_first + at) * width
            multiply(
                hidden,
                h0,
                width,
                rows,
                width,
                own,
                0,
                step,
                1,
                p1,
                k * channels,
                0,
                channels,
                False,
            )
            _gelu(own, a0, wide, hidden, h0, width, rows, b1[k : k + width])
            total = sums[task, k : k + width]
            total[:] = 0
            for i in range(rows):
                value = own[a0 + i * wide : a0 + i * wide + width]
                for j in range(width):
                    total[j] += value[j] * value[j]


@parallel
def _forward_rest(  # type: ignore[no-untyped-def]
    y, skip, hidden, rows_kept, kept_first, first, samples, positions, gain, shift,
    b1, p2, b2, scale, factor, tile, chunk, memory,
):  # fmt: skip
    """Take tiles of rows from h to the end; `gain` (samples, H) and `shift` are those of GRN."""
    channels = b2.size
    pad = VECTOR_BYTES // y.itemsize
    step, wide = channels + pad, chunk + pad
    tiles = -(-positions // tile)
    for task in prange(samples * tiles):
        own = memory[get_thread_id()]
        n = task // tiles
        at = task % tiles * tile
        rows = min(tile, positions - at)
        at += n * positions
        a0 = rows * step
        for k in range(0, b1.size, chunk):
            width = min(chunk, b1.size - k)
            h0 = k * rows_kept + (kept_first + at) * width
            _gelu(own, a0, wide, hidden, h0, width, rows, b1[k : k + width])
            _respond(own, a0, wide, rows, gain[n, k : k + width], shift[k : k + width])
            multiply(
                own, 0, step, rows, channels, own, a0, wide, 1, p2, k * channels, 0, width, k > 0
            )
        _residual(y, skip, first + at, rows, own, 0, step, b2, scale, factor, positions)


@compiled
def _dot(x, y):  # type: ignore[no-untyped-def]
    total = x.dtype.type(0)
    for k in range(x.size):
        total += x[k] * y[k]
    return total


@parallel
def _forward_few(  # type: ignore[no-untyped-def]
    y, skip, x, stats, turned, parts, norm_weight, norm_bias, w1, b1, w2, b2, scale, factor,
    length, eps, memory,
):  # fmt: skip
    """Do the same with positions in the lanes: for few rows, where packing weights would cost most.

    ``h.T = w1 @ norm(x).T`` and ``y.T = w2 @ z.T`` take the weights as they are, each number once.
    A task has some of the hidden columns; what they add to the result goes to a part of its own.
    A few positions that would leave most lanes of a vector empty are inner products instead.
    """
    channels, size = b2.size, b1.size
    rows = x.size // channels
    lane = VECTOR_BYTES // x.itemsize
    whole = rows - rows % lane if rows < lane or rows % lane <= lane // 4 else rows
    rest = turned[whole * channels :]
    for task in prange(-(-rows // lane)):
        own = memory[get_thread_id()]
        m = task * lane
        count = min(lane, rows - m)
        for i in range(count):
            row = x[(m + i) * channels : (m + i + 1) * channels]
            stats[m + i, 0], stats[m + i, 1] = statistics(row, eps)
            target = own[i * channels : (i + 1) * channels]
            normalize_row(target, row, stats[m + i, 0], stats[m + i, 1], norm_weight, norm_bias)
        if m < whole:
            transpose_block(turned, m, whole, own, 0, channels, count, channels)
        else:
            rest[:] = own[: count * channels]
    for part in prange(len(parts)):
        own = memory[get_thread_id()]
        first = part * size // len(parts)
        width = (part + 1) * size // len(parts) - first
        aside = own[width * whole :]
        for j in range(0, width, SHORT):
            count = min(SHORT, width - j)
            at = (first + j) * channels
            multiply(
                own, j * whole, whole, count, whole, w1, at, channels, 1, turned, 0, whole,
                channels,
                False,
            )  # fmt: skip
            for i in range(count):
                _gelu_of(own[(j + i) * whole : (j + i + 1) * whole], b1[first + j + i])
                weight = w1[at + i * channels : at + (i + 1) * channels]
                for m in range(rows - whole):
                    value = _dot(weight, rest[m * channels : (m + 1) * channels])
                    value += b1[first + j + i]
                    aside[m * width + j + i] = value * normal(value)[0]
        total = parts[part]
        for c in range(0, channels, SHORT):
            count = min(SHORT, channels - c)
            at = c * size + first
            multiply(
                total, c * rows, rows, count, whole, w2, at, size, 1, own, 0, whole, width, False
            )
            for i in range(count):
                weight = w2[at + i * size : at + i * size + width]
                for m in range(rows - whole):
                    value = _dot(weight, aside[m * width : (m + 1) * width])
                    total[(c + i) * rows + whole + m] = value
    for task in prange(-(-channels // lane)):
        own = memory[get_thread_id()]
        c = task * lane
        count = min(lane, channels - c)
        sums = own[: count * rows]
        sums[:] = parts[0, c * rows : (c + count) * rows]
        for part in range(1, len(parts)):
            more = parts[part, c * rows : (c + count) * rows]
            for i in range(sums.size):
                sums[i] += more[i]
        transpose_block(own, sums.size, count, own, 0, rows, count, rows)
        for m in range(rows):
            at, branch = m * channels + c, sums.size + m * count
            f = factor[m // length]
            for i in range(count):
                y[at + i] = skip[at + i] + (own[branch + i] + b2[c + i]) * (scale[c + i] * f)


# ---- backward ---------------------------------------------------------------------------------


@compiled
def _scaled(y, y0, y_step, g, m, rows, scale, factor, length):  # type: ignore[no-untyped-def]
    for i in range(rows):
        source = g[(m + i) * scale.size : (m + i + 1) * scale.size]
        target = y[y0 + i * y_step : y0 + i * y_step + scale.size]
        f = factor[(m + i) // length]
        for c in range(scale.size):
            target[c] = source[c] * (scale[c] * f)


@compiled
def _copy(y, y0, y_step, x, x0, x_step, rows, width):  # type: ignore[no-untyped-def]
    for i in range(rows):
        y[y0 + i * y_step : y0 + i * y_step + width] = x[x0 + i * x_step : x0 + i * x_step + width]


@compiled
def _gelu_gradient(  # type: ignore[no-untyped-def]
    z, gh, at, h, h0, gz, gz0, gz_step, rows, bias, gain, shift, slope, sums
):
    """From gz to z and the gradient of h; ``z = a * gain + shift`` with ``a = gelu(h + bias)``.

    The gain depends on all positions of a: `slope` is what reaches a that way, per unit of a.
    """
    width = bias.size
    for i in range(rows):
        source = h[h0 + i * width : h0 + i * width + width]
        g = gz[gz0 + i * gz_step : gz0 + i * gz_step + width]
        value = z[at + i * width : at + i * width + width]
        target = gh[at + i * width : at + i * width + width]
        for j in range(width):
            x = source[j] + bias[j]
            cdf, density = normal(x)
            a = x * cdf
            value[j] = a * gain[j] + shift[j]
            target[j] = (g[j] * gain[j] + a * slope[j]) * (cdf + x * density)
        for j in range(width):
            sums[j] += target[j]


@parallel
def _backward_hidden(  # type: ignore[no-untyped-def]
    gz, sums, g, hidden, rows_kept, kept_first, first, positions, b1, w2, scale, factor,
    tile, chunk, memory,
):  # fmt: skip
    """Take tiles of rows back to the gradient of z; sum it up, and its product with gelu(h)."""
    channels, size = scale.size, b1.size
    step = channels + VECTOR_BYTES // g.itemsize
    wide = chunk + VECTOR_BYTES // g.itemsize
    tiles = -(-positions // tile)
    all_rows = len(sums) // tiles * positions
    for task in prange(len(sums)):
        own = memory[get_thread_id()]
        at = task % tiles * tile
        rows = min(tile, positions - at)
        at += task // tiles * positions
        a0 = rows * step
        _scaled(own, 0, step, g, first + at, rows, scale, factor, positions)
        for k in range(0, size, chunk):
            width = min(chunk, size - k)
            at_k = k * all_rows + at * width
            multiply(gz, at_k, width, rows, width, own, 0, step, 1, w2, k, size, channels, False)
            _gelu(
                own, a0, wide, hidden, k * rows_kept + (kept_first + at) * width, width, rows,
                b1[k : k + width],
            )  # fmt: skip
            total, product = sums[task, 0, k : k + width], sums[task, 1, k : k + width]
            total[:] = 0
            product[:] = 0
            for i in range(rows):
                a = own[a0 + i * wide : a0 + i * wide + width]
                slope = gz[at_k + i * width : at_k + i * width + width]
                for j in range(width):
                    total[j] += slope[j]
                    product[j] += slope[j] * a[j]


@parallel
def _backward(  # type: ignore[no-untyped-def]
    gx, gh, z, y, branch, sums, g, x, stats, hidden, rows_kept, kept_first, first, positions,
    norm_weight, norm_bias, w1, b1, w2, scale, factor, length, grn, gain, shift, slope,
    eps, tile, chunk, memory,
):  # fmt: skip
    """Take tiles of rows all the way back.

    What the gradients of the weights need is left in gh (the gradient of h), z, y (normalised x)
    and branch (``g * factor``). With GRN gh holds the gradient of z before.
    """
    channels, size = scale.size, b1.size
    step = channels + VECTOR_BYTES // g.itemsize
    wide = chunk + VECTOR_BYTES // g.itemsize
    tiles = -(-positions // tile)
    all_rows = len(sums) // tiles * positions
    for task in prange(len(sums)):
        own = memory[get_thread_id()]
        n = task // tiles
        at = task % tiles * tile
        rows = min(tile, positions - at)
        at += n * positions
        m = first + at
        gy0, gz0 = rows * step, 2 * rows * step
        total = sums[task]
        total[:] = 0
        _norm(y, at * channels, channels, x, m, rows, stats, norm_weight, norm_bias, True, eps)
        _scaled(own, 0, step, g, m, rows, scale, factor, length)
        for k in range(0, size, chunk):
            width = min(chunk, size - k)
            at_k = k * all_rows + at * width
            if grn:
                _copy(own, gz0, wide, gh, at_k, width, rows, width)
            else:
                multiply(own, gz0, wide, rows, width, own, 0, step, 1, w2, k, size, channels, False)
            _gelu_gradient(
                z, gh, at_k, hidden, k * rows_kept + (kept_first + at) * width,
                own, gz0, wide, rows, b1[k : k + width], gain[n, k : k + width],
                shift[k : k + width], slope[n, k : k + width], total[k : k + width],
            )  # fmt: skip
            multiply(
                own, gy0, step, rows, channels, gh, at_k, width, 1, w1, k * channels, channels,
                width,
                k > 0,
            )  # fmt: skip
        for i in range(rows):
            row = slice((m + i) * channels, (m + i + 1) * channels)
            gradient_of_row(
                gx[row], own[gy0 + i * step : gy0 + i * step + channels], x[row],
                stats[m + i, 0], stats[m + i, 1], norm_weight,
                total[size : size + channels], total[size + channels : size + 2 * channels],
            )  # fmt: skip
            target = branch[(at + i) * channels : (at + i + 1) * channels]
            source, f = g[row], factor[(m + i) // length]
            out = total[size + 2 * channels :]
            for c in range(channels):
                target[c] = source[c] * f
                out[c] += target[c]


@parallel
def _weight_gradients(gw1, gw2, pieces, branch, z, gh, y, rows, channels, hidden, add):  # type: ignore[no-untyped-def]
    """``gw2 = branch.T @ z`` and ``gw1 = gh.T @ y`` over the rows of a slab."""
    for task in prange(len(pieces)):
        j, width, k, chunk = pieces[task]
        at = k * rows + j - k
        multiply(gw2, j, hidden, channels, width, branch, 0, 1, channels, z, at, chunk, rows, add)
        multiply(
            gw1,
            j * channels,
            channels,
            width,
            channels,
            gh,
            at,
            1,
            chunk,
            y,
            0,
            channels,
            rows,
            add,
        )


@parallel
def _scale_gradient(gw2, gscale, w2, scale):  # type: ignore[no-untyped-def]
    """From the gradient of ``w2 * scale`` to those of w2 and scale."""
    for c in prange(len(w2)):
        total = scale.dtype.type(0)
        g, w = gw2[c], w2[c]
        for j in range(w.size):
            total += g[j] * w[j]
            g[j] *= scale[c]
        gscale[c] = total


# ---- the two kernels --------------------------------------------------------------------------


def _memory(cut: _Cut, channels: int, dtype: np.dtype) -> Array:
    pad = lanes(dtype)
    return empty((threads(), cut.tile * (2 * (channels + pad) + cut.chunk + pad)), dtype)


def _packed(p: Weights, cut: _Cut) -> tuple[Array, Array]:
    hidden, channels = p.w1.shape
    p1, p2 = empty(p.w1.size, p.w1.dtype), empty(p.w2.size, p.w2.dtype)
    _pack(p1, p2, p.w1.reshape(-1), p.w2.reshape(-1), channels, hidden, cut.chunk)
    return p1, p2


def _fits(x: Array, p: Weights, factor: Array | None) -> bool:
    if x.ndim < 2:
        return False
    row, wide = x.shape[-1:], p.w1.shape[:1]
    shapes = (row, row, wide + row, wide, row + wide, row, row, wide, wide)
    return all(
        a is None or (a.shape == shape and a.dtype == x.dtype)
        for a, shape in zip((*p, factor), (*shapes, x.shape[:1]), strict=True)
    )


@takes(
    lambda x, skip, p, factor=None, *_, **__: skip.shape == x.shape and _fits(x, p, factor),
    keeps=True,
)
def mlp(
    x: Array,
    skip: Array,
    parameters: Weights,
    factor: Array | None = None,
    eps: float = 1e-6,
    grn_eps: float = 1e-6,
    keep: bool = True,
) -> tuple[Array, Saved]:
    """Return ``y = skip + (grn(gelu(norm(x) @ w1.T + b1)) @ w2.T + b2) * scale * factor``.

    Parameters
    ----------
    x, skip : array, (N, *spatial, C)
        The output of the depthwise convolution and the input of the block, channels-last.
    parameters : Weights
        Without `grn_weight` there is no GRN, without `scale` no layer scale.
    factor : array, (N,), optional
        Factor of every sample's branch: drop path.
    eps, grn_eps : float, default 1e-6
        Of the layer norm and of GRN.
    keep : bool, default True
        Keep the hidden values for `mlp_vjp`, which otherwise computes them again: 4 / 3 of its
        work without the memory, 4 C numbers a row.

    Returns
    -------
    tuple of (array, Saved)
        y, of the shape of x, and what `mlp_vjp` needs.
    """
    p = _complete(parameters)
    hidden, channels = p.w1.shape
    rows, dtype = x.size // channels, x.dtype
    grn = parameters.grn_weight is not None
    y, stats = empty(x.shape, dtype), empty((rows, 2), dtype)
    squares: Any = empty((len(x), hidden), dtype) if grn else None
    kept = empty(rows * hidden if keep else 0, dtype)
    if rows:
        factor = np.ones(len(x), dtype) if factor is None else factor
        flat_x, flat_skip, flat_y = (
            contiguous(x).reshape(-1),
            contiguous(skip).reshape(-1),
            y.reshape(-1),
        )
        eps = dtype.type(eps)
        if not grn and not keep and rows <= FEW:
            parts = max(1, min(PARTS, hidden // CHUNK))
            width = max(-(-hidden // parts), 2 * lanes(dtype))
            memory = empty((threads(), width * max(rows, channels)), dtype)
            _forward_few(
                flat_y, flat_skip, flat_x, stats, empty(x.size, dtype),
                empty((parts, x.size), dtype),
                p.norm_weight, p.norm_bias, p.w1.reshape(-1), p.b1, p.w2.reshape(-1), p.b2, p.scale,
                factor, rows // len(x), eps, memory,
            )  # fmt: skip
            return y, Saved(stats, None, None)
        cut = _Cut.of(x, hidden, grn)
        p1, p2 = _packed(p, cut)
        memory = _memory(cut, channels, dtype)
        if not grn:
            _forward(
                flat_y, flat_skip, flat_x, stats, kept, keep, p.norm_weight, p.norm_bias, p1, p.b1,
                p2, p.b2, p.scale, factor, rows // len(x), eps, cut.tile, cut.chunk, memory,
            )  # fmt: skip
        for slab in cut.slabs if grn else ():
            h, at = (kept, slab.first) if keep else (empty(slab.rows * hidden, dtype), 0)
            h_rows = rows if keep else slab.rows
            sums = _sums(slab, cut, hidden, dtype)
            _forward_hidden(
                h, h_rows, at, sums, flat_x, stats, False, slab.first, slab.positions,
                p.norm_weight, p.norm_bias, p1, p.b1, eps, cut.tile, cut.chunk, memory,
            )  # fmt: skip
            first = slab.first // slab.positions
            own = squares[first : first + slab.samples]
            own[...] = sums.reshape(slab.samples, -1, hidden).sum(axis=1)
            gain = Response.of(own, p.grn_weight, grn_eps).gain
            _forward_rest(
                flat_y, flat_skip, h, h_rows, at, slab.first, slab.samples, slab.positions, gain,
                p.grn_bias, p.b1, p2, p.b2, p.scale, factor, cut.tile, cut.chunk, memory,
            )  # fmt: skip
    return y, Saved(stats, squares, kept if keep else None)


def _sums(slab: _Slab, cut: _Cut, *shape: Any) -> Array:
    """Return memory for sums over the rows of every tile of a slab."""
    *size, dtype = shape
    return empty((slab.samples * -(-slab.positions // cut.tile), *size), dtype)


def _complete(p: Weights) -> Weights:
    """Put neutral values where parameters are missing, and everything in C order."""
    channels, hidden = p.w2.shape
    neutral = _neutral(channels, hidden, p.w1.dtype)
    given = (p.scale, p.grn_weight, p.grn_bias)
    optional = [n if v is None else v for n, v in zip(neutral, given, strict=True)]
    return Weights(*map(contiguous, (*p[:6], *optional)))


@functools.lru_cache(maxsize=64)
def _neutral(channels: int, hidden: int, dtype: np.dtype) -> tuple[Array, Array, Array]:
    """Return layer scale, GRN's weight and its bias that change nothing; only to be read."""
    return np.ones(channels, dtype), np.zeros(hidden, dtype), np.zeros(hidden, dtype)


@takes(
    fits=lambda g, x, p, saved=None, factor=None, *_: g.shape == x.shape and _fits(x, p, factor),
)
def mlp_vjp(
    g: Array,
    x: Array,
    parameters: Weights,
    saved: Saved | None = None,
    factor: Array | None = None,
    eps: float = 1e-6,
    grn_eps: float = 1e-6,
) -> tuple[Array, Weights]:
    """Gradients of `mlp` with respect to x and the parameters; that of `skip` is g itself."""
    if saved is None:  # forward was the formula
        _, saved = mlp(x, x, parameters, factor, eps, grn_eps, keep=False)
    p = _complete(parameters)
    hidden, channels = p.w1.shape
    rows, dtype = x.size // channels, x.dtype
    grn = parameters.grn_weight is not None
    gx = empty(x.shape, dtype)
    gw1, gw2 = empty(p.w1.shape, dtype), empty(p.w2.shape, dtype)
    gscale = np.zeros(channels, dtype)
    g_grn = np.zeros((2, hidden), dtype)
    total = np.zeros(hidden + 3 * channels, dtype)
    if not rows:
        gw1[...] = 0
        gw2[...] = 0
    else:
        length = rows // len(x)
        factor = np.ones(len(x), dtype) if factor is None else factor
        flat_g, flat_x, flat_gx = (
            contiguous(g).reshape(-1),
            contiguous(x).reshape(-1),
            gx.reshape(-1),
        )
        flat_w1, flat_w2 = p.w1.reshape(-1), p.w2.reshape(-1)
        cut = _Cut.of(x, hidden, grn)
        memory = _memory(cut, channels, dtype)
        eps = dtype.type(eps)
        most = max(slab.rows for slab in cut.slabs)
        gh, z = empty(most * hidden, dtype), empty(most * hidden, dtype)
        normed, branch = empty(most * channels, dtype), empty(most * channels, dtype)
        pieces = _pieces(hidden, cut.chunk)
        gain, slope = np.ones((1, hidden), dtype), np.zeros((1, hidden), dtype)
        if saved.hidden is None:
            h, h_rows = empty(most * hidden, dtype), 0
            p1, _ = _packed(p, cut)
        else:
            h, h_rows = saved.hidden, rows
        for slab in cut.slabs:
            at = slab.first
            if saved.hidden is None:
                h_rows, at = slab.rows, 0
                _forward_hidden(
                    h, h_rows, at, _sums(slab, cut, hidden, dtype), flat_x, saved.stats, True,
                    slab.first, slab.positions, p.norm_weight, p.norm_bias, p1, p.b1,
                    eps, cut.tile, cut.chunk, memory,
                )  # fmt: skip
            if grn:
                sums = _sums(slab, cut, 2, hidden, dtype)
                _backward_hidden(
                    gh, sums, flat_g, h, h_rows, at, slab.first, slab.positions, p.b1, flat_w2,
                    p.scale, factor, cut.tile, cut.chunk, memory,
                )  # fmt: skip
                sums = sums.reshape(slab.samples, -1, 2, hidden).sum(axis=1)
                first = slab.first // slab.positions
                own = saved.squares[first : first + slab.samples]
                response = Response.of(own, p.grn_weight, grn_eps)
                gain, slope = response.gain, response.slope(sums[:, 1], p.grn_weight)
                g_grn[0] += (sums[:, 1] * (response.norm * response.share)).sum(axis=0)
                g_grn[1] += sums[:, 0].sum(axis=0)
            sums = _sums(slab, cut, hidden + 3 * channels, dtype)
            _backward(
                flat_gx, gh, z, normed, branch, sums, flat_g, flat_x, saved.stats, h, h_rows, at,
                slab.first, slab.positions, p.norm_weight, p.norm_bias, flat_w1, p.b1, flat_w2,
                p.scale, factor, length, grn, gain, p.grn_bias, slope,
                eps, cut.tile, cut.chunk, memory,
            )  # fmt: skip
            total += sums.sum(axis=0)
            _weight_gradients(
                gw1.reshape(-1), gw2.reshape(-1), pieces, branch, z, gh, normed, slab.rows,
                channels, hidden, slab.first > 0,
            )  # fmt: skip
        _scale_gradient(gw2, gscale, p.w2, p.scale)
    gb1, g_norm_weight, g_norm_bias, g_branch = np.split(
        total, [hidden, hidden + channels, hidden + 2 * channels]
    )
    return gx, Weights(
        g_norm_weight, g_norm_bias, gw1, gb1, gw2, g_branch * p.scale,
        None if parameters.scale is None else gscale + g_branch * p.b2,
        *(g_grn if grn else (None, None)),
    )  # fmt: skip


def _pieces(hidden: int, chunk: int) -> Array:
    """Cut the hidden columns for `_weight_gradients`: first, width; first, width of the chunk."""
    return np.array(
        [
            (j, min(PIECE, k + width - j), k, width)
            for k in range(0, hidden, chunk)
            for width in (min(chunk, hidden - k),)
            for j in range(k, k + width, PIECE)
        ]
    )
