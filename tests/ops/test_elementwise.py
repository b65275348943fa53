"""Corners of the elementwise operations; values and gradients at large are in tests/laws."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import DTypeError, OptionError, ShapeError

torch = pytest.importorskip("torch")

NAN, INF = math.nan, math.inf


def gradients(library: Any, function: Any, *values: Any, g: Any = None) -> list[Any]:
    """Return the result and the gradients of `function` as lists."""
    xs = [library.tensor(v, requires_grad=True) for v in values]
    y = function(*xs)
    y.backward(library.ones_like(y) if g is None else library.tensor(g))
    return [y.detach().tolist(), *[x.grad.tolist() for x in xs]]


def same(function: Any, *values: Any, g: Any = None) -> None:
    ours, theirs = (gradients(lib, lambda *x, lib=lib: function(lib, *x), *values, g=g)
                    for lib in (mg, torch))  # fmt: skip
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


# ---- NaN, infinity and ties -----------------------------------------------------------------

CORNERS = [NAN, 1.0, 2.0, 2.0, INF, -INF, 0.0]
OTHERS = [1.0, NAN, 2.0, 1.0, INF, INF, -0.0]


@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_extremes_of_two_at_nan_and_ties(name: str) -> None:
    same(lambda lib, x, y: getattr(lib, name)(x, y), CORNERS, OTHERS)


@pytest.mark.parametrize("limits", [(0.0, 1.5), (None, 2.0), (2.0, None), (2.0, 1.0)])
def test_clamp_with_numbers(limits: Any) -> None:
    same(lambda lib, x: lib.clamp(x, *limits), CORNERS)


def test_clamp_with_tensors_gives_ties_to_the_input() -> None:
    x, low, high = [0.0, 1.0, 2.0, 3.0, 1.5], [1.0, 1.0, 1.0, 1.0, 4.0], [2.0] * 5
    same(lambda lib, x, a, b: lib.clamp(x, a, b), x, low, high)
    same(lambda lib, x, a: lib.clamp(x, min=a), x, low)
    same(lambda lib, x, b: lib.clamp(x, max=b), x, high)
    y = mg.clamp(mg.tensor([NAN, 1.0, 1.0]), mg.tensor([0.0, NAN, 0.0]), mg.tensor([1.0, 2.0, NAN]))
    assert mg.isnan(y).all()


@pytest.mark.parametrize("name", ["relu", "clamp", "maximum", "where"])
def test_a_masked_infinite_gradient_is_zero_and_not_nan(name: str) -> None:
    functions = {
        "relu": lambda lib, x: x.relu(),
        "clamp": lambda lib, x: x.clamp(0.0, 5.0),
        "maximum": lambda lib, x: lib.maximum(x, lib.zeros(2)),
        "where": lambda lib, x: lib.where(x > 0, x, lib.zeros(2)),
    }
    same(functions[name], [-1.0, 1.0], g=[INF, INF])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("exponent", [0, 1, 2, 3, 0.5, -1, -0.5, 1.5])
def test_powers_at_zero(exponent: float) -> None:
    same(lambda lib, x: x**exponent, [0.0, 1.0, 4.0])


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_exponent_of_zero_has_no_slope() -> None:
    same(lambda lib, x, y: x**y, [0.0, 0.0, 2.0, 1.0], [0.0, 2.0, 0.0, 3.0])
    same(lambda lib, y: 0.0**y, [0.0, 2.0])


@pytest.mark.parametrize("base", [2, 2.5, 1, np.float64(3)])
def test_a_number_to_the_power_of_a_float32_tensor_stays_float32(base: Any) -> None:
    y = mg.tensor([-1.0, 0.0, 2.0], requires_grad=True)
    (base**y).sum().backward()
    assert y.grad is not None
    assert y.grad.dtype == mg.float32
    expected = float(base) ** y.detach().numpy() * math.log(float(base))
    np.testing.assert_allclose(y.grad.numpy(), expected, rtol=1e-6)


def test_sigmoid_keeps_its_digits_far_out() -> None:
    for dtype in (np.float32, np.float64):
        x = np.array([-80.0, -30.0, -20.0, -1.0, 0.0, 1.0, 20.0, 1000.0], dtype)
        expected = torch.sigmoid(torch.from_numpy(x)).numpy()
        np.testing.assert_allclose(mg.sigmoid(mg.from_numpy(x)).numpy(), expected, rtol=1e-6)
    assert mg.sigmoid(mg.tensor([-1000.0, NAN])).tolist()[0] == 0.0


# ---- dtypes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("exponent", [2, 2.0, 3, 3.0, 0.5, 0])
@pytest.mark.parametrize("dtype", ["uint8", "int32", "int64", "float32", "float64"])
def test_the_dtype_of_a_power(dtype: str, exponent: float) -> None:
    ours = mg.tensor([1, 4], dtype=dtype) ** exponent
    theirs = torch.tensor([1, 4], dtype=getattr(torch, dtype)) ** exponent
    assert f"torch.{ours.dtype}" == str(theirs.dtype)
    assert ours.tolist() == theirs.tolist()


def test_squares_of_booleans_are_integers() -> None:
    x = mg.tensor([True, False])
    assert x.square().dtype == (x**2).dtype == mg.int64


@pytest.mark.parametrize("power", [lambda x: x**-1, lambda x: 2 ** (-x), lambda x: x ** (-x)])
def test_integers_have_no_negative_power(power: Any) -> None:
    with pytest.raises(DTypeError, match=r"no negative power.*x\.float\(\)"):
        power(mg.tensor([1, 2]))


@pytest.mark.parametrize("op", [lambda x: x**x, lambda x: x % x, lambda x: x // x, lambda x: x - x])
def test_booleans_are_no_numbers(op: Any) -> None:
    with pytest.raises(DTypeError, match="boolean"):
        op(mg.tensor([True]))


@pytest.mark.parametrize("mode", [None, "floor", "trunc"])
@pytest.mark.parametrize("dtype", ["int32", "int64", "float32"])
def test_division_rounds_as_asked(mode: str | None, dtype: str) -> None:
    a, b = [7, -7, 7, -7, 0], [2, 2, -2, -2, 3]
    ours = mg.div(mg.tensor(a, dtype=dtype), mg.tensor(b, dtype=dtype), rounding_mode=mode)
    kind = getattr(torch, dtype)
    theirs = torch.div(torch.tensor(a, dtype=kind), torch.tensor(b, dtype=kind), rounding_mode=mode)
    assert ours.tolist() == theirs.tolist()
    assert f"torch.{ours.dtype}" == str(theirs.dtype)


@pytest.mark.parametrize("op", ["floor_divide", "remainder"])
def test_integer_division_by_zero_is_refused_wherever_it_is(op: str) -> None:
    for divisor in (0, mg.tensor([1, 0]), mg.tensor(0)):
        with pytest.raises(OptionError, match="integer division by zero"):
            getattr(mg, op)(mg.tensor([4, 5]), divisor)
    with pytest.raises(OptionError, match="integer division by zero"):
        1 % mg.tensor([0])


@pytest.mark.parametrize(
    "result",
    [
        lambda x: x // 2, lambda x: mg.div(x, 2, rounding_mode="trunc"), mg.isnan, mg.floor,
        lambda x: ~(x > 0), mg.logical_not, lambda x: mg.isclose(x, x), lambda x: x < 2, mg.sign,
        lambda x: x.clamp(0, 1), lambda x: x % 2, lambda x: mg.where(x > 0, x, 0.0), mg.frac,
    ],
)  # fmt: skip
def test_results_of_0d_tensors_hold_arrays_and_no_numpy_scalars(result: Any) -> None:
    assert type(result(mg.tensor(3.0)).array) is np.ndarray


# ---- in place -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change", ["x += 2", "x -= 2", "x *= 2", "x /= 2", "x //= 2", "x %= 2", "x **= 2"]
)
def test_an_augmented_assignment_works_in_place(change: str) -> None:
    results = []
    for library in (mg, torch):
        names = {"x": library.tensor([5.0, -3.0])}
        first = names["x"]
        exec(change, names)
        assert names["x"] is first
        results.append(first.tolist())
    assert results[0] == results[1]


@pytest.mark.parametrize("change", ["x &= 6", "x |= 6", "x ^= 6"])
def test_a_bitwise_augmented_assignment_works_in_place(change: str) -> None:
    names = {"x": mg.tensor([5, 3])}
    first, expected = names["x"], {"x": np.array([5, 3])}
    exec(change, names)
    exec(change, expected)
    assert names["x"] is first
    assert first.tolist() == expected["x"].tolist()


def test_a_result_of_a_higher_kind_is_not_stored() -> None:
    for x, change in (
        (mg.tensor([1, 2]), lambda x: x.add_(0.5)),
        (mg.tensor([True]), lambda x: x.add_(1)),
        (mg.tensor([1, 2]), lambda x: x.div_(2)),
    ):
        before = x.tolist()
        with pytest.raises(DTypeError, match=f"cannot be stored in a tensor of {x.dtype}"):
            change(x)
        assert x.tolist() == before


# ---- errors ---------------------------------------------------------------------------------


def test_wrong_operands() -> None:
    with pytest.raises(DTypeError, match="not str"):
        mg.ones(2) + "1"  # type: ignore[operator]
    with pytest.raises(ShapeError, match=r"add: shapes \(2,\) and \(3,\) do not broadcast"):
        mg.ones(2) + mg.ones(3)
    with pytest.raises(OptionError, match="rounding_mode is None, 'floor' or 'trunc'"):
        mg.div(mg.ones(2), 2, rounding_mode="up")
    with pytest.raises(OptionError, match="give min, max or both"):
        mg.clamp(mg.ones(2))
    with pytest.raises(DTypeError, match="condition must be boolean, not float32"):
        mg.where(mg.ones(2), 1.0, 0.0)


def test_the_angle_of_the_origin_has_no_slope() -> None:
    same(lambda lib, y, x: lib.atan2(y, x), [0.0, 1.0, -0.0, 0.0], [0.0, 0.0, -1.0, 1.0])


BASES = [0.0, -0.0, 1.0, -1.0, 2.0, -2.0, 0.5, 1e30, 1e-30, math.inf, -math.inf, math.nan]
EXPONENTS = [0.0, 1.0, -1.0, 2.0, -2.0, 3.0, -3.0, 0.5, 1.5, math.inf, -math.inf, math.nan]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_powers_at_the_edges(dtype: str) -> None:
    """``0 ** b`` and its like: values and both gradients are PyTorch's, numbers or tensors."""
    pairs = [(a, b) for a in BASES for b in EXPONENTS]

    def outcome(m: Any) -> list[Any]:
        kind = getattr(m, dtype)
        x, y = (m.tensor(v, dtype=kind, requires_grad=True) for v in zip(*pairs, strict=True))
        z = x**y
        z.sum().backward()
        results = [z, x.grad, y.grad]
        for b in [*EXPONENTS, 0, 1, 2, -1, -2]:
            x = m.tensor(BASES, dtype=kind, requires_grad=True)
            z = x**b
            if z.requires_grad:
                z.sum().backward()
            results += [z, m.zeros(len(BASES)) if x.grad is None else x.grad]
        for a in [*BASES, 0, 2, -2]:
            y = m.tensor(EXPONENTS, dtype=kind, requires_grad=True)
            z = a**y
            z.sum().backward()
            results += [z, y.grad]
        return [r.detach().numpy() for r in results]

    with np.errstate(all="ignore"):
        for ours, theirs in zip(outcome(mg), outcome(torch), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-5)
