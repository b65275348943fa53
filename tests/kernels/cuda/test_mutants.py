"""The tests would notice: each of these changes to a kernel makes one of them fail.

A mutant is a small mistake of the kind that people make: a barrier left out, a border off by one, a
sum in half precision, a swapped index, a tail dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

from minigrad.kernels.cuda import depthwise_conv, launcher, table
from tests.emulated.conftest import REAL
from tests.emulated.shim.program import KernelError
from tests.kernels.cuda import (
    test_cross_entropy,
    test_depthwise_conv,
    test_drop_path,
    test_gelu,
    test_grn,
    test_layer_norm,
    test_mlp,
    test_optimizers,
    test_reduce,
)
from tests.kernels.cuda.tools import assert_formula

pytestmark = pytest.mark.skipif(REAL, reason="a mutant may do anything to a real GPU")

Check = Callable[[Any, np.random.Generator], None]


def norm(cupy: Any, rng: np.random.Generator) -> None:
    test_layer_norm.check(cupy, rng, (70, 32))


def far_norm(cupy: Any, rng: np.random.Generator) -> None:
    pytest.importorskip("ml_dtypes")
    test_layer_norm.test_sums_are_taken_in_float32(cupy, rng)


def walk(cupy: Any, rng: np.random.Generator) -> None:
    case = ((3, 40, 23, 9), *test_depthwise_conv.WALKS["7x7"][1:])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(depthwise_conv, "WALKS", 1 << 20)  # short walks
        test_depthwise_conv.check(cupy, rng, case)


def volume(cupy: Any, rng: np.random.Generator) -> None:
    test_depthwise_conv.check(cupy, rng, test_depthwise_conv.WALKS["volume"])


def plain(cupy: Any, rng: np.random.Generator) -> None:
    test_depthwise_conv.check(cupy, rng, test_depthwise_conv.PLAIN["stride (3, 2), dilation"])


def response(cupy: Any, rng: np.random.Generator) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table, "WIDTH", 2)
        test_grn.check(cupy, rng, (2, 515, 20))


def half_response(cupy: Any, rng: np.random.Generator) -> None:
    test_grn.test_sums_are_taken_in_float32(cupy, rng)


def block(cupy: Any, rng: np.random.Generator) -> None:
    test_mlp.check(cupy, rng, (3, 5, 7, 12), "V1", True)


def loss(cupy: Any, rng: np.random.Generator) -> None:
    test_cross_entropy.check(cupy, rng, (7, 37))


def far_loss(cupy: Any, rng: np.random.Generator) -> None:
    test_cross_entropy.test_a_class_without_weight_may_be_impossible(cupy)


def activation(cupy: Any, rng: np.random.Generator) -> None:
    assert_formula(cupy, "gelu", [rng.normal(0, 1, 300)])


def far_activation(cupy: Any, rng: np.random.Generator) -> None:
    test_gelu.test_far_out(cupy, "gelu_vjp")


def step(cupy: Any, rng: np.random.Generator) -> None:
    arrays = [*rng.normal(0, 1, (3, 300)), rng.random(300) * 1e-3]
    numbers = (*test_optimizers.NUMBERS[:4], 1e-2, *test_optimizers.NUMBERS[5:])
    test_optimizers.check(cupy, "adam", arrays, [0, 2, 3], numbers, "float32")


def mask(cupy: Any, rng: np.random.Generator) -> None:
    test_drop_path.check(cupy, rng, (4, 3, 5, 2), False)


def columns(cupy: Any, rng: np.random.Generator) -> None:
    assert_formula(cupy, "sum_columns", [rng.normal(0, 1, (70, 12))])


def squares(cupy: Any, rng: np.random.Generator) -> None:
    test_reduce.test_sum_squares(cupy, rng, (3000,), "float32")


class Mutant(NamedTuple):
    """Replace the n-th occurrence of `old` by `new` in the source of a file."""

    file: str
    check: Check
    old: str
    new: str
    occurrence: int = 0


BARRIER = "__syncthreads();"
MUTANTS = {
    "threads read before all have written": Mutant("layer_norm", norm, BARRIER, ""),
    "memory is used again too early": Mutant("depthwise_conv", walk, BARRIER, "", 1),
    "statistics are read before they are there": Mutant("layer_norm", norm, BARRIER, "", 4),
    "a barrier that some threads pass by": Mutant(
        "depthwise_conv", walk, "if (c >= channels) strip = strips;", "if (c >= channels) return;"
    ),
    "half of the lanes are left out": Mutant(
        "layer_norm", norm, "bit = lanes / 2; bit > 0", "bit = lanes / 2; bit > 1"
    ),
    "the last block writes behind the end": Mutant(
        "layer_norm", norm, "if (row >= rows) return;", ""
    ),
    "lanes leave before a shuffle": Mutant(
        "layer_norm", norm, "const int lane = (threadIdx.x & (lanes - 1)) * V;",
        "const int lane = (threadIdx.x & (lanes - 1)) * V; if (row >= rows) return;",
    ),
    "the mean is taken in the narrow type": Mutant(
        "layer_norm", far_norm, "sum += x[i];", "{ T n; narrow(n, sum + x[i]); sum = widen(n); }"
    ),
    "the variance is taken about 0": Mutant(
        "layer_norm", norm, "fma(x[i] - mean, x[i] - mean, squares)", "fma(x[i], x[i], squares)"
    ),
    "eps is forgotten": Mutant("layer_norm", norm, "rsqrt(var + eps)", "rsqrt(var + 0.1f)"),
    "the right border is one too far": Mutant(
        "depthwise_conv", walk, "left + j < width", "left + j <= width"
    ),
    "the lower border is one too far": Mutant(
        "depthwise_conv", walk, "r < height", "r <= height"
    ),
    "the filter is not turned": Mutant(
        "depthwise_conv", walk, "flip ? KH * KW - 1 - tap : tap", "tap"
    ),
    "sums are handed on in the wrong order": Mutant(
        "depthwise_conv", walk, "for (int i = KH - 1; i > 0; --i) sums",
        "for (int i = 1; i < KH; ++i) sums",
    ),
    "outputs are written beyond the row": Mutant(
        "depthwise_conv", walk, "if (w0 + t < out_width)", "if (true)"
    ),
    "the bias is added to the first row only": Mutant(
        "depthwise_conv", walk, "sums[0][t] = first;", "sums[0][t] = 0;"
    ),
    "walks share rows of the gradient": Mutant(
        "depthwise_conv", walk, "if (h < h1)", "if (h < out_height)"
    ),
    "blocks write to one place": Mutant(
        "depthwise_conv", walk, "parts[((((long long)blockIdx.y *", "parts[((((long long)0 *"
    ),
    "a plane before the first is read": Mutant(
        "depthwise_conv", volume, "if (d < 0 || d >= depth || r < 0", "if (d >= depth || r < 0"
    ),
    "planes of the gradient are paired wrongly": Mutant(
        "depthwise_conv", volume, "+ blockIdx.z - front;", "- blockIdx.z + front;"
    ),
    "a remainder is not looked at": Mutant(
        "depthwise_conv", plain, "if (od % sd || oh % sh || ow % sw) continue;", ""
    ),
    "axes are swapped": Mutant(
        "depthwise_conv", plain, "place(oh, sh, b, dh, top)", "place(oh, sw, b, dh, top)"
    ),
    "a strip runs into the next sample": Mutant(
        "hidden", response, "min((int)(blockIdx.y + 1) * share, positions)",
        "(int)(blockIdx.y + 1) * share",
    ),
    "every sample has the gain of the first": Mutant(
        "hidden", response, "column_values(up, gain, s.sample * columns + s.column,",
        "column_values(up, gain, s.column,",
    ),
    "squares are summed in the narrow type": Mutant(
        "hidden", half_response,
        "sums[i] = fma(value, value, sums[i]);\n"
        "      sums[V + i] = fma(small, small, sums[V + i]);",
        "T n;\n      narrow(n, fma(value, value, sums[i])), sums[i] = widen(n);\n"
        "      narrow(n, fma(small, small, sums[V + i])), sums[V + i] = widen(n);",
    ),
    "the slope is taken behind the function": Mutant(
        "hidden", block, "Activation<GELU>::slope(before)", "Activation<GELU>::slope(value)"
    ),
    "the norm does not hand back its mean": Mutant(
        "hidden", response, "(weight * sums[c] - mean)", "(weight * sums[c])"
    ),
    "a dead channel divides by 0": Mutant(
        "hidden", response, "slope[c] = norm > 0 ?", "slope[c] = true ?"
    ),
    "every sample has the factor of the first": Mutant(
        "residual", block, "factor[s.sample]", "factor[0]"
    ),
    "the kept gradient is scaled": Mutant(
        "residual", block, "      a[i] *= own;\n      sums[i] += a[i];",
        "      sums[i] += a[i] * own;\n      a[i] *= own * k[i];",
    ),
    "neighbours share one entry of the mask": Mutant(
        "residual", mask, "run == 1 ? i + j", "run == 1 ? i"
    ),
    "the last part is dropped": Mutant("reduce", response, "i < count", "i < count - 1"),
    "elements are counted by one block": Mutant(
        "reduce", squares, "i += (long long)gridDim.x * THREADS * V", "i += THREADS * V"
    ),
    "a column goes astray": Mutant(
        "reduce", columns, "parts[k * columns + i] = sums", "parts[k * columns + i + 1] = sums"
    ),
    "exponentials without a shift": Mutant(
        "cross_entropy", far_loss, "return {highest, sum", "highest = 0; return {highest, sum"
    ),
    "a weight of 0 meets -inf": Mutant(
        "cross_entropy", far_loss, "if (weight != A(0)) sum", "sum"
    ),
    "a row is divided by its neighbour's total": Mutant(
        "cross_entropy", loss, "return {highest, sum_over_lanes(total, lanes)}",
        "return {highest, __shfl_xor_sync(0xffffffffu, sum_over_lanes(total, lanes), lanes)}",
    ),
    "the tail is not cut off": Mutant("gelu", activation, "if (i >= n) return;", ""),
    "infinity times 0": Mutant("gelu", far_activation, "clamp(x, A(40)) * density", "x * density"),
    "eps stands under the root": Mutant(
        "adam", step, "sqrt(square[j]) / by.v_scale + by.eps",
        "sqrt(square[j] + by.eps) / by.v_scale",
    ),
    "the means decay at each other's rate": Mutant(
        "adam", step, "fresh1 * (d", "fresh2 * (d"
    ),
}  # fmt: skip


def _forget() -> None:
    launcher._module.cache_clear()
    launcher._function.cache_clear()


def _mutated(mutant: Mutant) -> str:
    text = launcher.source(mutant.file)
    pieces = text.split(mutant.old)
    assert len(pieces) > mutant.occurrence + 1, "the source has changed: adapt the mutant"
    at = mutant.occurrence + 1
    return mutant.old.join(pieces[:at]) + mutant.new + mutant.old.join(pieces[at:])


@pytest.mark.parametrize("name", MUTANTS)
def test_mutant_is_killed(
    cupy: Any, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    mutant, real = MUTANTS[name], launcher.source
    text = _mutated(mutant)
    monkeypatch.setattr(launcher, "source", lambda f: text if f == mutant.file else real(f))
    _forget()
    try:
        with pytest.raises((AssertionError, KernelError)) as killed:
            mutant.check(cupy, rng)
        assert "cannot compile" not in str(killed.value)
    finally:
        _forget()


@pytest.mark.parametrize("check", sorted({m.check for m in MUTANTS.values()}, key=repr))
def test_the_source_itself_passes(cupy: Any, rng: np.random.Generator, check: Check) -> None:
    check(cupy, rng)
