"""The steps that a tile of rows is taken through; the products between them are `gemm`'s.

`count` is the number of rows of the tile, `m` the first of them in `Rows`.
"""

from __future__ import annotations

from typing import Any

from numba import types
from numba.extending import overload

from minigrad.kernels.cpu.arrays import Array
from minigrad.kernels.cpu.bfloat16 import put, widen
from minigrad.kernels.cpu.compile import OPTIONS, compiled, whole_vectors
from minigrad.kernels.cpu.gelu import normal
from minigrad.kernels.cpu.gelu_table import gelu_row, has_tables
from minigrad.kernels.cpu.gemm import Matrix, pack_row
from minigrad.kernels.cpu.layer_norm import normalize_row, statistics
from minigrad.kernels.cpu.pairs import pair_to_panels

__all__ = [
    "activated",
    "activated_again",
    "below",
    "gelu",
    "gelu_gradient",
    "gelu_in_place",
    "norm",
    "residual",
    "respond",
    "row",
    "scaled",
]


@compiled
def row(matrix, i, width):  # type: ignore[no-untyped-def]
    """Return row i of a matrix."""
    at = matrix.start + i * matrix.row
    return matrix.data[at : at + width]


@compiled
def below(matrix, i):  # type: ignore[no-untyped-def]
    """Return the rows of a matrix from row i on."""
    return Matrix(matrix.data, matrix.start + i * matrix.row, matrix.row)


@compiled
def norm(y, rows, m, count, p, known):  # type: ignore[no-untyped-def]
    """Normalise rows of x; take the statistics, or use them where they are `known`."""
    channels = p.norm_weight.size
    stats = rows.stats
    for i in range(count):
        source = rows.x[(m + i) * channels : (m + i + 1) * channels]
        if not known:
            stats[m + i, 0], stats[m + i, 1] = statistics(source, rows.eps)
        mean, scale = stats[m + i, 0], stats[m + i, 1]
        normalize_row(row(y, i, channels), source, mean, scale, p.norm_weight, p.norm_bias)


@compiled
def _by_table(z, h, count, bias):  # type: ignore[no-untyped-def]
    for i in range(count):
        to, source = z.start + i * z.row, h.start + i * h.row
        gelu_row((z.data, to), (h.data, source), (bias, 0), bias.size)


@compiled
def _by_formula(z, h, count, bias):  # type: ignore[no-untyped-def]
    whole_vectors()
    for i in range(count):
        source, target = row(h, i, bias.size), row(z, i, bias.size)
        for j in range(bias.size):
            value = widen(source[j]) + bias[j]
            target[j] = value * normal(value)[0]


@compiled
def _in_place_by_formula(z, count, bias):  # type: ignore[no-untyped-def]
    """Do the same with one array, which twice, as they could overlap, would stay scalar."""
    whole_vectors()
    for i in range(count):
        target = row(z, i, bias.size)
        for j in range(bias.size):
            value = target[j] + bias[j]
            target[j] = value * normal(value)[0]


def _has_table(z: Any) -> bool:
    return bool(has_tables() and z[0].dtype == types.float32)


def gelu(z: Matrix, h: Matrix, count: int, bias: Array) -> None:
    """``z = gelu(h + bias)``."""
    raise NotImplementedError("only compiled loops call this")


@overload(gelu, strict=False, jit_options=OPTIONS)
def _gelu(z: Any, h: Any, count: Any, bias: Any) -> Any:
    if _has_table(z):
        return lambda z, h, count, bias: _by_table(z, h, count, bias)
    return lambda z, h, count, bias: _by_formula(z, h, count, bias)


def gelu_in_place(z: Matrix, count: int, bias: Array) -> None:
    """``z = gelu(z + bias)``."""
    raise NotImplementedError("only compiled loops call this")


@overload(gelu_in_place, strict=False, jit_options=OPTIONS)
def _gelu_in_place(z: Any, count: Any, bias: Any) -> Any:
    if _has_table(z):
        return lambda z, count, bias: _by_table(z, z, count, bias)
    return lambda z, count, bias: _in_place_by_formula(z, count, bias)


@compiled
def activated(z, h, count, bias, keep):  # type: ignore[no-untyped-def]
    """Return ``gelu(h + bias)``, which takes the place of h if that is not to be kept."""
    if keep:
        gelu(z, h, count, bias)
        return z
    gelu_in_place(h, count, bias)
    return h


def activated_again(z: Matrix, h: Matrix, count: int, bias: Array, kept: bool) -> Matrix:
    """Return ``gelu(h + bias)``, where h was `kept`; else h is that already."""
    raise NotImplementedError("only compiled loops call this")


