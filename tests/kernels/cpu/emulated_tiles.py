"""Tile instructions in plain arithmetic, and kernels run with them: in a process of its own.

`Tiles` follows Intel's description of TDPBF16PS bit by bit: for every row of A and column of B the
products of even and of odd positions go through two chains of fused multiply-adds that begin with
zero; their sum is added to C. Rounding is to nearest, ties to even. Denormal numbers count as zero,
as operands and as results of every step.

    python -m tests.kernels.cpu.emulated_tiles        with a NUMBA_CACHE_DIR that nobody else has
"""

from __future__ import annotations

from typing import Any
from unittest import mock

import ml_dtypes
import numpy as np
from llvmlite import ir
from numba.core import cgutils

from minigrad.backend import use_kernels
from minigrad.kernels import pick
from minigrad.kernels.cpu import gemm_tiles, matmul_tiles, mlp_tiles, tiles
from minigrad.kernels.formulas.mlp import Weights

BFLOAT16 = np.dtype(ml_dtypes.bfloat16)

_I32 = ir.IntType(32)
_INTS, _FLOATS = ir.VectorType(_I32, 16), ir.VectorType(ir.FloatType(), 16)


class Tiles(tiles.Tiles):
    """Tiles that are memory."""

    def __init__(self, builder: Any) -> None:
        super().__init__(builder)
        self.memory = cgutils.alloca_once(builder, ir.ArrayType(_INTS, 8 * 16))

    def configure(self) -> None:
        pass

    def release(self) -> None:
        pass

    def zero(self, tile: int) -> None:
        with cgutils.for_range(self.builder, self._number(16)) as row:
            self.builder.store(ir.Constant(_INTS, None), self._row(tile, row.index))

    def load(self, tile: int, pointer: Any, step: Any, once: bool = False) -> None:
        with cgutils.for_range(self.builder, self._number(16)) as row:
            value = self.builder.load(self._line(pointer, row.index, step))
            value.align = 1
            self.builder.store(value, self._row(tile, row.index))

    def store(self, tile: int, pointer: Any, step: Any) -> None:
        with cgutils.for_range(self.builder, self._number(16)) as row:
            value = self.builder.load(self._row(tile, row.index))
            done = self.builder.store(value, self._line(pointer, row.index, step))
            done.align = 1

    def dot(self, c: int, a: int, b: int) -> None:
        rows = [self._row(tile, self._number(0)) for tile in (c, a, b)]
        self.builder.call(self._dot_of_rows(), rows)

    def _dot_of_rows(self) -> Any:
        """Return the function that does it: written once, however often it is called."""
        kind = ir.FunctionType(ir.VoidType(), [_INTS.as_pointer()] * 3)
        function = cgutils.get_or_insert_function(self.builder.module, kind, "emulated_tile_dot")
        if function.is_declaration:
            function.linkage = "linkonce_odr"
            function.attributes.add("noinline")
            within = Tiles.__new__(Tiles)
            within.builder = ir.IRBuilder(function.append_basic_block())
            within._write_dot(*function.args)
            within.builder.ret_void()
        return function

    def _write_dot(self, c: Any, a: Any, b: Any) -> None:
        build = self.builder
        sums = [cgutils.alloca_once(build, _FLOATS) for _ in range(2)]
        with cgutils.for_range(build, self._number(16)) as row:
            left = build.bitcast(build.gep(a, [row.index]), _I32.as_pointer())
            for total in sums:
                build.store(ir.Constant(_FLOATS, None), total)
            with cgutils.for_range(build, self._number(16)) as k:
                pair = build.load(build.gep(left, [k.index]))
                one = build.insert_element(ir.Constant(_INTS, ir.Undefined), pair, _I32(0))
                pairs = build.shuffle_vector(one, one, ir.Constant(_INTS, None))
                right = build.load(build.gep(b, [k.index]))
                for total, x, y in zip(sums, self._halves(pairs), self._halves(right), strict=True):
                    product = self._fused(x, y, build.load(total))
                    build.store(self._flushed(product), total)
            even, odd = (build.load(total) for total in sums)
            both = self._flushed(build.fadd(even, odd))
            place = build.gep(c, [row.index])
            before = self._flushed(build.bitcast(build.load(place), _FLOATS))
            after = self._flushed(build.fadd(before, both))
            build.store(build.bitcast(after, _INTS), place)

    def _number(self, value: int) -> Any:
        return ir.IntType(64)(value)

    def _row(self, tile: int, row: Any) -> Any:
        at = self.builder.add(self._number(16 * tile), row)
        return self.builder.gep(self.memory, [self._number(0), at])

    def _line(self, pointer: Any, row: Any, step: Any) -> Any:
        at = self.builder.gep(self._byte_pointer(pointer), [self.builder.mul(row, step)])
        return self.builder.bitcast(at, _INTS.as_pointer())

    def _halves(self, pairs: Any) -> list[Any]:
        """Return the bfloat16 at even and at odd positions as float32."""
        build = self.builder
        even = build.shl(pairs, ir.Constant(_INTS, [16] * 16))
        odd = build.and_(pairs, ir.Constant(_INTS, [-65536] * 16))
        return [self._flushed(build.bitcast(half, _FLOATS)) for half in (even, odd)]

    def _fused(self, x: Any, y: Any, z: Any) -> Any:
        kind = ir.FunctionType(_FLOATS, [_FLOATS] * 3)
        function = cgutils.get_or_insert_function(self.builder.module, kind, "llvm.fma.v16f32")
        return self.builder.call(function, (x, y, z))

    def _flushed(self, value: Any) -> Any:
        """Return zero, with its sign, in the place of what is denormal."""
        build, word = self.builder, self.builder.bitcast(value, _INTS)
        size = build.and_(word, ir.Constant(_INTS, [0x7FFFFFFF] * 16))
        small = build.icmp_unsigned("<", size, ir.Constant(_INTS, [0x00800000] * 16))
        sign = build.and_(word, ir.Constant(_INTS, [-(2**31)] * 16))
        return build.bitcast(build.select(small, sign, word), _FLOATS)


