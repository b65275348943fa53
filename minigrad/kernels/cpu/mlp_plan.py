"""How the pointwise half of a block is cut, and what its loops are told.

The groups of arrays and numbers here go into compiled loops as they are; so they hold no None and
no other group.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
from numba import prange

from minigrad.kernels.cpu.arrays import Array, contiguous, empty, lanes
from minigrad.kernels.cpu.compile import compiled, parallel, threads
from minigrad.kernels.cpu.gemm import PACKED, VECTORS, Matrix, pack
from minigrad.kernels.cpu.simd import VECTOR_BYTES
from minigrad.kernels.formulas.mlp import Weights

__all__ = ["Hidden", "Rows", "Slab", "complete", "cut", "packed", "place", "tile_of", "workspace"]

CHUNK_COLUMNS = 384  # hidden columns at a time
TILE_BYTES = 15 << 16  # of a tile and its chunks: a little less than a cache of 1 MiB
SLAB_BYTES = 1 << 23  # of the hidden values of a slab


class Rows(NamedTuple):
    """Rows of C numbers, flat, and what is known of each row or sample."""

    x: Array
    given: Array  # the skip connection; in backward the gradient of the result
    out: Array  # the result; in backward the gradient of x
    stats: Array  # (rows, 2): mean and 1 / standard deviation
    factor: Array  # (N,)
    length: int  # rows of a sample
    eps: Any

    @classmethod
    def of(
        cls, x: Array, given: Array, out: Array, stats: Array, factor: Array | None, eps: float
    ) -> Rows:
        """Take the arguments of the kernels; x is not empty."""
        factor = np.ones(len(x), x.dtype) if factor is None else factor
        length = len(stats) // len(x)
        x, given, out = (contiguous(a).reshape(-1) for a in (x, given, out))
        return cls(x, given, out, stats, factor, length, x.dtype.type(eps))


class Slab(NamedTuple):
    """Rows worked on together: `samples` times `positions` rows from `first` on.

    They are cut into tiles of `tile` rows, and hidden columns into chunks of `chunk`.
    """

    first: int
    samples: int
    positions: int
    tile: int
    chunk: int

    @property
    def rows(self) -> int:
        return self.samples * self.positions

    def sums(self, *size: int, dtype: np.dtype) -> Array:
        """Return memory for sums over the rows of every tile."""
        return empty((self.samples * -(-self.positions // self.tile), *size), dtype)

    def memory(self, channels: int, dtype: np.dtype) -> Array:
        """Return what `workspace` needs, for every thread."""
        pad = lanes(dtype)
        return empty((threads(), self.tile * (2 * (channels + pad) + self.chunk + pad)), dtype)


class Hidden(NamedTuple):
    """Hidden values of `rows` rows, chunk by chunk; those of the slab begin with row `first`."""

    values: Array
    rows: int
    first: int


def cut(rows: Rows, hidden: int, whole_samples: bool) -> tuple[Slab, ...]:
    """Cut the rows into slabs; with GRN, which sums over positions, a slab has whole samples."""
    count = len(rows.stats)
    return _cut(count, rows.length, rows.x.size // count, hidden, rows.x.dtype, whole_samples)


@functools.lru_cache(maxsize=1024)
def _cut(
    count: int, length: int, channels: int, hidden: int, dtype: np.dtype, whole_samples: bool
) -> tuple[Slab, ...]:
    itemsize = dtype.itemsize
    panel = VECTORS * lanes(dtype)
    chunks = -(-hidden // CHUNK_COLUMNS)
    chunk = min(hidden, -(-hidden // (chunks * panel)) * panel)
    most = SLAB_BYTES // (hidden * itemsize)
    if whole_samples:
        positions, batch = length, count // length
        samples = max(1, min(batch, most // positions))
        starts = range(0, batch, samples)
        sizes = [(n * positions, min(samples, batch - n), positions) for n in starts]
    else:
        positions = -(-count // max(1, -(-count // most)))
        sizes = [(m, 1, min(positions, count - m)) for m in range(0, count, positions)]
    largest = max(8, TILE_BYTES // ((2 * channels + chunk) * itemsize))
    tiles = -(-positions // largest)
    tiles = -(-tiles // 4) * 4 if tiles > 1 else 2  # even, so that cores get equal shares
    tile = max(8, -(-positions // tiles))
    return tuple([Slab(*size, tile, chunk) for size in sizes])


# ---- the parameters -----------------------------------------------------------------------------


def complete(p: Weights) -> Weights:
    """Put neutral values where parameters are missing, and every array in one row, C order."""
    channels, hidden = p.w2.shape
    neutral = _neutral(channels, hidden, p.w1.dtype)
    given = (p.scale, p.grn_weight, p.grn_bias)
    optional = [n if v is None else contiguous(v) for n, v in zip(neutral, given, strict=True)]
    norm_weight, norm_bias, w1, b1, w2, b2 = map(contiguous, p[:6])
    return Weights(norm_weight, norm_bias, w1.reshape(-1), b1, w2.reshape(-1), b2, *optional)


@functools.lru_cache(maxsize=64)
def _neutral(channels: int, hidden: int, dtype: np.dtype) -> tuple[Array, Array, Array]:
    """Return layer scale, GRN's weight and its bias that change nothing; only to be read."""
    return np.ones(channels, dtype), np.zeros(hidden, dtype), np.zeros(hidden, dtype)


def packed(p: Weights, chunk: int) -> Weights:
    """Pack both weights transposed, one matrix per chunk of hidden columns."""
    w1, w2 = empty(p.w1.size, p.w1.dtype), empty(p.w2.size, p.w2.dtype)
    _pack(w1, w2, p.w1, p.w2, p.b1.size, chunk)
    return p._replace(w1=w1, w2=w2)


@parallel
def _pack(p1, p2, w1, w2, hidden, chunk):  # type: ignore[no-untyped-def]
    channels = w1.size // hidden
    chunks = -(-hidden // chunk)
    for task in prange(2 * chunks):
        k = task // 2 * chunk
        width = min(chunk, hidden - k)
        at, j = k * channels, 0
        if task % 2:
            while j < channels:
                to, source = Matrix(p2, at, PACKED), Matrix(w2, k, hidden)
                j += pack(to, source, width, channels, j)
        else:
            while j < width:
                to, source = Matrix(p1, at, PACKED), Matrix(w1, at, channels)
                j += pack(to, source, channels, width, j)


# ---- tiles, inside a loop -----------------------------------------------------------------------


@compiled
def tile_of(slab, task):  # type: ignore[no-untyped-def]
    """Return the sample of a task, its first row, counted in the slab, and how many it has."""
    tiles = -(-slab.positions // slab.tile)
    n, at = task // tiles, task % tiles * slab.tile
    return n, n * slab.positions + at, min(slab.tile, slab.positions - at)


@compiled
def workspace(own, count, channels, chunk):  # type: ignore[no-untyped-def]
    """Return three matrices of `count` rows in a thread's memory: C, C and `chunk` wide.

    Rows lie a vector further apart than they are long, so that they share the cache evenly.
    """
    pad = VECTOR_BYTES // own.itemsize
    step = channels + pad
    one, two = Matrix(own, 0, step), Matrix(own, count * step, step)
    return one, two, Matrix(own, 2 * count * step, chunk + pad)


@compiled
def place(hidden, k, at, width):  # type: ignore[no-untyped-def]
    """Return the rows from `at` on, counted in the slab, of the chunk that begins at column k."""
    start = k * hidden.rows + (hidden.first + at) * width
    return Matrix(hidden.values, start, width)
