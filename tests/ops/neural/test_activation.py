from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import minigrad as mg
from minigrad.errors import DTypeError, OptionError, ShapeError
from minigrad.ops.neural import activation
from tests.ops.parity import agree, arrays

torch = pytest.importorskip("torch")

F = torch.nn.functional

ELEMENTWISE: list[tuple[str, tuple[Any, ...]]] = [
    ("relu", ()),
    ("relu6", ()),
    ("leaky_relu", ()),
    ("leaky_relu", (0.3,)),
    ("elu", ()),
    ("elu", (0.5,)),
    ("hardtanh", ()),
    ("hardtanh", (-0.5, 1.5)),
    ("silu", ()),
    ("softplus", ()),
    ("softplus", (2.0, 1.0)),
    ("logsigmoid", ()),
    ("gelu", ()),
]


@pytest.mark.parametrize(("name", "options"), ELEMENTWISE)
@given(x=arrays())
def test_elementwise(name: str, options: tuple[Any, ...], x: Any) -> None:
    ours, theirs = getattr(activation, name), getattr(F, name)
    agree(lambda x: ours(x, *options), lambda x: theirs(x, *options), x, rtol=1e-10)


@given(arrays())
def test_gelu_tanh(x: Any) -> None:
    agree(
        lambda x: activation.gelu(x, approximate="tanh"),
        lambda x: F.gelu(x, approximate="tanh"),
        x,
        rtol=1e-10,
    )


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@given(x=arrays(min_side=1), seed=st.integers(0, 10))
def test_softmax(name: str, x: Any, seed: int) -> None:
    dim = seed % max(1, x.ndim) - (max(1, x.ndim) if seed > 5 else 0)
    agree(
        lambda x: getattr(activation, name)(x, dim),
        lambda x: getattr(F, name)(x, dim),
        x,
        rtol=1e-10,
    )


@pytest.mark.parametrize(
    "name", [*dict.fromkeys(n for n, _ in ELEMENTWISE), "softmax", "log_softmax"]
)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-6), ("float16", 2e-3)])
def test_precision_and_dtype_stay(name: str, dtype: str, tolerance: float) -> None:
    values = np.linspace(-30, 30, 601).astype(dtype)
    options = (0,) if "softmax" in name else ()
    x = mg.Tensor(values, requires_grad=True)
    z = torch.from_numpy(values.astype("float64")).requires_grad_()
    y, expected = getattr(activation, name)(x, *options), getattr(F, name)(z, *options)
    y.sum().backward()
    expected.sum().backward()
    assert y.dtype == x.grad.dtype == dtype
    np.testing.assert_allclose(
        y.detach().numpy(), expected.detach().numpy(), rtol=tolerance, atol=tolerance
    )
    np.testing.assert_allclose(x.grad.numpy(), z.grad.numpy(), rtol=tolerance, atol=10 * tolerance)


@pytest.mark.parametrize("name", [n for n, o in ELEMENTWISE if not o])
def test_no_overflow_anywhere(name: str) -> None:
    x = mg.tensor([-1e30, -1e4, -100.0, 100.0, 1e4, 1e30], requires_grad=True)
    y = getattr(activation, name)(x)
    y.backward(mg.ones(6))
    assert np.isfinite(y.detach().numpy()).all()
    assert np.isfinite(x.grad.numpy()).all()


def test_softmax_of_masked_logits() -> None:
    x = mg.tensor([0.0, float("-inf"), 0.0])
    np.testing.assert_array_equal(activation.softmax(x, 0).numpy(), [0.5, 0.0, 0.5])


def test_gelu_of_far_values_is_exact() -> None:
    x = mg.tensor([-40.0, -10.0, 10.0, 40.0])  # gelu(-10) is -7.6e-23; 1 + erf loses it
    np.testing.assert_allclose(activation.gelu(x).numpy(), [0.0, 0.0, 10.0, 40.0], 0, 1e-22)


def test_relu_of_integers() -> None:
    assert activation.relu(mg.tensor([-1, 2])).tolist() == [0, 2]


WRONG: list[Any] = [
    (lambda: activation.gelu(mg.ones(2), "tahn"), OptionError, "did you mean 'tanh'"),
    (lambda: activation.gelu(mg.tensor([1])), DTypeError, "gelu.*float"),
    (lambda: activation.softmax(mg.ones(2, 2), 2), ShapeError, "dim 2"),
    (lambda: activation.hardtanh(mg.ones(2), 1.0, -1.0), OptionError, "smaller"),
    (lambda: activation.silu("x"), DTypeError, "Tensor"),
]


@pytest.mark.parametrize(("call", "kind", "message"), WRONG)
def test_errors_teach(call: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind, match=message):
        call()


@pytest.mark.parametrize("name", ["softmax", "log_softmax"])
@pytest.mark.parametrize(("shape", "dim"), [((2, 0), 1), ((2, 0), 0), ((0,), 0), ((0, 3), 1)])
def test_softmax_of_nothing_is_nothing(name: str, shape: tuple[int, ...], dim: int) -> None:
    for lib in (mg, torch):
        x = lib.zeros(shape, requires_grad=True)
        y = getattr(lib, name)(x, dim)
        assert tuple(y.shape) == shape
        y.sum().backward()
        assert tuple(x.grad.shape) == shape


ENDS = [-6.0, -3.0, -1.0, 0.0, 1.0, 3.0, 6.0, 20.0]
WITH_ENDS: list[tuple[str, tuple[Any, ...]]] = [
    ("hardswish", ()), ("hardsigmoid", ()), ("relu6", ()), ("relu", ()), ("leaky_relu", (0.1,)),
    ("elu", (2.0,)), ("selu", ()), ("celu", (0.5,)), ("silu", ()), ("mish", ()),
    ("softplus", (2.0, 3.0)), ("logsigmoid", ()), ("hardtanh", (-3.0, 3.0)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "options"), WITH_ENDS)
def test_gradients_where_pieces_meet_are_pytorchs(name: str, options: tuple[Any, ...]) -> None:
    torch = pytest.importorskip("torch")
    numbers = np.resize(np.array(ENDS, np.float32), 32)  # enough for its vector loops
    x, t = mg.tensor(numbers, requires_grad=True), torch.tensor(numbers, requires_grad=True)
    getattr(mg.nn.functional, name)(x, *options).sum().backward()
    getattr(torch.nn.functional, name)(t, *options).sum().backward()
    assert x.grad is not None
    np.testing.assert_allclose(x.grad.numpy(), t.grad.numpy(), rtol=1e-5, atol=1e-6)
