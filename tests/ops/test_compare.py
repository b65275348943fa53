"""Comparisons, logic and rounding, against PyTorch."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import DTypeError, ShapeError

torch = pytest.importorskip("torch")

DTYPES = ["bool", "uint8", "int32", "int64", "float32", "float64"]
CORNERS = [0.0, -0.0, 1.0, -1.5, math.nan, math.inf, -math.inf]


def pair(dtype: str, values: list[int]) -> tuple[Any, Any]:
    data = [bool(v) for v in values] if dtype == "bool" else values
    return mg.tensor(data, dtype=dtype), torch.tensor(data, dtype=getattr(torch, dtype))


def same(ours: Any, theirs: Any) -> None:
    assert type(ours.array) is np.ndarray
    assert f"torch.{ours.dtype}" == str(theirs.dtype)
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.parametrize("name", ["eq", "ne", "lt", "le", "gt", "ge"])
@pytest.mark.parametrize(("a", "b"), [*product(DTYPES, DTYPES)])
def test_comparisons_of_every_pair_of_dtypes(name: str, a: str, b: str) -> None:
    (x, tx), (y, ty) = pair(a, [0, 1, 2, 2]), pair(b, [1, 1, 0, 2])
    same(getattr(mg, name)(x, y), getattr(torch, name)(tx, ty))
    same(getattr(x[:, None], name)(y), getattr(tx[:, None], name)(ty))
    for number in (1, 0.5, True):
        same(getattr(x, name)(number), getattr(tx, name)(number))


@pytest.mark.parametrize("name", ["eq", "ne", "lt", "le", "gt", "ge"])
def test_comparisons_at_the_corners(name: str) -> None:
    x, tx = mg.tensor(CORNERS)[:, None], torch.tensor(CORNERS)[:, None]
    same(getattr(mg, name)(x, x.T), getattr(torch, name)(tx, tx.T))


@pytest.mark.parametrize("name", ["logical_and", "logical_or", "logical_xor"])
@pytest.mark.parametrize(("a", "b"), [*product(DTYPES, DTYPES)])
def test_logic(name: str, a: str, b: str) -> None:
    (x, tx), (y, ty) = pair(a, [0, 1, 2, 0]), pair(b, [1, 1, 0, 0])
    same(getattr(mg, name)(x, y), getattr(torch, name)(tx, ty))
    same(mg.logical_not(x), torch.logical_not(tx))


@pytest.mark.parametrize("name", ["bitwise_and", "bitwise_or", "bitwise_xor"])
@pytest.mark.parametrize(("a", "b"), [*product(DTYPES[:4], DTYPES[:4])])
def test_bits(name: str, a: str, b: str) -> None:
    (x, tx), (y, ty) = pair(a, [0, 1, 6, 3]), pair(b, [1, 1, 5, 0])
    same(getattr(mg, name)(x, y), getattr(torch, name)(tx, ty))
    same(~x, ~tx)


@pytest.mark.parametrize(
    "op", [lambda x: x & 1.0, lambda x: 1.5 | x, lambda x: x ^ x, lambda x: ~x]
)
def test_floats_have_no_bits(op: Any) -> None:
    with pytest.raises(DTypeError, match="takes booleans or integers"):
        op(mg.ones(2))


@pytest.mark.parametrize("name", ["isnan", "isinf", "isfinite"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int64"])
def test_tests(name: str, dtype: str) -> None:
    data = [0, 1] if dtype == "int64" else CORNERS
    ours, theirs = mg.tensor(data, dtype=dtype), torch.tensor(data, dtype=getattr(torch, dtype))
    same(getattr(mg, name)(ours), getattr(torch, name)(theirs))


@pytest.mark.parametrize("name", ["floor", "ceil", "trunc", "round", "sign"])
@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "float32", "float64"])
def test_rounding_keeps_the_dtype(name: str, dtype: str) -> None:
    x, tx = pair(dtype, [0, 1, 2, 5])
    same(getattr(mg, name)(x), getattr(torch, name)(tx))
    if dtype.startswith("float"):
        values = [0.5, 1.5, -0.5, -1.5, 2.49, 0.0, math.nan, math.inf]
        ours, theirs = mg.tensor(values, dtype=dtype), torch.tensor(values, dtype=tx.dtype)
        if name == "sign":  # PyTorch says 0 at NaN
            ours, theirs = ours[:-2], theirs[:-2]
        same(getattr(mg, name)(ours), getattr(torch, name)(theirs))


@pytest.mark.parametrize("name", ["floor", "ceil", "trunc", "round", "sign"])
def test_rounded_integers_are_a_copy(name: str) -> None:
    x = mg.tensor([1, 2])
    getattr(mg, name)(x).add_(1)
    assert x.tolist() == [1, 2]


@pytest.mark.parametrize("decimals", [-1, 0, 1, 3])
def test_round_to_places(decimals: int) -> None:
    values = [123.456, -0.05, 15.0, 25.0]
    ours = mg.round(mg.tensor(values, dtype=mg.float64), decimals)
    theirs = torch.round(torch.tensor(values, dtype=torch.float64), decimals=decimals)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-12)


def test_booleans_are_not_rounded() -> None:
    for name in ("floor", "ceil", "trunc", "round"):
        with pytest.raises(DTypeError, match=f"{name}: a boolean is no number"):
            getattr(mg, name)(mg.tensor([True]))


def test_closeness_and_equality() -> None:
    x, y = mg.tensor([1.0, math.nan, math.inf]), mg.tensor([1.0 + 1e-7, math.nan, math.inf])
    assert mg.isclose(x, y).tolist() == [True, False, True]
    assert mg.isclose(x, y, equal_nan=True).all()
    assert not mg.allclose(x, y)
    assert mg.allclose(mg.ones(2), 1.0)
    assert mg.equal(x[:1], x[:1].clone())
    assert not mg.equal(mg.ones(2), mg.ones(2, 1))


def test_shapes_that_do_not_meet() -> None:
    for name in ("eq", "lt", "logical_and"):
        with pytest.raises(ShapeError, match=r"\(2,\) and \(3,\) do not broadcast"):
            getattr(mg, name)(mg.ones(2), mg.ones(3))
