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
from minigrad.kernels.cpu.gemm import PACKED, VECTORS, Matrix, pack, pack_transposed
from minigrad.kernels.cpu.simd import VECTOR_BYTES
from minigrad.kernels.formulas.mlp import Weights

__all__ = [
    "Hidden",
    "Rows",
    "Slab",
    "complete",
    "cut",
    "packed",
    "place",
    "tasks_of",
    "tile_of",
    "workspace",
]

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

    They are cut into tiles of at most `tile` rows, and hidden columns into chunks of `chunk`. A
    tile has some samples or, where one alone has more rows, a part of one.
    """

    first: int
    samples: int
    positions: int
    tile: int
    chunk: int

    @property
    def rows(self) -> int:
        return self.samples * self.positions

    @property
    def tasks(self) -> int:
        """How many tiles there are."""
        return _tasks(self)

    @property
    def parts(self) -> int:
        """How many parts the samples have in all, each in one tile."""
        return self.samples * -(-self.positions // self.tile)

    def memory(self, channels: int, dtype: np.dtype) -> Array:
        """Return what `workspace` needs, and a row of a chunk, for every thread."""
        pad = lanes(dtype)
        size = self.tile * (2 * (channels + pad) + self.chunk + pad)
        return empty((threads(), size + self.chunk), dtype)


def _tasks(slab: Slab) -> int:
    together = slab.tile // slab.positions
    if together > 0:
        return -(-slab.samples // together)
    return slab.samples * -(-slab.positions // slab.tile)


tasks_of = compiled(_tasks)


class Tile(NamedTuple):
    """The rows of one task: `length` of each of its samples, one part of each."""

    part: int  # number of the first part, and of the first sample
    sample: int
    samples: int
    at: int  # the first row, counted in the slab
    length: int


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
    tile = _tile(sizes[0][1] * positions, largest)
    if tile < positions:
        tile = _tile(positions, largest)
    return tuple([Slab(*size, tile, chunk) for size in sizes])


def _tile(rows: int, largest: int) -> int:
    """Return how many rows a tile has; tiles are even in number, so that cores get equal shares."""
    tiles = -(-rows // largest)
    tiles = -(-tiles // 4) * 4 if tiles > 1 else 2
    return max(8, -(-rows // tiles))


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


def packed(p: Weights, chunk: int, transposed: bool) -> Weights:
    """Pack both weights, one matrix per chunk of hidden columns; forward has them transposed."""
    w1, w2 = empty(p.w1.size, p.w1.dtype), empty(p.w2.size, p.w2.dtype)
    _pack(w1, w2, p.w1, p.w2, p.b1.size, chunk, transposed)
    return p._replace(w1=w1, w2=w2)


@parallel
def _pack(p1, p2, w1, w2, hidden, chunk, transposed):  # type: ignore[no-untyped-def]
    channels = w1.size // hidden
    chunks = -(-hidden // chunk)
    for task in prange(2 * chunks):
        k = task // 2 * chunk
        width = min(chunk, hidden - k)
        first, at, j = task % 2 == 0, k * channels, 0
        to = Matrix(p1 if first else p2, at, PACKED)
        source = Matrix(w1, at, channels) if first else Matrix(w2, k, hidden)
        depth, n = (channels, width) if first == transposed else (width, channels)
        while j < n:
            if transposed:
                j += pack_transposed(to, source, depth, n, j)
            else:
                j += pack(to, source, depth, n, j)


# ---- tiles, inside a loop -----------------------------------------------------------------------


@compiled
def tile_of(slab, task):  # type: ignore[no-untyped-def]
    """Return the tile of a task."""
    together = slab.tile // slab.positions
    if together > 0:
        n = task * together
        some = min(together, slab.samples - n)
        return Tile(n, n, some, n * slab.positions, slab.positions)
    parts = -(-slab.positions // slab.tile)
    n, at = task // parts, task % parts * slab.tile
    length = min(slab.tile, slab.positions - at)
    return Tile(task, n, 1, n * slab.positions + at, length)


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