def flushed(v: Any) -> Any:
    """Return float32 with zero in the place of what is denormal."""
    return np.where(np.abs(v) < np.float32(2.0**-126), np.float32(0), v).astype(np.float32)


def reference(x: Any, y: Any) -> Any:
    """Return the product of matrices as the instruction makes it, row by row in NumPy."""
    x, y = flushed(x.astype(np.float32)), flushed(y.astype(np.float32))
    total = np.zeros((len(x), y.shape[1]), np.float32)
    for begin in range(0, x.shape[1], 32):
        halves = []
        for first in range(2):
            half = np.zeros_like(total)
            for k in range(begin + first, min(begin + 32, x.shape[1]), 2):
                wide = x[:, k, None].astype(np.float64) * y[k].astype(np.float64)  # exact
                half = flushed((half + wide).astype(np.float32))
            halves.append(half)
        total = flushed(total + flushed(halves[0] + halves[1]))
    return total


def matrices(m: int, k: int, n: int) -> tuple[Any, Any]:
    """Return two whose products need all digits, some of them denormal."""
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((m, k)), rng.standard_normal((k, n))
    x[:, ::5] *= 1e-30
    y[::5] *= 1e-9
    x[0, :3] = 1e-39
    return x.astype(BFLOAT16), y.astype(BFLOAT16)


def check_products() -> None:
    """Bit for bit the instruction's; sizes that fill no block; memory that ends after a block."""
    from tests.kernels import guard

    for m, k, n in ((40, 70, 300), (2, 256, 129)):
        x, y = matrices(m, k, n)
        exact = reference(x, y).astype(BFLOAT16)
        for side in ("end", "begin"):
            with mock.patch.object(
                matmul_tiles, "empty", lambda s, d, at=side: guard.empty(at, s, d)
            ):
                found = matmul_tiles.product(guard.move(side, x), guard.move(side, y))
            np.testing.assert_array_equal(found.view(np.uint16), exact.view(np.uint16))
        assert (pick("matmul", x)(x, y).view(np.uint16) == exact.view(np.uint16)).all()
        assert (pick("matmul", x)(x, y.T.copy().T) == exact).all()


def check_mlp() -> None:
    """As float32, but for the rounding of what is multiplied."""
    from tests.kernels import guard

    rng = np.random.default_rng(1)

    def draw(*shape: int) -> Any:
        return (0.3 * rng.standard_normal(shape)).astype(np.float32)

    channels, hidden = 32, mlp_tiles.CHUNK + 32
    x = rng.standard_normal((2, 9, 8, channels)).astype(BFLOAT16)
    p = Weights(
        1 + draw(channels), draw(channels), draw(hidden, channels), draw(hidden),
        draw(channels, hidden), draw(channels), draw(channels),
    )  # fmt: skip
    p = p._replace(w1=p.w1.astype(BFLOAT16), w2=p.w2.astype(BFLOAT16))
    skip, factor = draw(*x.shape), np.asarray([0.5, 2.0], np.float32)
    with mock.patch.object(mlp_tiles, "empty", lambda s, d: guard.empty("end", s, d)):
        y, _ = pick("mlp", x)(x, skip, p, factor, keep=False)
    with use_kernels("reference"):
        exact, _ = pick("mlp", x)(x, skip, p, factor)
    assert y.dtype == np.float32
    spread = np.sqrt(np.mean((exact - skip) ** 2))
    assert 0 < np.sqrt(np.mean((y - exact) ** 2)) < 0.01 * spread


def main() -> None:
    with (
        mock.patch.object(tiles, "Tiles", Tiles),
        mock.patch.object(tiles, "why_none", return_value=None),
    ):
        assert gemm_tiles.tiles.Tiles is Tiles
        check_products()
        check_mlp()
    print("as the instruction")


if __name__ == "__main__":
    main()
