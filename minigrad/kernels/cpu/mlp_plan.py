"""How the pointwise half of a block is cut, and what its loops are told.

The groups of arrays and numbers here go into compiled loops as they are; so they hold no None and
no other group.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np
from numba import get_thread_id, prange, types
from numba.extending import overload

from minigrad.kernels.constants import laid_out
from minigrad.kernels.cpu.arrays import Array, contiguous, empty, lanes, widened
from minigrad.kernels.cpu.bfloat16 import bits, working_type
from minigrad.kernels.cpu.compile import OPTIONS, compiled, parallel, threads
from minigrad.kernels.cpu.gemm import FAR, PACKED, VECTORS, Matrix, pack, pack_transposed
from minigrad.kernels.cpu.pairs import pack_pairs, pack_pairs_transposed
from minigrad.kernels.cpu.simd import VECTOR_BYTES, copy_short
from minigrad.kernels.formulas.mlp import Weights

__all__ = [
    "Hidden",
    "Rows",
    "Slab",
    "chunk_of",
    "complete",
    "cut",
    "keeps_apart",
    "packed",
    "pairs_of_tile",
    "place",
    "target",
    "tasks_of",
    "tile_of",
    "workspace",
]

CHUNK_COLUMNS = 384  # hidden columns at a time
TILE_BYTES = 15 << 16  # of a tile and its chunks: a little less than a cache of 1 MiB
SLAB_BYTES = 1 << 23  # of the hidden values of a slab
NEAR_BYTES = 1 << 20  # of a weight that may stay in a cache of the core


class Rows(NamedTuple):
    """Rows of C numbers, flat, and what is known of each row or sample.

    The first three may be bfloat16, as `bits`.
    """

    x: Array
    given: Array  # the skip connection; in backward the gradient of the result
    out: Array  # the result; in backward the gradient of x
    stats: Array  # (rows, 2): mean and 1 / standard deviation
    factor: Array  # (N,)
    length: int  # rows of a sample
    eps: Any

    @property
    def dtype(self) -> Any:
        """The type computed in."""
        return self.stats.dtype

    @classmethod
    def of(
        cls, x: Array, given: Array, out: Array, stats: Array, factor: Array | None, eps: float
    ) -> Rows:
        """Take the arguments of the kernels; x is not empty."""
        dtype = working_type(x.dtype)
        factor = np.ones(len(x), dtype) if factor is None else contiguous(widened(factor))
        length = len(stats) // len(x)
        x, given, out = (bits(contiguous(a)).reshape(-1) for a in (x, given, out))
        return cls(x, given, out, stats, factor, length, dtype.type(eps))


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
    def pairs(self) -> int:
        """How many pairs of rows there are, if all tiles have as many."""
        return self.tasks * _pairs_of_tile(self)

    @property
    def parts(self) -> int:
        """How many parts the samples have in all, each in one tile."""
        return self.samples * -(-self.positions // self.tile)

    def memory(self, channels: int, dtype: np.dtype) -> Array:
        """Return what `workspace` needs, and two rows of a chunk, for every thread."""
        pad = lanes(dtype)
        size = self.tile * (2 * (channels + pad) + self.chunk + pad)
        return empty((threads(), size + 2 * self.chunk), dtype)


def _tasks(slab: Slab) -> int:
    together = slab.tile // slab.positions
    if together > 0:
        return -(-slab.samples // together)
    return slab.samples * -(-slab.positions // slab.tile)


tasks_of = compiled(_tasks)


def _pairs_of_tile(slab: Slab) -> int:
    together = slab.tile // slab.positions
    return (max(slab.tile if together == 0 else together * slab.positions, 1) + 1) // 2


pairs_of_tile = compiled(_pairs_of_tile)


class Tile(NamedTuple):
    """The rows of one task: `length` of each of its samples, one part of each."""

    part: int  # number of the first part, and of the first sample
    sample: int
    samples: int
    at: int  # the first row, counted in the slab
    length: int


class Hidden(NamedTuple):
    """Hidden values of `rows` rows, chunk by chunk; those of the slab begin with row `first`.

    What is kept for backward may be bfloat16, as `bits`.
    """

    values: Array
    rows: int
    first: int


def cut(rows: Rows, hidden: int, whole_samples: bool) -> tuple[Slab, ...]:
    """Cut the rows into slabs; with GRN, which sums over positions, a slab has whole samples."""
    count = len(rows.stats)
    return _cut(count, rows.length, rows.x.size // count, hidden, rows.dtype, whole_samples)


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
    """Put neutral values where parameters are missing, and every array in one row, C order.

    Of bfloat16 the two matrices stay so, as `bits`.
    """
    channels, hidden = p.w2.shape
    w1, w2 = _flat(p.w1), _flat(p.w2)
    p = Weights(*(v if v is None else contiguous(widened(v)) for v in p._replace(w1=None, w2=None)))
    neutral = _neutral(channels, hidden, p.b1.dtype)
    given = (p.scale, p.grn_weight, p.grn_bias)
    optional = [n if v is None else v for n, v in zip(neutral, given, strict=True)]
    return Weights(p.norm_weight, p.norm_bias, w1, p.b1, w2, p.b2, *optional)


@functools.lru_cache(maxsize=64)
def _neutral(channels: int, hidden: int, dtype: np.dtype) -> tuple[Array, Array, Array]:
    """Return layer scale, GRN's weight and its bias that change nothing; only to be read."""
    return np.ones(channels, dtype), np.zeros(hidden, dtype), np.zeros(hidden, dtype)