@overload(activated_again, strict=False, jit_options=OPTIONS)
def _activated_again(z: Any, h: Any, count: Any, bias: Any, kept: Any) -> Any:
    def known(z, h, count, bias, kept):  # type: ignore[no-untyped-def]
        gelu(z, h, count, bias)
        return z

    def maybe(z, h, count, bias, kept):  # type: ignore[no-untyped-def]
        if not kept:
            return h
        gelu(z, h, count, bias)
        return z

    return maybe if z == h else known  # bfloat16 is always kept


@compiled
def respond(z, count, gain, shift):  # type: ignore[no-untyped-def]
    """``z = z * gain + shift``: GRN, once the gain is known."""
    for i in range(count):
        target = row(z, i, gain.size)
        for j in range(gain.size):
            target[j] = target[j] * gain[j] + shift[j]


@compiled
def residual(rows, m, count, branch, p):  # type: ignore[no-untyped-def]
    """``out = given + (branch + b2) * scale * factor``."""
    channels = p.b2.size
    bias, scale = p.b2, p.scale
    for i in range(count):
        at = (m + i) * channels
        target, source = rows.out[at : at + channels], rows.given[at : at + channels]
        value = row(branch, i, channels)
        f = rows.factor[(m + i) // rows.length]
        for c in range(channels):
            put(target, c, widen(source[c]) + (value[c] + bias[c]) * (scale[c] * f))


@compiled
def scaled(y, rows, m, count, scale):  # type: ignore[no-untyped-def]
    """``y = given * scale * factor``: the gradient that reaches the second product."""
    for i in range(count):
        source = rows.given[(m + i) * scale.size : (m + i + 1) * scale.size]
        target = row(y, i, scale.size)
        f = rows.factor[(m + i) // rows.length]
        for c in range(scale.size):
            target[c] = widen(source[c]) * (scale[c] * f)


@compiled
def _gelu_gradient(value, g, source, bias, response, sums):  # type: ignore[no-untyped-def]
    """Do what `gelu_gradient` does, for a row."""
    whole_vectors()
    gain, shift, slope = response
    for j in range(bias.size):
        x = widen(source[j]) + bias[j]
        cdf, density = normal(x)
        a = x * cdf
        value[j] = a * gain[j] + shift[j]
        g[j] = (g[j] * gain[j] + a * slope[j]) * (cdf + x * density)
    for j in range(bias.size):
        sums[j] += g[j]


def gelu_gradient(
    z: Matrix, gh: Matrix, at: int, depth: int, h: Matrix, gz: Matrix, count: int, bias: Array,
    response: Any, sums: Array, spare: Array,
) -> None:  # fmt: skip
    """From gz to z and the gradient of h; ``z = a * gain + shift`` with ``a = gelu(h + bias)``.

    z and gh are packed matrices of `depth` rows, written from row `at` on; gh takes the place of
    gz as well, for another product. The gain depends on all positions of a: `slope` is what reaches
    a that way, per unit of a. `spare`: two rows of memory.

    In matrices of pairs rows 2 k and 2 k + 1 are written together; a row whose number is even waits
    in `spare` and in gz for the next, also for that of another call.
    """
    raise NotImplementedError("only compiled loops call this")


@overload(gelu_gradient, strict=False, jit_options=OPTIONS)
def _gelu_gradient_of_rows(
    z: Any, gh: Any, at: Any, depth: Any, h: Any, gz: Any, count: Any, bias: Any, response: Any,
    sums: Any, spare: Any,
) -> Any:  # fmt: skip
    def rows(z, gh, at, depth, h, gz, count, bias, response, sums, spare):  # type: ignore[no-untyped-def]
        value = spare[: bias.size]
        for i in range(count):
            g = row(gz, i, bias.size)
            _gelu_gradient(value, g, row(h, i, bias.size), bias, response, sums)
            pack_row(z, at + i, depth, value)
            pack_row(gh, at + i, depth, g)

    def pairs(z, gh, at, depth, h, gz, count, bias, response, sums, spare):  # type: ignore[no-untyped-def]
        size = bias.size
        for i in range(count):
            number, here = at + i, gz.start + i * gz.row
            value = spare[number % 2 * size : (number % 2 + 1) * size]
            g = row(gz, i, size)
            _gelu_gradient(value, g, row(h, i, size), bias, response, sums)
            if number % 2:
                k, before = number // 2, here - gz.row
                pair_to_panels(z, k, depth, (spare, 0), (spare, size), size, False)
                pair_to_panels(gh, k, depth, (gz.data, before), (gz.data, here), size, False)

    return pairs if z[0].dtype == types.int32 else rows
