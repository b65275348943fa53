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
costs nothing; the columns of B must be neighbours, and `pack` makes them so where B is transposed.
A tile at the edge takes its last row or columns several times: all copies of an element get the
same value, for everything is loaded before anything is stored.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import prange, types
from numba.extending import intrinsic

from minigrad.kernels.cpu.compile import compiled, parallel
from minigrad.kernels.cpu.simd import REGISTERS, VECTOR_BYTES, Vectors, pointers

__all__ = ["multiply", "pack", "panel_width", "transpose", "transpose_block"]

Value = Any

ROWS, VECTORS = (8, 3) if REGISTERS >= 32 else (6, 2)
DEPTH = 384  # of A and B between two visits to C


def _tile(rows: int, vectors: int, narrow: bool = False) -> Callable[..., None]:
    """Make the loop of the picture; `m` and `n` are the rows and columns that really exist.

    `narrow`: the columns do not fill a vector, and the lanes behind them are left alone.
    """

    @intrinsic
    def tile(
        typing: Any, c: Any, c0: Any, c_row: Any, m: Any, n: Any,
        a: Any, a0: Any, a_row: Any, a_column: Any, b: Any, b0: Any, b_row: Any,
        depth: Any, add: Any,
    ) -> Any:  # fmt: skip
        size = types.intp

        def write(context: Any, builder: Any, signature: Any, arguments: Any) -> Value:
            v = Vectors(builder, signature.args[0].dtype)
            c, c_row, m, n, a, a_row, a_column, b, b_row, depth, add = pointers(
                context, builder, signature, arguments
            )

            def least(x: Value, y: Value) -> Value:
                return builder.select(builder.icmp_signed("<", x, y), x, y)

            last_row, last_vector = builder.sub(m, v.int(1)), builder.sub(n, v.int(v.lanes))
            row = [least(v.int(r), last_row) for r in range(rows)]
            column = [least(v.int(j * v.lanes), last_vector) for j in range(vectors)]
            mask = None
            if narrow:
                column, mask = [v.int(0)], v.first(n)
            target = [[v.at(v.at(c, builder.mul(r, c_row)), j) for j in column] for r in row]
            left = [v.at(a, builder.mul(r, a_row)) for r in row]
            right = [v.at(b, j) for j in column]
            sums = [[v.variable(v.zero) for _ in column] for _ in row]
            with builder.if_then(builder.icmp_signed("!=", add, v.int(0))):
                for r in range(rows):
                    for j in range(vectors):
                        builder.store(v.load(target[r][j], mask), sums[r][j])
            with v.loop(depth) as k:
                in_row, in_column = builder.mul(k, a_column), builder.mul(k, b_row)
                factors = [v.load(v.at(pointer, in_column), mask) for pointer in right]
                for r in range(rows):
                    factor = v.spread(v.at(left[r], in_row))
                    for j in range(vectors):
                        total = v.multiply_add(factor, factors[j], builder.load(sums[r][j]))
                        builder.store(total, sums[r][j])
            for r in range(rows):
                for j in range(vectors):
                    v.store(builder.load(sums[r][j]), target[r][j], mask)
            return context.get_dummy_value()

        return types.void(
            c, size, size, size, size, a, size, size, size, b, size, size, size, size
        ), write

    return tile  # type: ignore[no-any-return]