def packed(p: Weights, given: Weights, chunk: int, transposed: bool, pairs: bool) -> Weights:
    """Pack both `given` weights, one matrix per chunk of hidden columns; p has all the others.

    Forward has them transposed. With `pairs` they become those of bfloat16, which `operand` makes
    of the other factor, too.
    """
    w1, w2 = laid_out(_panels, (given.w1, given.w2), chunk, transposed, pairs)
    return p._replace(w1=w1, w2=w2)


def _panels(w1: Array, w2: Array, chunk: int, transposed: bool, pairs: bool) -> tuple[Array, Array]:
    channels, hidden = w2.shape
    dtype = np.dtype(np.int32) if pairs else working_type(w1.dtype)
    panels = empty(w1.size, dtype), empty(w2.size, dtype)
    if pairs:
        spare = empty((threads(), VECTORS * lanes(dtype) * max(chunk, channels)), dtype)
        _pack_pairs(*panels, _flat(w1), _flat(w2), hidden, chunk, transposed, spare)
    else:
        _pack(*panels, _flat(w1), _flat(w2), hidden, chunk, transposed)
    return panels


def _flat(w: Array) -> Array:
    return bits(contiguous(w)).reshape(-1)


@parallel
def _pack(p1, p2, w1, w2, hidden, chunk, transposed):  # type: ignore[no-untyped-def]
    channels = w1.size // hidden
    chunks = -(-hidden // chunk)
    for task in prange(2 * chunks):
        k = task // 2 * chunk
        first, at, j = task % 2 == 0, k * channels, 0
        to = Matrix(p1 if first else p2, at, PACKED)
        source = Matrix(w1, at, channels) if first else Matrix(w2, k, hidden)
        depth, n = _size(first == transposed, channels, min(chunk, hidden - k))
        while j < n:
            if transposed:
                j += pack_transposed(to, source, depth, n, j)
            else:
                j += pack(to, source, depth, n, j)


@parallel
def _pack_pairs(p1, p2, w1, w2, hidden, chunk, transposed, spare):  # type: ignore[no-untyped-def]
    channels = w1.size // hidden
    for task in prange(2 * -(-hidden // chunk)):
        k, first, j = task // 2 * chunk, task % 2 == 0, 0
        to = Matrix(p1 if first else p2, k * channels, PACKED)
        source = Matrix(w1, k * channels, channels) if first else Matrix(w2, k, hidden)
        depth, n = _size(first == transposed, channels, min(chunk, hidden - k))
        while j < n:
            if transposed:
                j += pack_pairs_transposed(to, source, depth, n, j, spare[get_thread_id()])
            else:
                j += pack_pairs(to, source, depth, n, j)


@compiled
def _size(wide, channels, width):  # type: ignore[no-untyped-def]
    """Return the depth and columns of the matrix of a chunk."""
    return (channels, width) if wide else (width, channels)


@compiled
def chunk_of(w, start):  # type: ignore[no-untyped-def]
    """Return the packed weight of a chunk, as one of memory if all do not stay in the caches."""
    return Matrix(w, start, FAR if w.size * w.itemsize > NEAR_BYTES else PACKED)


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


# A product goes to its place among the hidden values, or, if those are bfloat16, to memory of the
# thread first.


def target(hidden: Hidden, a: Matrix, k: int, at: int, width: int) -> Matrix:
    """Return where the hidden values of a chunk are computed."""
    raise NotImplementedError("only compiled loops call this")


@overload(target, strict=False, jit_options=OPTIONS)
def _target(hidden: Any, a: Any, k: Any, at: Any, width: Any) -> Any:
    if _is_narrow(hidden):
        return lambda hidden, a, k, at, width: a
    return lambda hidden, a, k, at, width: place(hidden, k, at, width)


def keeps_apart(hidden: Hidden, h: Matrix, k: int, at: int, count: int, width: int) -> bool:
    """Keep hidden values to be seen again; return whether that was done by computing them there."""
    raise NotImplementedError("only compiled loops call this")


@overload(keeps_apart, strict=False, jit_options=OPTIONS)
def _keeps_apart(hidden: Any, h: Any, k: Any, at: Any, count: Any, width: Any) -> Any:
    def narrow(hidden, h, k, at, count, width):  # type: ignore[no-untyped-def]
        kept = place(hidden, k, at, width)
        for i in range(count):
            to, source = kept.start + i * width, h.start + i * h.row
            copy_short(kept.data, to, h.data, source, width)
        return False

    return narrow if _is_narrow(hidden) else lambda hidden, h, k, at, count, width: True


def _is_narrow(hidden: Any) -> bool:
    return bool(hidden[0].dtype == types.uint16)
