"""Matrix products inside other loops: ``C = A @ B`` or ``C += A @ B``, on one thread.

A BLAS keeps the threads to itself and its results go through memory before anything else may
happen to them. Here the caller has the threads, each working on a few rows that stay in its cache.
Measured on Zen 5 (one core, float32, peak 256 GFLOP/s): 235 to 250 GFLOP/s at the sizes of
ConvNeXt, where OpenBLAS 0.3.31, which takes the processor for an older one, makes 123.

One tile of C, 8 rows and 3 vectors of columns, is summed in registers. For every k:

                 B[k, 0:16]  B[k, 16:32]  B[k, 32:48]      3 loads, as B lies in memory
    A[0, k]  x    C[0, 0]      C[0, 1]      C[0, 2]
    A[1, k]  x    C[1, 0]      C[1, 1]      C[1, 2]        8 loads into all lanes
      ...
    A[7, k]  x    C[7, 0]      C[7, 1]      C[7, 2]        24 vector multiply-adds

(on processors with 16 registers 6 rows and 2 vectors). A may have any strides, so a transposed A
needs no copy; the columns of B must be neighbours. Best lie A in rows and B in panels, as `pack`
and `pack_transposed` write them: rows whose distance is near a multiple of 4 kB push each other
out of the cache. (The gradients of a block's weights: 1.35 to 1.5 times as fast on Emerald Rapids.)
Where A is `Streamed` the rows for the next tile are meanwhile asked for, one in turn, and where B
is FAR its next panel, by the first tiles of this one. (On Zen 5 the second made ConvNeXt-T 1.5 %
faster; to ask for what is in the cache made a block up to an eighth slower.) A tile at the edge
takes its last row or columns several times: all copies of an element get the same value, for
everything is loaded before it is stored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from llvmlite import ir
from numba import prange, types
from numba.extending import intrinsic

from minigrad.kernels.cpu.bfloat16 import widen
from minigrad.kernels.cpu.compile import compiled, parallel, whole_vectors
from minigrad.kernels.cpu.simd import (
    LINE_BYTES,
    REGISTERS,
    VECTOR_BYTES,
    Vectors,
    copy_short,
    pointers,
)

__all__ = [
    "FAR",
    "PACKED",
    "VECTORS",
    "Matrix",
    "Streamed",
    "Strided",
    "dot",
    "multiply",
    "pack",
    "pack_row",
    "pack_transposed",
    "panel_width",
    "transpose",
    "transpose_block",
]

Array = Any
Value = Any

ROWS, VECTORS = (8, 3) if REGISTERS >= 32 else (6, 2)  # of a tile
DEPTH = 384  # columns of A and rows of B between two visits to C
PACKED = 0  # in the place of the step from row to row: the matrix was written by `pack`
FAR = -1  # the same of one that does not stay in the nearest caches


class Matrix(NamedTuple):
    """A matrix inside a flat array: element (i, j) is ``data[start + i * row + j]``."""

    data: Array
    start: int
    row: int


class Streamed(NamedTuple):
    """A Matrix A that comes from memory, too large for the caches and read once."""

    data: Array
    start: int
    row: int


class Strided(NamedTuple):
    """The same, where columns are no neighbours: ``data[start + i * row + j * column]``."""

    data: Array
    start: int
    row: int
    column: int


class _Panel(NamedTuple):
    """Rows and columns of B that are multiplied together; only numbers, for arrays are counted."""

    size: tuple[int, int, int]  # rows of A, rows and columns of the panel
    k: int  # its first row, and the column of A that meets it
    j: int  # its first column, and that of C
    start: int  # where it lies, counted from the start of B
    row: int  # step from row to row
    next: int  # how far behind its start the panel lies that is asked for meanwhile, or 0


def _tile(rows: int, vectors: int, narrow: bool = False, asks: bool = False) -> Callable[..., None]:
    """Make the loop of the picture; the tile begins at row i, the matrices may end inside it.

    `narrow`: the columns do not fill a vector, and the lanes behind them are left alone. `asks`:
    of every row of the panel that lies `next` behind a line is asked for, by each tile another.
    """

    @intrinsic
    def tile(typing: Any, c: Any, a: Any, b: Any, i: Any, panel: Any, add: Any) -> Any:
        def write(context: Any, builder: Any, signature: Any, arguments: Any) -> Value:
            v = Vectors(builder, c.types[0].dtype)
            (
                to, c_row, left, a_row, *a_columns, right, _,
                i, m, depth, n, k, j, start, b_row, behind, add,
            ) = pointers(context, builder, signature, arguments)  # fmt: skip
            a_column = a_columns[0] if a_columns else v.int(1)
            to = v.at(v.at(to, builder.mul(i, c_row)), j)
            left = v.at(v.at(left, builder.mul(i, a_row)), builder.mul(k, a_column))
            right = v.at(right, start)
            line = v.int(LINE_BYTES // v.bytes)
            asked = builder.mul(builder.mul(builder.sdiv(i, v.int(rows)), line), depth)
            asked = v.at(v.at(right, behind), asked)

            def least(x: Value, y: Value) -> Value:
                return builder.select(builder.icmp_signed("<", x, y), x, y)

            last_row = builder.sub(builder.sub(m, i), v.int(1))
            last_vector = builder.sub(n, v.int(v.lanes))
            row = [least(v.int(r), last_row) for r in range(rows)]
            column = [least(v.int(j * v.lanes), last_vector) for j in range(vectors)]
            mask = None
            if narrow:
                column, mask = [v.int(0)], v.first(n)
            targets = [[v.at(v.at(to, builder.mul(r, c_row)), j) for j in column] for r in row]
            lefts = [v.at(left, builder.mul(r, a_row)) for r in row]
            rights = [v.at(right, j) for j in column]
            sums = [[v.variable(v.zero) for _ in column] for _ in row]
            with builder.if_then(builder.icmp_signed("!=", add, v.int(0))):
                for r in range(rows):
                    for j in range(vectors):
                        builder.store(v.load(targets[r][j], mask), sums[r][j])
            with v.loop(depth) as k:
                in_row, in_column = builder.mul(k, a_column), builder.mul(k, b_row)
                if a.instance_class is Streamed:
                    turn = builder.add(v.int(rows), builder.urem(k, v.int(rows)))
                    v.prefetch(v.at(v.at(left, builder.mul(turn, a_row)), in_row))
                if asks:
                    v.prefetch(v.at(asked, builder.mul(k, line)))
                factors = [v.load(v.at(pointer, in_column), mask) for pointer in rights]
                for r in range(rows):
                    factor = v.spread(v.at(lefts[r], in_row))
                    for j in range(vectors):
                        total = v.multiply_add(factor, factors[j], builder.load(sums[r][j]))
                        builder.store(total, sums[r][j])
            for r in range(rows):
                for j in range(vectors):
                    v.store(builder.load(sums[r][j]), targets[r][j], mask)
            return context.get_dummy_value()

        return types.void(c, a, b, types.intp, panel, types.intp), write

    return tile  # type: ignore[no-any-return]


def _column_of_tiles(vectors: int, narrow: bool = False) -> Callable[..., None]:
    """Make the loop that multiplies all rows of A with one panel of B."""
    tall, whole, half = (_tile(rows, vectors, narrow) for rows in (2 * ROWS, ROWS, ROWS // 2))
    asking = _tile(ROWS, vectors, asks=True)
    lines = vectors * VECTOR_BYTES // LINE_BYTES  # in a row of the panel

    @compiled
    def column(c, a, b, panel, add):  # type: ignore[no-untyped-def]
        i, m = 0, panel.size[0]
        while vectors == VECTORS and panel.next and i < min(m, lines * ROWS):
            asking(c, a, b, i, panel, add)
            i += ROWS
        while i < m:
            if vectors == 1 and m - i >= 2 * ROWS:  # there are registers for twice the rows
                tall(c, a, b, i, panel, add)
                i += 2 * ROWS
            elif m - i > ROWS // 2:
                whole(c, a, b, i, panel, add)
                i += ROWS
            else:
                half(c, a, b, i, panel, add)
                i += ROWS // 2

    return column  # type: ignore[no-any-return]


_whole_panel, _two_vectors, _one_vector = map(_column_of_tiles, (VECTORS, 2, 1))
_part_of_a_vector = _column_of_tiles(1, narrow=True)


@compiled
def panel_width(rest, lane):  # type: ignore[no-untyped-def]
    """Return how many of the `rest` columns make the next panel; the last has a vector at least."""
    whole = VECTORS * lane
    if rest <= whole:
        return rest
    return min(whole, rest - lane) if rest < whole + lane else whole


@compiled
def multiply(c, a, b, size, add):  # type: ignore[no-untyped-def]
    """Compute ``C = A @ B`` or, with `add`, ``C += A @ B``.

    B and C are Matrix, A may be Strided or Streamed. `size`: rows of A, its columns, columns of B.
    """
    m, depth, n = size
    lane = VECTOR_BYTES // c.data.itemsize
    packed, far = b.row <= PACKED, b.row == FAR
    if n < lane:
        row = n if packed else b.row
        _part_of_a_vector(c, a, b, _Panel(size, 0, 0, 0, row, 0), add)
        return
    for k in range(0, depth, DEPTH):
        deep, keep = min(DEPTH, depth - k), add or k > 0
        j = 0
        while j < n:
            width = panel_width(n - j, lane)
            start, row = k * b.row + j, b.row
            if packed:
                start, row = j * depth + k * width, width
            behind = depth * width if far else 0
            panel = _Panel((m, deep, width), k, j, start, row, behind)
            if width > 2 * lane:
                _whole_panel(c, a, b, panel, keep)
            elif width > lane:
                _two_vectors(c, a, b, panel, keep)
            else:
                _one_vector(c, a, b, panel, keep)
            j += width


@compiled
def dot(x, y):  # type: ignore[no-untyped-def]
    """Return the inner product of two rows; x may be bfloat16."""
    whole_vectors()
    total = y.dtype.type(0)
    for k in range(x.size):
        total += widen(x[k]) * y[k]
    return total


# ---- packing ----------------------------------------------------------------------------------


@intrinsic
def _transpose_square(typing: Any, y: Any, x: Any, i: Any, j: Any) -> Any:
    """Write the square of `lanes` rows and columns from (i, j) of x on to y, transposed.

    Shuffling the first half of the rows with the second, like a deck of cards, until every card
    is back: log2(lanes) times.
    """

    def write(context: Any, builder: Any, signature: Any, arguments: Any) -> Value:
        v = Vectors(builder, signature.args[0].types[0].dtype)
        y, y_row, x, x_row, i, j = pointers(context, builder, signature, arguments)
        y = v.at(v.at(y, builder.mul(j, y_row)), i)
        x = v.at(v.at(x, builder.mul(i, x_row)), j)
        half = v.lanes // 2

        def shuffle(x: Value, y: Value, first: int) -> Value:
            order = [first + i // 2 + i % 2 * v.lanes for i in range(v.lanes)]
            mask = ir.Constant(ir.VectorType(ir.IntType(32), v.lanes), order)
            return builder.shuffle_vector(x, y, mask)

        rows = [v.load(v.at(x, builder.mul(v.int(i), x_row))) for i in range(v.lanes)]
        for _ in range(v.lanes.bit_length() - 1):
            rows = [
                shuffle(rows[i], rows[i + half], part) for i in range(half) for part in (0, half)
            ]
        for i, row in enumerate(rows):
            v.store(row, v.at(y, builder.mul(v.int(i), y_row)))
        return context.get_dummy_value()

    return types.void(y, x, types.intp, types.intp), write


@compiled
def transpose_block(y, x, rows, columns):  # type: ignore[no-untyped-def]
    """Write `rows` by `columns` numbers of x to y, transposed; the rows of y may go backwards.

    Where x is bfloat16, y is float32.
    """
    lane = VECTOR_BYTES // y.data.itemsize
    if rows < lane or columns < lane:
        for i in range(rows):
            for j in range(columns):
                y.data[y.start + j * y.row + i] = widen(x.data[x.start + i * x.row + j])
        return
    for i in range(0, rows, lane):
        for j in range(0, columns, lane):
            _transpose_square(y, x, min(i, rows - lane), min(j, columns - lane))


@compiled
def pack(b, x, depth, n, j):  # type: ignore[no-untyped-def]
    """Write the panel from column j on of B = X, which is (depth, n); return its width.

    A panel lies ``j * depth`` behind the start of B, its rows one behind the other.
    """
    width = panel_width(n - j, VECTOR_BYTES // b.data.itemsize)
    for k in range(depth):
        to, source = b.start + j * depth + k * width, x.start + k * x.row + j
        copy_short(b.data, to, x.data, source, width)
    return width


@compiled
def pack_row(b, k, depth, x):  # type: ignore[no-untyped-def]
    """Write x, row k of B, to all panels of B, which has `depth` rows."""
    j = 0
    while j < x.size:
        width = panel_width(x.size - j, VECTOR_BYTES // x.itemsize)
        copy_short(b.data, b.start + j * depth + k * width, x, j, width)
        j += width


@compiled
def pack_transposed(b, x, depth, n, j):  # type: ignore[no-untyped-def]
    """Write the same of B = X transposed, X being (n, depth)."""
    width = panel_width(n - j, VECTOR_BYTES // b.data.itemsize)
    panel = Matrix(b.data, b.start + j * depth, width)
    transpose_block(panel, Matrix(x.data, x.start + j * x.row, x.row), width, depth)
    return width


@parallel
def transpose(y, x):  # type: ignore[no-untyped-def]
    """Write x (n, m) transposed to y (m * n,)."""
    n, m = x.shape
    wide = 64  # columns in one task
    for task in prange(-(-m // wide)):
        first = task * wide
        source = Matrix(x.reshape(-1), first, m)
        transpose_block(Matrix(y, first * n, n), source, n, min(wide, m - first))
