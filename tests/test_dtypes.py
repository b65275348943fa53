"""Names and promotion of dtypes: PyTorch's rules for every pair."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import dtypes
from minigrad.errors import DTypeError

NAMES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"]
OPERANDS = [*product(NAMES, ["dimensioned", "0-d"]), *product(["bool", "int", "float"], ["number"])]


def operand(library: Any, name: str, kind: str) -> Any:
    if kind == "number":
        return {"bool": True, "int": 1, "float": 1.0}[name]
    return library.ones((2,) if kind == "dimensioned" else (), dtype=getattr(library, name))


@pytest.mark.parametrize("a", OPERANDS, ids="-".join)
def test_promotion_is_pytorchs(a: tuple[str, str]) -> None:
    torch = pytest.importorskip("torch")
    for b in OPERANDS:
        if a[1] == b[1] == "number":
            continue
        expected = str(torch.result_type(operand(torch, *a), operand(torch, *b)))
        x, y = operand(mg, *a), operand(mg, *b)
        plain = [v.array if isinstance(v, mg.Tensor) else v for v in (x, y)]
        assert f"torch.{mg.result_type(*plain)}" == expected, b
        assert f"torch.{mg.result_type(x, y)}" == expected, b
        assert f"torch.{(x * y).dtype}" == expected, b
        if a[1] == b[1] == "dimensioned":
            assert f"torch.{mg.promote_types(x.dtype, y.dtype)}" == expected, b


@pytest.mark.parametrize("number", [np.float64(2), np.float32(2), np.float16(2), np.int64(2)])
@pytest.mark.parametrize("dtype", ["float16", "float32", "int32"])
def test_numpy_scalars_count_as_python_numbers(number: Any, dtype: str) -> None:
    x = mg.ones(2, dtype=dtype)
    expected = (x * number.item()).dtype
    for result in (x * number, number * x, x + number, number - x):
        assert result.dtype == expected


def test_three_float32_operands_stay_float32_through_backward() -> None:
    x = mg.ones(2, requires_grad=True)
    y = (np.sqrt(2.0) * x / np.float64(3) + np.int64(1)) ** np.float64(1.5)
    assert y.dtype == mg.float32
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == mg.float32


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("half", "float16"), ("float", "float32"), ("double", "float64"), ("short", "int16"),
     ("int", "int32"), ("long", "int64"), ("bool", "bool")],
)  # fmt: skip
def test_names_of_pytorch(name: str, dtype: str) -> None:
    assert getattr(mg, name) == dtypes.to_dtype(name) == np.dtype(dtype)
    assert getattr(mg.zeros(1, dtype=mg.uint8), name)().dtype == dtype


def test_python_types_name_dtypes() -> None:
    assert dtypes.to_dtype(bool) == mg.bool_
    assert dtypes.to_dtype(int) == mg.int64
    assert dtypes.to_dtype(float) == mg.float32
    assert dtypes.to_dtype(">f4").isnative


@pytest.mark.parametrize("name", ["complex64", "uint16", "uint64", "longdouble", "U3", "nonsense"])
def test_other_dtypes_are_refused_by_name(name: str) -> None:
    with pytest.raises(DTypeError, match=f"no tensor can have dtype '{name}'; use one of float16"):
        mg.zeros(1, dtype=name)


def test_the_default_dtype() -> None:
    assert mg.get_default_dtype() == mg.float32
    mg.set_default_dtype(mg.float64)
    try:
        assert mg.tensor(0.5).dtype == mg.zeros(1).dtype == (mg.arange(2) / 2).dtype == mg.float64
        assert mg.tensor(1).dtype == mg.int64
    finally:
        mg.set_default_dtype(mg.float32)
    with pytest.raises(DTypeError, match="must be a floating type, not int64"):
        mg.set_default_dtype(mg.int64)
    assert mg.get_default_dtype() == mg.float32


def test_bfloat16_where_ml_dtypes_is_installed() -> None:
    pytest.importorskip("ml_dtypes")
    assert mg.is_floating(mg.bfloat16)
    assert mg.promote_types(mg.bfloat16, mg.float16) == mg.float32
    assert mg.promote_types(mg.bfloat16, mg.int64) == mg.bfloat16
    x = mg.tensor([1.0, 3.0], dtype="bfloat16", requires_grad=True)
    x.float().square().sum().backward()
    assert x.grad is not None
    assert x.grad.dtype == mg.bfloat16
    assert x.grad.tolist() == [2.0, 6.0]


def test_a_tensor_is_no_dtype() -> None:
    with pytest.raises(DTypeError, match=r"is_floating: a dtype is needed, got Tensor.*x\.is_fl"):
        mg.is_floating(mg.ones(2))