_whole, _two, _one = _tile(ROWS, VECTORS), _tile(ROWS, 2), _tile(ROWS, 1)
_half, _half_two, _half_one = _tile(ROWS // 2, VECTORS), _tile(ROWS // 2, 2), _tile(ROWS // 2, 1)
_narrow, _half_narrow = _tile(ROWS, 1, narrow=True), _tile(ROWS // 2, 1, narrow=True)
_tall, _tall_narrow = _tile(2 * ROWS, 1), _tile(2 * ROWS, 1, narrow=True)


@compiled
def _column_of_tiles(  # type: ignore[no-untyped-def]
    c, c0, c_row, m, n, a, a0, a_row, a_column, b, b0, b_row, depth, add
):
    """Multiply all rows of A with one panel of B."""
    lane = VECTOR_BYTES // c.itemsize
    vectors = -(-n // lane)
    i = 0
    while i < m:
        at, left = c0 + i * c_row, a0 + i * a_row
        if vectors == 1 and m - i >= 2 * ROWS:
            _tall(c, at, c_row, m - i, n, a, left, a_row, a_column, b, b0, b_row, depth, add)
            i += 2 * ROWS
        elif m - i > ROWS // 2:
            if vectors == VECTORS:
                _whole(c, at, c_row, m - i, n, a, left, a_row, a_column, b, b0, b_row, depth, add)
            elif vectors == 2:
                _two(c, at, c_row, m - i, n, a, left, a_row, a_column, b, b0, b_row, depth, add)
            else:
                _one(c, at, c_row, m - i, n, a, left, a_row, a_column, b, b0, b_row, depth, add)
            i += ROWS
        else:
            if vectors == VECTORS:
                _half(c, at, c_row, m - i, n, a, left, a_row, a_column, b, b0, b_row, depth, add)
            elif vectors == 2:
                _half_two(
                    c, at, c_row, m - i, n, a, left, a_row, a_column, b, b0, b_row, depth, add
                )
            else:
                _half_one(
                    c, at, c_row, m - i, n, a, left, a_row, a_column, b, b0, b_row, depth, add
                )
            i += ROWS // 2


@compiled
def _few_columns(  # type: ignore[no-untyped-def]
    c, c0, c_row, m, n, a, a0, a_row, a_column, b, b0, b_row, depth, add
):
    """Multiply where C is narrower than a vector."""
    i = 0
    while i < m:
        at, left = c0 + i * c_row, a0 + i * a_row
        if m - i >= 2 * ROWS:
            _tall_narrow(c, at, c_row, m - i, n, a, left, a_row, a_column, b, b0, b_row, depth, add)
            i += 2 * ROWS
        elif m - i > ROWS // 2:
            _narrow(c, at, c_row, m - i, n, a, left, a_row, a_column, b, b0, b_row, depth, add)
            i += ROWS
        else:
            _half_narrow(c, at, c_row, m - i, n, a, left, a_row, a_column, b, b0, b_row, depth, add)
            i += ROWS // 2


@compiled
def panel_width(rest, lane):  # type: ignore[no-untyped-def]
    """Return how many of the `rest` columns make the next panel; the last has a vector at least."""
    whole = VECTORS * lane
    if rest <= whole:
        return rest
    return min(whole, rest - lane) if rest < whole + lane else whole


@compiled
def multiply(  # type: ignore[no-untyped-def]
    c, c0, c_row, m, n, a, a0, a_row, a_column, b, b0, b_row, depth, add
):
    """Compute C (m, n) from A (m, depth) and B (depth, n), all inside flat arrays.

    An element of C is ``c[c0 + i * c_row + j]``, of A ``a[a0 + i * a_row + k * a_column]``, of B
    ``b[b0 + k * b_row + j]``; with ``b_row = 0`` B is packed. `add`: C keeps what it has.
    """
    lane = VECTOR_BYTES // c.itemsize
    if n < lane:
        row = b_row if b_row else n
        _few_columns(c, c0, c_row, m, n, a, a0, a_row, a_column, b, b0, row, depth, add)
        return
    for k in range(0, depth, DEPTH):
        deep = min(DEPTH, depth - k)
        keep = add or k > 0
        left, j = a0 + k * a_column, 0
        while j < n:
            width = panel_width(n - j, lane)
            panel, row = (
                (b0 + k * b_row + j, b_row) if b_row else (b0 + j * depth + k * width, width)
            )
            _column_of_tiles(
                c, c0 + j, c_row, m, width, a, left, a_row, a_column, b, panel, row, deep, keep
            )
            j += width


# ---- packing ----------------------------------------------------------------------------------


@intrinsic
def transpose_square(typing: Any, y: Any, y0: Any, y_row: Any, x: Any, x0: Any, x_row: Any) -> Any:
    """Write the square of `lanes` rows and columns at x to y, transposed.

    Shuffling the first half of the rows with the second, like a deck of cards, until every card
    is back: log2(lanes) times.
    """
    size = types.intp

    def write(context: Any, builder: Any, signature: Any, arguments: Any) -> Value:
        v = Vectors(builder, signature.args[0].dtype)
        y, y_row, x, x_row = pointers(context, builder, signature, arguments)
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

    return types.void(y, size, size, x, size, size), write


@compiled
def transpose_block(y, y0, y_row, x, x0, x_row, rows, columns):  # type: ignore[no-untyped-def]
    """Write `rows` by `columns` numbers of x to y, transposed; `y_row` may be negative."""
    lane = VECTOR_BYTES // x.itemsize
    if rows < lane or columns < lane:
        for i in range(rows):
            for j in range(columns):
                y[y0 + j * y_row + i] = x[x0 + i * x_row + j]
        return
    for i in range(0, rows, lane):
        row = min(i, rows - lane)
        for j in range(0, columns, lane):
            column = min(j, columns - lane)
            transpose_square(
                y, y0 + column * y_row + row, y_row, x, x0 + row * x_row + column, x_row
            )


@compiled
def pack(b, b0, x, x0, x_row, depth, n, j):  # type: ignore[no-untyped-def]
    """Write the panel from column j on of B = X transposed, X being (n, depth); return its width.

    A panel lies at ``b[b0 + j * depth]``, its rows one behind the other.
    """
    width = panel_width(n - j, VECTOR_BYTES // b.itemsize)
    transpose_block(b, b0 + j * depth, width, x, x0 + j * x_row, x_row, width, depth)
    return width


@parallel
def transpose(y, x):  # type: ignore[no-untyped-def]
    """Write x (n, m) transposed to y (m * n,)."""
    n, m = x.shape
    wide = 64  # columns in one task
    for task in prange(-(-m // wide)):
        first = task * wide
        transpose_block(y, first * n, n, x.reshape(-1), first, m, n, min(wide, m - first))
