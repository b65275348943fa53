"""Products of pairs in plain arithmetic, and kernels run with them: in a process of its own.

`multiply_pairs` follows Intel's description of VDPBF16PS bit by bit: first the odd, then the even
product is added, each sum rounded to nearest, ties to even; a product of two bfloat16 is exact.
Denormal numbers count as zero, as operands and as results of every step.

    python -m tests.kernels.cpu.emulated_pairs        with a NUMBA_CACHE_DIR that nobody else has
"""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
from llvmlite import ir

from minigrad.backend import use_kernels
from minigrad.kernels import pick
from minigrad.kernels.cpu import arrays, matmul, mlp, mlp_few_rows, pairs
from minigrad.kernels.cpu.simd import Vectors
from minigrad.kernels.formulas.mlp import Weights
from tests.kernels import guard
from tests.kernels.cpu.emulated_tiles import BFLOAT16, flushed, matrices

_I32 = ir.IntType(32)


def _all(v: Any, value: int) -> Any:
    return ir.Constant(ir.VectorType(_I32, v.lanes), [value] * v.lanes)


def _flushed(v: Any, value: Any) -> Any:
    """Return zero, with its sign, in the place of what is denormal."""
    build, word = v.builder, v.builder.bitcast(value, ir.VectorType(_I32, v.lanes))
    size = build.and_(word, _all(v, 0x7FFFFFFF))
    small = build.icmp_unsigned("<", size, _all(v, 0x00800000))
    sign = build.and_(word, _all(v, -(2**31)))
    return build.bitcast(build.select(small, sign, word), v.type)


def multiply_pairs(v: Any, x: Any, y: Any, z: Any) -> Any:
    build, total = v.builder, _flushed(v, z)
    for half in (lambda p: build.and_(p, _all(v, -65536)), lambda p: build.shl(p, _all(v, 16))):
        a, b = (_flushed(v, build.bitcast(half(p), v.type)) for p in (x, y))
        total = _flushed(v, v._call(f"fma.v{v.lanes}f32", v.type, a, b, total))
    return total


def both_halves(v: Any, first: Any, second: Any) -> Any:
    kind = ir.IntType(16)
    halves = [v._narrowed(_flushed(v, value), kind) for value in (first, second)]
    order = ir.Constant(ir.VectorType(_I32, 2 * v.lanes), list(range(2 * v.lanes)))
    return v.builder.shuffle_vector(*halves, order)


def reference(x: Any, y: Any) -> Any:
    """Return the product of matrices as the instruction makes it, pair by pair in NumPy."""
    x, y = flushed(x.astype(np.float32)), flushed(y.astype(np.float32))
    total = np.zeros((len(x), y.shape[1]), np.float32)
    for k in range(0, x.shape[1], 2):
        for i in (k + 1, k):
            if i < x.shape[1]:
                wide = x[:, i, None].astype(np.float64) * y[i].astype(np.float64)  # exact
                total = flushed((total + wide).astype(np.float32))
    return total


def guarded(module: Any, side: str = "end") -> Any:
    """Return a patch that lets a module work on memory at whose end a page is protected."""
    return mock.patch.object(module, "empty", lambda s, d: guard.empty(side, s, d))


def check_products() -> None:
    """Bit for bit the instruction's; sizes that fill no vector, odd depths, matrices turned."""
    for m, k, n in ((40, 71, 300), (17, 1000, 129)):
        x, y = matrices(m, k, n)
        exact = reference(x, y).astype(BFLOAT16)
        for side in ("end", "begin"):
            with guarded(matmul, side):
                for a, b in ((x, y), (x, y.T.copy().T), (x.T.copy().T, y)):
                    found = pick("matmul", a)(guard.move(side, a), guard.move(side, b))
                    np.testing.assert_array_equal(found.view(np.uint16), exact.view(np.uint16))


def check_mlp() -> None:
    """As float32, but for the rounding of what is multiplied: odd channels, GRN, few rows."""
    rng = np.random.default_rng(1)

    def draw(*shape: int) -> Any:
        return (0.3 * rng.standard_normal(shape)).astype(np.float32)

    def near(a: Any, b: Any) -> None:
        spread = np.sqrt(np.mean(np.square(b, dtype=np.float64)))
        away = np.square(a.astype(np.float64) - b)
        assert 0 < np.sqrt(np.mean(away)) < 0.01 * spread

    for c, side, grn, dtype in ((33, 11, False, BFLOAT16), (24, 17, True, np.float32),
                                (24, 4, True, BFLOAT16)):  # fmt: skip
        ends = (None, draw(4 * c), draw(4 * c)) if grn else (draw(c), None, None)
        p = Weights(
            1 + draw(c), draw(c), draw(4 * c, c), draw(4 * c), draw(c, 4 * c), draw(c), *ends
        )
        p = p._replace(w1=p.w1.astype(dtype), w2=p.w2.astype(dtype))
        x, skip = draw(2, side, 9, c).astype(BFLOAT16), draw(2, side, 9, c)
        g = draw(*x.shape)
        with use_kernels("reference"):
            exact, _ = pick("mlp", x)(x, skip, p, None)
            slope, slopes = pick("mlp_vjp", x)(g.astype(BFLOAT16), x, p)
        with guarded(mlp), guarded(mlp_few_rows), guarded(arrays):
            y, _ = pick("mlp", x)(x, skip, p, keep=False)
            near(y - skip, exact - skip)
            y, saved = pick("mlp", x)(x, skip, p)
            near(y - skip, exact - skip)
            gx, found = pick("mlp_vjp", x)(g.astype(BFLOAT16), x, p, saved)
            near(gx, slope.astype(np.float64))
            for one, other in zip(found, slopes, strict=True):
                if one is not None and one is not found.b2:  # b2's has no product
                    near(one, other.astype(np.float64))


def main() -> None:
    with (
        mock.patch.object(Vectors, "multiply_pairs", multiply_pairs),
        mock.patch.object(Vectors, "pairs", both_halves),
        mock.patch.object(pairs, "why_none", return_value=None),
    ):
        check_products()
        check_mlp()
    print("as the instruction")


if __name__ == "__main__":
    main()
