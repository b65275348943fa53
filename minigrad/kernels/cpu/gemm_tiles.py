"""Matrix products of bfloat16 on tiles, inside other loops: what `gemm` is for float32.

Four tiles sum up a block of C, 32 rows and columns. For every 32 columns of A:

                      B[k, 0:16]  B[k, 16:32]         2 tiles, read in order
    A[0:16, k]   x     C[0, 0]      C[0, 1]
    A[16:32, k]  x     C[1, 0]      C[1, 1]           2 tiles, 4 products

`pack` lays B in panels of 16 columns. All lengths are multiples of 32; rows that begin where a line
of the cache does are loaded three times as fast.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minigrad.kernels.cpu import tiles
from minigrad.kernels.cpu.compile import compiled
from minigrad.kernels.cpu.gemm import Matrix, transpose_block
from minigrad.kernels.cpu.simd import pointers
from minigrad.kernels.cpu.tiles import TILE

__all__ = ["BLOCK", "multiply", "pack", "write_block"]

Value = Any

BLOCK = 2 * TILE  # rows and columns of C, and columns of A in a step


def write_block(
    t: tiles.Tiles, c: Value, c_row: Value, a: Value, a_row: Value, b: Value, steps: Value,
    add: Value,
) -> None:  # fmt: skip
    """Write the loop of the picture; steps from row to row count elements."""
    builder = t.builder

    def number(value: int) -> Value:
        return ir.IntType(64)(value)

    def at(pointer: Value, index: Value) -> Value:
        return builder.gep(pointer, [index])

    pairs = [(i, j) for i in range(2) for j in range(2)]
    panel = builder.mul(steps, number(BLOCK * TILE))  # elements in 16 columns of B
    c_bytes, a_bytes = builder.mul(c_row, number(4)), builder.mul(a_row, number(2))
    targets = [at(at(c, builder.mul(number(TILE * i), c_row)), number(TILE * j)) for i, j in pairs]
    with builder.if_else(builder.icmp_signed("!=", add, number(0))) as (adding, anew):
        with adding:
            for tile, target in enumerate(targets):
                t.load(tile, target, c_bytes)
        with anew:
            for tile in range(4):
                t.zero(tile)
    with cgutils.for_range(builder, steps) as step:
        here = at(b, builder.mul(step.index, number(BLOCK * TILE)))
        for j in range(2):
            t.load(6 + j, at(here, panel) if j else here, number(64), once=True)
        left = at(a, builder.mul(step.index, number(BLOCK)))
        for i in range(2):
            t.load(4 + i, at(left, builder.mul(number(TILE * i), a_row)), a_bytes)
            for j in range(2):
                t.dot(2 * i + j, 4 + i, 6 + j)
    for tile, target in enumerate(targets):
        t.store(tile, target, c_bytes)


@intrinsic
def _block(typing: Any, c: Any, a: Any, b: Any, steps: Any, add: Any) -> Any:
    """Add to a block of C, or write it; c and a: Matrix; b: array, start."""

    def write(context: Any, builder: Any, signature: Any, arguments: Any) -> Value:
        write_block(tiles.Tiles(builder), *pointers(context, builder, signature, arguments))
        return context.get_dummy_value()

    return types.void(c, a, b, types.intp, types.intp), write


@compiled
def multiply(c, a, b, size, add):  # type: ignore[no-untyped-def]
    """Compute ``C = A @ B`` or, with `add`, ``C += A @ B``; C is float32, b: array, start.

    `size`: rows of A, its columns, columns of B.
    """
    m, depth, n = size
    data, start = b
    for j in range(0, n, BLOCK):
        for i in range(0, m, BLOCK):
            to = Matrix(c.data, c.start + i * c.row + j, c.row)
            left = Matrix(a.data, a.start + i * a.row, a.row)
            _block(to, left, (data, start + j * depth), depth // BLOCK, add)


@compiled
def pack(p, w, rows, depth):  # type: ignore[no-untyped-def]
    """Lay B = W transposed in panels; W has `rows` rows.

    p and w are Matrix over float32, each of which is a pair of bfloat16; `depth` counts pairs.
    """
    for j in range(0, rows, TILE):
        panel = Matrix(p.data, p.start + j * depth, TILE)
        transpose_block(panel, Matrix(w.data, w.start + j * w.row, w.row), TILE, depth)
