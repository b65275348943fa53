"""Vectors, spelled out.

Numba turns a plain Python loop into good machine code, with one exception: it cannot be told to
keep a block of sums in registers. The loops that need this, those of the depthwise convolution
below and of the matrix product in `gemm`, are written as vector instructions. `Vectors` has the
few that we use; a Python loop around one unrolls it.

The depthwise convolution reads a strip of the image from a buffer in which the channels of one
vector lie together, with zeros around. For one row of the filter (7 taps w) and 7 output columns:

    buffer row    x0  x1  x2  x3  x4  x5  x6  x7  x8  x9 x10 x11 x12
    sum of y0  += w0  w1  w2  w3  w4  w5  w6
    sum of y1  +=     w0  w1  w2  w3  w4  w5  w6
    sum of y2  +=         w0  w1  w2  w3  w4  w5  w6
       ...
    sum of y6  +=                         w0  w1  w2  w3  w4  w5  w6

Sums and taps stay in registers. A column x is loaded once and used in up to 7 sums: 13 + 7 loads
for 49 multiplications. The next row of the filter meets the next row of the buffer. The gradient
of the weight is the same picture with y and w exchanged: 7 sums for the taps, columns of g loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

__all__ = [
    "COLUMNS",
    "LINE_BYTES",
    "REGISTERS",
    "TAPS",
    "VECTOR_BYTES",
    "Vectors",
    "convolve_columns",
    "convolve_columns_twice",
    "copy_short",
    "copy_vectors",
    "correlate_columns",
    "pointers",
]

Value = Any  # a value of the program that is being written

TAPS = 7  # width of the filter
COLUMNS = 7  # outputs in one block


def _processor() -> tuple[int, int]:
    """Return the bytes in a vector register and the number of registers."""
    features = llvmlite.binding.get_host_cpu_features()
    if features.get("avx512f"):
        return 64, 32
    if features.get("avx2"):
        return 32, 16
    return 16, 32 if features.get("neon") else 16


VECTOR_BYTES, REGISTERS = _processor()
LINE_BYTES = 64  # that memory gives at a time

_BFLOAT16, _PAIR = ir.IntType(16), ir.IntType(32)  # as they lie in memory


def _bytes(element: Value) -> int:
    """Return the size of an element in memory."""
    return {_BFLOAT16: 2, _PAIR: 4, ir.FloatType(): 4, ir.DoubleType(): 8}[element]


def _all(kind: Value, value: int) -> Value:
    """Return a vector of one number."""
    return ir.Constant(kind, [value] * kind.count)


class Vectors:
    """Writes vector instructions for one element type where a builder stands.

    Memory of two-byte integers holds bfloat16 (see `bfloat16`): float32 in the lanes, widened by
    `load` and `spread`, narrowed by `store`. That of four-byte integers holds pairs of them (see
    `pairs`), which stay as they are.
    """

    def __init__(self, builder: Any, element: Any) -> None:
        self.builder = builder
        self.bytes = 8 if element.bitwidth == 64 else 4
        self.lanes = VECTOR_BYTES // self.bytes
        self.scalar = ir.FloatType() if self.bytes == 4 else ir.DoubleType()
        self.type = ir.VectorType(self.scalar, self.lanes)
        self.zero = ir.Constant(self.type, None)

    def int(self, value: int) -> Value:
        return ir.Constant(ir.IntType(64), value)

    def at(self, pointer: Value, index: Value) -> Value:
        """Return the address `index` elements behind `pointer`."""
        return self.builder.gep(pointer, [self.int(index) if isinstance(index, int) else index])

    def load(self, pointer: Value, mask: Value = None) -> Value:
        """Load neighbours into the lanes; with a mask into those alone, and 0 into the others."""
        kind = ir.VectorType(pointer.type.pointee, self.lanes)
        return self._widened(self._load(pointer, kind, mask), kind.element)

    def _load(self, pointer: Value, kind: Value, mask: Value) -> Value:
        size = _bytes(kind.element)
        pointer = self.builder.bitcast(pointer, kind.as_pointer())
        if mask is not None:
            align, zero = ir.Constant(ir.IntType(32), size), ir.Constant(kind, None)
            return self._masked("load", kind, kind, pointer, align, mask, zero)
        value = self.builder.load(pointer)
        value.align = size
        return value

    def store(self, value: Value, pointer: Value, mask: Value = None) -> None:
        """Store the lanes, or those of a mask, as neighbours."""
        kind = ir.VectorType(pointer.type.pointee, self.lanes)
        size = _bytes(kind.element)
        value = self._narrowed(value, kind.element)
        pointer = self.builder.bitcast(pointer, kind.as_pointer())
        if mask is not None:
            align = ir.Constant(ir.IntType(32), size)
            self._masked("store", kind, ir.VoidType(), value, pointer, align, mask)
            return
        done = self.builder.store(value, pointer)
        done.align = size

    def _widened(self, value: Value, element: Value) -> Value:
        if element != _BFLOAT16:
            return value
        integers = ir.VectorType(ir.IntType(32), self.lanes)
        upper = self.builder.shl(self.builder.zext(value, integers), _all(integers, 16))
        return self.builder.bitcast(upper, self.type)

    def _narrowed(self, value: Value, element: Value) -> Value:
        """Round to nearest, ties to even; NaN stays one."""
        if element != _BFLOAT16:
            return value
        b, integers = self.builder, ir.VectorType(ir.IntType(32), self.lanes)
        whole = b.bitcast(value, integers)
        upper = b.lshr(whole, _all(integers, 16))
        half = b.add(b.and_(upper, _all(integers, 1)), _all(integers, 0x7FFF))
        rounded = b.lshr(b.add(whole, half), _all(integers, 16))
        nan = b.fcmp_unordered("uno", value, value)
        rounded = b.select(nan, b.or_(upper, _all(integers, 0x40)), rounded)
        return b.trunc(rounded, ir.VectorType(_BFLOAT16, self.lanes))

    def prefetch(self, pointer: Value) -> None:
        """Have what is at an address brought to the second cache; it may be outside of all."""
        word = ir.IntType(32)
        pointer = self.builder.bitcast(pointer, ir.IntType(8).as_pointer())
        arguments = [pointer, *(ir.Constant(word, n) for n in (0, 2, 1))]  # read, near, data
        self._call("prefetch.p0", ir.VoidType(), *arguments)

    def first(self, count: Value) -> Value:
        """Return the mask of the first `count` lanes."""
        number = ir.IntType(32)
        kind = ir.VectorType(number, self.lanes)
        nothing, zero = ir.Constant(kind, ir.Undefined), ir.Constant(number, 0)
        one = self.builder.insert_element(nothing, self.builder.trunc(count, number), zero)
        counts = self.builder.shuffle_vector(one, nothing, ir.Constant(kind, None))
        return self.builder.icmp_signed("<", ir.Constant(kind, list(range(self.lanes))), counts)

    def _masked(self, what: str, kind: Value, result: Value, *arguments: Value) -> Value:
        letter = "i" if kind.element in (_BFLOAT16, _PAIR) else "f"
        name = f"masked.{what}.v{self.lanes}{letter}{8 * _bytes(kind.element)}.p0"
        return self._call(name, result, *arguments)

    def spread(self, pointer: Value) -> Value:
        """Load one element into every lane."""
        return self._widened(self.all(self.builder.load(pointer)), pointer.type.pointee)

    def all(self, number: Value) -> Value:
        """Return a number in every lane."""
        word = ir.IntType(32)
        nothing = ir.Constant(ir.VectorType(number.type, self.lanes), ir.Undefined)
        one = self.builder.insert_element(nothing, number, ir.Constant(word, 0))
        lanes = ir.Constant(ir.VectorType(word, self.lanes), None)
        return self.builder.shuffle_vector(one, nothing, lanes)

    def constant(self, value: float) -> Value:
        """Return a number known beforehand in every lane of float32."""
        return ir.Constant(self.type, [float(np.float32(value))] * self.lanes)

    def multiply_add(self, x: Value, y: Value, z: Value) -> Value:
        """Return ``x * y + z``; of pairs, both products are added."""
        if x.type.element == _PAIR:
            return self.multiply_pairs(x, y, z)
        return self._call(f"fmuladd.v{self.lanes}f{8 * self.bytes}", self.type, x, y, z)

    def absolute(self, x: Value) -> Value:
        return self._call(f"fabs.v{self.lanes}f{8 * self.bytes}", self.type, x)

    def look_up(self, number: Value, table: Any) -> Value:
        """Return entries of a table of twice as many float32 as there are lanes (AVX-512).

        The lowest bits of each lane of `number` say which.
        """
        integers = ir.VectorType(ir.IntType(32), self.lanes)
        entries = [float(np.float32(entry)) for entry in table]
        low, high = entries[: self.lanes], entries[self.lanes :]
        low, high = (ir.Constant(self.type, half) for half in (low, high))
        place = self.builder.bitcast(number, integers)
        return self._call("x86.avx512.vpermi2var.ps.512", self.type, low, place, high)

    def multiply_pairs(self, x: Value, y: Value, z: Value) -> Value:
        """Return ``x[0] * y[0] + x[1] * y[1] + z`` of pairs x and y."""
        return self._call("x86.avx512bf16.dpbf16ps.512", self.type, z, x, y)

    def pairs(self, first: Value, second: Value) -> Value:
        """Round two vectors to bfloat16, one behind the other in memory."""
        halves = ir.VectorType(_BFLOAT16, 2 * self.lanes)
        return self._call("x86.avx512bf16.cvtne2ps2bf16.512", halves, second, first)

    def _call(self, name: str, result: Value, *arguments: Value) -> Value:
        kind = ir.FunctionType(result, [a.type for a in arguments])
        function = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.{name}")
        return self.builder.call(function, arguments)

    def variable(self, value: Value) -> Value:
        """Make a variable; LLVM finds a register for it."""
        place = cgutils.alloca_once(self.builder, value.type)
        self.builder.store(value, place)
        return place

    @contextmanager
    def loop(self, count: Value) -> Iterator[Value]:
        """Repeat what is written inside, given the number of the round."""
        with cgutils.for_range(self.builder, count) as rounds:
            yield rounds.index


def pointers(context: Any, builder: Any, signature: Any, arguments: Any) -> list[Value]:
    """Join every array and the offset that follows it into one pointer; keep other values.

    A tuple stands for its members, one after the other.
    """

    def members(kind: Any, value: Value) -> Iterator[tuple[Any, Value]]:
        if not isinstance(kind, types.BaseTuple):
            yield kind, value
            return
        for one in zip(kind, cgutils.unpack_tuple(builder, value), strict=True):
            yield from members(*one)

    values: list[Value] = []
    after_array = False
    for argument in zip(signature.args, arguments, strict=True):
        for kind, value in members(*argument):
            if isinstance(kind, types.Array):
                values.append(context.make_array(kind)(context, builder, value).data)
            elif after_array:
                values[-1] = builder.gep(values[-1], [value])
            else:
                values.append(value)
            after_array = isinstance(kind, types.Array)
    return values


def _convolve(columns: int) -> Callable[..., None]:
    """Make the loop of the picture for a number of output columns."""

    @intrinsic
    def convolve(typing: Any, y: Any, bias: Any, x: Any, w: Any, filter_size: Any) -> Any:
        """y: array, start, step; bias and w: array, start; x: array, start, steps; planes, rows."""

        def write(context: Any, builder: Any, signature: Any, arguments: Any) -> Value:
            v = Vectors(builder, signature.args[0][0].dtype)
            y, y_step, bias, x, x_plane, x_row, w, planes, rows = pointers(
                context, builder, signature, arguments
            )
            first = v.load(bias)
            sums = [v.variable(first) for _ in range(columns)]
            with v.loop(planes) as plane, v.loop(rows) as row:
                here = v.at(x, builder.add(builder.mul(plane, x_plane), builder.mul(row, x_row)))
                filter_row = builder.add(builder.mul(plane, rows), row)
                w_here = v.at(w, builder.mul(filter_row, v.int(TAPS * v.lanes)))
                taps = [v.load(v.at(w_here, tap * v.lanes)) for tap in range(TAPS)]
                for position in range(columns + TAPS - 1):
                    value = v.load(v.at(here, position * v.lanes))
                    for column in range(columns):
                        if 0 <= position - column < TAPS:
                            total = builder.load(sums[column])
                            total = v.multiply_add(value, taps[position - column], total)
                            builder.store(total, sums[column])
            for total in sums:
                v.store(builder.load(total), y)
                y = v.at(y, y_step)
            return context.get_dummy_value()

        return types.void(y, bias, x, w, filter_size), write

    return convolve  # type: ignore[no-any-return]


convolve_columns = _convolve(COLUMNS)
convolve_columns_twice = _convolve(2 * COLUMNS)  # where 32 registers hold twice the sums


@intrinsic
def correlate_columns(typing: Any, w: Any, x: Any, g: Any, blocks: Any) -> Any:
    """``w[tap] += g[column] * x[column + tap]`` for one row and blocks of columns.

    w, x and g: array, start.
    """

    def write(context: Any, builder: Any, signature: Any, arguments: Any) -> Value:
        v = Vectors(builder, signature.args[0][0].dtype)
        w, x, g, blocks = pointers(context, builder, signature, arguments)
        taps = [v.at(w, tap * v.lanes) for tap in range(TAPS)]
        sums = [v.variable(v.load(tap)) for tap in taps]
        with v.loop(blocks) as block:
            here = builder.mul(block, v.int(COLUMNS * v.lanes))
            x, g = v.at(x, here), v.at(g, here)
            slopes = [v.load(v.at(g, column * v.lanes)) for column in range(COLUMNS)]
            for position in range(COLUMNS + TAPS - 1):
                value = v.load(v.at(x, position * v.lanes))
                for column in range(COLUMNS):
                    if 0 <= position - column < TAPS:
                        total = builder.load(sums[position - column])
                        total = v.multiply_add(value, slopes[column], total)
                        builder.store(total, sums[position - column])
        for total, tap in zip(sums, taps, strict=True):
            v.store(builder.load(total), tap)
        return context.get_dummy_value()

    return types.void(w, x, g, types.intp), write


@intrinsic
def copy_short(typing: Any, y: Any, y0: Any, x: Any, x0: Any, count: Any) -> Any:
    """Copy `count` elements: a plain loop does not start as fast where they are some dozens."""
    size = types.intp

    def write(context: Any, builder: Any, signature: Any, arguments: Any) -> Value:
        v = Vectors(builder, signature.args[0].dtype)
        y, x, count = pointers(context, builder, signature, arguments)
        with v.loop(builder.sdiv(builder.add(count, v.int(v.lanes - 1)), v.int(v.lanes))) as i:
            at = builder.mul(i, v.int(v.lanes))
            mask = v.first(builder.sub(count, at))
            v.store(v.load(v.at(x, at), mask), v.at(y, at), mask)
        return context.get_dummy_value()

    return types.void(y, size, x, size, size), write


@intrinsic
def copy_vectors(typing: Any, y: Any, x: Any, count: Any) -> Any:
    """Copy `count` vectors from x to y, both array, start, step from vector to vector."""

    def write(context: Any, builder: Any, signature: Any, arguments: Any) -> Value:
        v = Vectors(builder, signature.args[0][0].dtype)
        y, y_step, x, x_step, count = pointers(context, builder, signature, arguments)
        with v.loop(count) as i:
            v.store(v.load(v.at(x, builder.mul(i, x_step))), v.at(y, builder.mul(i, y_step)))
        return context.get_dummy_value()

    return types.void(y, x, types.intp), write
