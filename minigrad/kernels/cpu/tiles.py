"""Tiles: registers of 16 rows of 64 bytes, and the product of two of them. Intel calls it AMX.

    C (16, 16) float32  +=  A (16, 32) bfloat16  @  B (32, 16) bfloat16

A is as it lies in memory. A row of B holds two of its rows, k and k + 1, in turns: the pairs that
meet in one multiplication. So the tile of B is 16 pairs of k, 16 columns, 2.

Kernels write these instructions through `Tiles`. The tests put another class in its place, which
does the same in plain arithmetic, and so run the kernels on any processor.
"""

from __future__ import annotations

import ctypes
import functools
import sys
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from minigrad.kernels.cpu.compile import has_feature

__all__ = ["TILE", "Tiles", "configure", "release", "why_none"]

Value = Any

TILE = 16  # rows; columns of float32, pairs of bfloat16

_BYTE, _SIZE = ir.IntType(8), ir.IntType(64)

# arch_prctl of Linux: a process asks for the registers before their first use, or it is ended.
_ARCH_PRCTL, _REQUEST, _TILE_DATA = 158, 0x1023, 18


@functools.cache
def why_none() -> str | None:
    """Return why this process multiplies without tiles, or None: it has them, and may use them.

    What counts is what Numba compiles for, whatever the processor is called: an instruction that
    the target does not have ends the process.
    """
    if not (has_feature("amx-tile") and has_feature("amx-bf16")):
        return "Numba's target has no amx-bf16"
    if not sys.platform.startswith("linux"):
        return "only Linux is asked for the registers of amx-bf16"
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(*map(ctypes.c_long, (_ARCH_PRCTL, _REQUEST, _TILE_DATA))):
        return f"Linux does not give the registers of amx-bf16 (error {ctypes.get_errno()})"
    return None


class Tiles:
    """Writes the instructions where a builder stands. There are eight tiles."""

    def __init__(self, builder: Any) -> None:
        self.builder = builder

    def configure(self) -> None:
        """Make all tiles 16 rows of 64 bytes, for this thread: at the start of a task."""
        form = bytearray(64)
        form[0] = 1
        for tile in range(8):
            form[16 + 2 * tile], form[48 + tile] = 64, TILE
        constant = ir.Constant(ir.ArrayType(_BYTE, 64), form)
        place = cgutils.global_constant(self.builder.module, "tiles", constant)
        self._call("ldtilecfg", self._byte_pointer(place))

    def release(self) -> None:
        """Give the registers back: a thread that holds them is slower to be interrupted."""
        self._call("tilerelease")

    def zero(self, tile: int) -> None:
        """Fill a tile with zeros."""
        self._call("tilezero", _BYTE(tile))

    def load(self, tile: int, pointer: Value, step: Value, once: bool = False) -> None:
        """Load 16 rows, `step` bytes apart; `once` if they will not be needed again soon."""
        name = "tileloaddt164" if once else "tileloadd64"
        self._call(name, _BYTE(tile), self._byte_pointer(pointer), step)

    def store(self, tile: int, pointer: Value, step: Value) -> None:
        """Store 16 rows, `step` bytes apart."""
        self._call("tilestored64", _BYTE(tile), self._byte_pointer(pointer), step)

    def dot(self, c: int, a: int, b: int) -> None:
        """``C += A @ B``."""
        self._call("tdpbf16ps", _BYTE(c), _BYTE(a), _BYTE(b))

    def _byte_pointer(self, pointer: Value) -> Value:
        return self.builder.bitcast(pointer, _BYTE.as_pointer())

    def _call(self, name: str, *arguments: Value) -> None:
        kind = ir.FunctionType(ir.VoidType(), [a.type for a in arguments])
        function = cgutils.get_or_insert_function(self.builder.module, kind, f"llvm.x86.{name}")
        self.builder.call(function, arguments)


@intrinsic
def configure(typing: Any) -> Any:
    """Begin to use tiles, in a task."""

    def write(context: Any, builder: Any, signature: Any, arguments: Any) -> Value:
        Tiles(builder).configure()
        return context.get_dummy_value()

    return types.void(), write


@intrinsic
def release(typing: Any) -> Any:
    """End it."""

    def write(context: Any, builder: Any, signature: Any, arguments: Any) -> Value:
        Tiles(builder).release()
        return context.get_dummy_value()

    return types.void(), write
