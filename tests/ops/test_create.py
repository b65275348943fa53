"""Tensors from nothing, against PyTorch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import DTypeError, MissingExtra, OptionError, ShapeError

torch = pytest.importorskip("torch")


def same(ours: mg.Tensor, theirs: Any, rtol: float = 0.0) -> None:
    assert type(ours.array) is np.ndarray
    assert ours.shape == tuple(theirs.shape)
    assert f"torch.{ours.dtype}" == str(theirs.dtype)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=rtol, atol=rtol)


@pytest.mark.parametrize("name", ["zeros", "ones"])
@pytest.mark.parametrize("size", [(0,), (2, 3), ((2, 3),), ([4],), ((),)])
@pytest.mark.parametrize("dtype", [None, "float64", "int64", "bool", "float16"])
def test_constants(name: str, size: Any, dtype: str | None) -> None:
    kind = getattr(torch, dtype) if dtype else None
    same(getattr(mg, name)(*size, dtype=dtype), getattr(torch, name)(*size, dtype=kind))
    like = f"{name}_like"
    x = mg.ones(2, 3, dtype=mg.int32)
    same(getattr(mg, like)(x, dtype=dtype),
         getattr(torch, like)(torch.ones(2, 3, dtype=torch.int32), dtype=kind))  # fmt: skip


@pytest.mark.parametrize("value", [1, 2.5, True, -3, math.nan, math.inf])
@pytest.mark.parametrize("dtype", [None, "float64", "float16"])
def test_full(value: Any, dtype: str | None) -> None:
    kind = getattr(torch, dtype) if dtype else None
    same(mg.full((2, 2), value, dtype=dtype), torch.full((2, 2), value, dtype=kind))
    same(mg.full_like(mg.ones(3), value), torch.full_like(torch.ones(3), value))


def test_full_takes_one_element_tensors_and_scalars() -> None:
    assert mg.full((2,), mg.tensor(3.0)).tolist() == [3.0, 3.0]
    assert mg.full(2, np.float64(3)).tolist() == [3.0, 3.0]


@pytest.mark.parametrize(
    "arguments",
    [(5,), (5.0,), (1, 5), (0.0, 1.0, 0.25), (5, 0, -2), (0,), (3, 3), (-2.0, 2.0), (0, 10, 3)],
)
@pytest.mark.parametrize("dtype", [None, "float64", "int32"])
def test_arange(arguments: Any, dtype: str | None) -> None:
    kind = getattr(torch, dtype) if dtype else None
    if dtype == "int32" and arguments == (0.0, 1.0, 0.25):
        return  # PyTorch converts the step first
    same(mg.arange(*arguments, dtype=dtype), torch.arange(*arguments, dtype=kind))


@pytest.mark.parametrize("arguments", [(0, 1, 5), (1.0, -1.0, 3), (0, 10, 1), (2, 2, 4), (0, 1, 0)])
def test_linspace(arguments: Any) -> None:
    same(mg.linspace(*arguments), torch.linspace(*arguments), rtol=1e-7)


@pytest.mark.parametrize("size", [(3,), (2, 3), (3, 2), (0,), (0, 4)])
def test_eye(size: Any) -> None:
    same(mg.eye(*size), torch.eye(*size))


def test_empty_has_shape_and_dtype() -> None:
    assert mg.empty(2, 3, dtype=mg.int16).shape == (2, 3)
    assert mg.empty_like(mg.ones(4, dtype=mg.float16)).dtype == mg.float16


@pytest.mark.parametrize(
    "make",
    [
        lambda: mg.zeros(2, requires_grad=True), lambda: mg.ones(2, requires_grad=True),
        lambda: mg.full((2,), 1.0, requires_grad=True), lambda: mg.arange(2.0, requires_grad=True),
        lambda: mg.linspace(0, 1, 2, requires_grad=True), lambda: mg.eye(2, requires_grad=True),
        lambda: mg.zeros_like(mg.arange(2.0), requires_grad=True),
        lambda: mg.empty(2, requires_grad=True),
    ],
)  # fmt: skip
def test_created_tensors_can_require_a_gradient(make: Any) -> None:
    x = make()
    assert x.is_leaf
    x.sum().backward()
    assert x.grad.shape == x.shape


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: mg.zeros(-1), ShapeError, "zeros: .*negative"),
        (lambda: mg.ones(2.5), DTypeError, "ones: a size is a sequence of integers"),
        (lambda: mg.empty(2, -3), ShapeError, "empty: .*negative"),
        (lambda: mg.eye(-1), ShapeError, "eye: .*negative"),
        (lambda: mg.linspace(0, 1, -1), ShapeError, "linspace: .*negative"),
        (lambda: mg.arange(0, 5, -1), OptionError, "a step of -1 never leads from 0 to 5"),
        (lambda: mg.arange(0, 5, 0), OptionError, "a step of 0"),
        (lambda: mg.full((2,), "a"), DTypeError, "no number type"),
        (lambda: mg.full((2,), 1j), DTypeError, "no number type"),
        (lambda: mg.full((2,), math.nan, dtype=mg.int64), DTypeError, "full: nan does not fit"),
        (lambda: mg.full((2,), 256, dtype=mg.uint8), DTypeError, "full: 256 does not fit into ui"),
        (lambda: mg.arange(3).fill_(math.nan), DTypeError, "nan does not fit into int64"),
        (lambda: mg.zeros(2, device="tpu"), OptionError, "unknown device 'tpu'; use 'cpu', 'cuda'"),
    ],
)
def test_wrong_sizes_and_values(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_a_gpu_without_cupy_names_the_extra() -> None:
    pytest.importorskip("minigrad")
    try:
        import cupy  # noqa: F401
    except ImportError:
        with pytest.raises(MissingExtra, match=r"pip install 'minigrad\[cuda12\]'"):
            mg.zeros(2, device="cuda")
