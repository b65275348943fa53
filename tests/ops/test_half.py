"""Half precision: the arithmetic is done in float32 and rounded once, as PyTorch does it.

Tried on every one of the 65,536 numbers of float16, and of bfloat16.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.nn import functional as F

torch = pytest.importorskip("torch")

DTYPES = ["float16", "bfloat16"]
NUMBERS = [0, 1, -1, 2, 3, 7, -5, 0.1, -0.3, 1e-3, 0.5, 1.0, 60000.0, -60000, 1e5, -1e5, 3e38, 1e-6]
NUMBERS += [float("inf"), float("-inf"), float("nan")]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # overflow is what is tried here
        yield


def every(dtype: str) -> tuple[Any, Any]:
    """Return all numbers of a two-byte type, as our tensor and as PyTorch's."""
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    bits = np.arange(1 << 16, dtype=np.uint16)
    theirs = torch.from_numpy(bits.view(np.int16)).view(getattr(torch, dtype))
    return mg.Tensor(bits.view(mg.dtypes.to_dtype(dtype))), theirs


def numbers_of(x: Any) -> Any:
    """Return the values as float64, ours or PyTorch's."""
    return x.detach().double().numpy() if torch.is_tensor(x) else x.array.astype(np.float64)


def check(ours: Any, theirs: Any, ulp: int = 0) -> None:
    """Compare every number; `ulp` units in the last place may differ, after cancellation more."""
    assert f"torch.{ours.dtype}" == str(theirs.dtype)
    a, b = numbers_of(ours), numbers_of(theirs)
    if ulp:
        bits, least = (2.0**-10, 2.0**-24) if ours.dtype == mg.float16 else (2.0**-7, 2.0**-133)
        near = np.isclose(a, b, rtol=ulp * bits, atol=ulp * least, equal_nan=True)
        assert np.mean(~near) < 1e-3, (a[~near][:4], b[~near][:4])
        np.testing.assert_array_equal(np.isfinite(a), np.isfinite(b))
    else:
        np.testing.assert_array_equal(a, b)


def functional(m: Any) -> Any:
    return F if m is mg else torch.nn.functional


Op = Callable[..., Any]

# PyTorch does the arithmetic in float32, and rounds numbers only to store or to compare them.
AS_PYTORCH: dict[str, Op] = {
    "mul": lambda m, x, n: x * n,
    "rmul": lambda m, x, n: n * x,
    "div": lambda m, x, n: x / n,
    "mul_": lambda m, x, n: x.clone().mul_(n),
    "div_": lambda m, x, n: x.clone().div_(n),
    "*=": lambda m, x, n: operator.imul(x.clone(), n),
    "floor_divide": lambda m, x, n: x // n,
    "0-d tensor": lambda m, x, n: x * m.tensor(n, dtype=m.float32),
    "below a 0-d tensor": lambda m, x, n: x / m.tensor(n, dtype=m.float32),
    "eq": lambda m, x, n: x == n,
    "ne": lambda m, x, n: x != n,
    "lt": lambda m, x, n: x < n,
    "le": lambda m, x, n: x <= n,
    "gt": lambda m, x, n: x > n,
    "ge": lambda m, x, n: n <= x,
    "clamp, min": lambda m, x, n: m.clamp(x, min=n),
    "clamp, max": lambda m, x, n: m.clamp(x, max=n),
    "clamp_": lambda m, x, n: x.clone().clamp_(n),
    "where": lambda m, x, n: m.where(x > 0, x, n),
    "masked_fill": lambda m, x, n: x.masked_fill(x > 0, n),
    "masked_fill_": lambda m, x, n: x.clone().masked_fill_(x > 0, n),
    "fill_": lambda m, x, n: x.clone().fill_(n),
    "full_like": lambda m, x, n: m.full_like(x, n),
    "pad": lambda m, x, n: functional(m).pad(x, (1, 2), value=n),
    "leaky_relu": lambda m, x, n: functional(m).leaky_relu(x, n),
}

# Here PyTorch's CPU kernels round the number, or an intermediate result, to half precision first.
# Our rule is one for all: what PyTorch gets in float32, rounded once.
IN_FLOAT32: dict[str, Op] = {
    "add": lambda m, x, n: x + n,
    "radd": lambda m, x, n: n + x,
    "sub": lambda m, x, n: x - n,
    "rsub": lambda m, x, n: n - x,
    "rdiv": lambda m, x, n: n / x,
    "add, alpha": lambda m, x, n: m.add(x, x.flip(0), alpha=n),
    "sub, alpha": lambda m, x, n: m.sub(x, x.flip(0), alpha=n),
    "lerp": lambda m, x, n: m.lerp(x, x.flip(0), n),
    "addcmul": lambda m, x, n: m.addcmul(x, x, x.flip(0), value=n),
    "addcdiv": lambda m, x, n: m.addcdiv(x, x, x.flip(0), value=n),
    "remainder": lambda m, x, n: x % n,
    "add_": lambda m, x, n: x.clone().add_(n),
    "sub_": lambda m, x, n: x.clone().sub_(n),
    "add_, alpha": lambda m, x, n: x.clone().add_(x.flip(0), alpha=n),
    "+=": lambda m, x, n: operator.iadd(x.clone(), n),
    "0-d tensor added": lambda m, x, n: x + m.tensor(n, dtype=m.float32),
    "elu": lambda m, x, n: functional(m).elu(x, n),
    "pow": lambda m, x, n: x**n,
    "rpow": lambda m, x, n: n**x,
}


def attempt(function: Op, *args: Any) -> Any:
    """Return the result, or None where it is refused."""
    try:
        return function(*args)
    except (RuntimeError, ZeroDivisionError, mg.errors.MinigradError):
        return None


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", AS_PYTORCH)
def test_numbers_meet_half_precision_as_in_pytorch(name: str, dtype: str) -> None:
    """Bit for bit; and a number that would be stored as infinity is refused by both."""
    x, t = every(dtype)
    for number in NUMBERS:
        ours, theirs = (attempt(AS_PYTORCH[name], m, v, number) for m, v in ((mg, x), (torch, t)))
        assert (ours is None) == (theirs is None), number
        if ours is not None:
            check(ours, theirs)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", IN_FLOAT32)
def test_arithmetic_with_numbers_is_done_in_float32(name: str, dtype: str) -> None:
    x, t = every(dtype)
    if dtype == "bfloat16":  # what leaves float32 on the way is another matter
        inside = numbers_of(x)
        inside = ~(
            (abs(inside) > 1e12) & np.isfinite(inside) | (abs(inside) < 1e-12) & (inside != 0)
        )
        x, t = x[mg.tensor(inside)], t[torch.from_numpy(inside)]
    for number in [float(np.float32(n)) if type(n) is float else n for n in NUMBERS]:
        if abs(number) < 1e6 or dtype == "float16":
            theirs = IN_FLOAT32[name](torch, t.double(), number).float().to(t.dtype)
            check(IN_FLOAT32[name](mg, x, number), theirs, ulp=1)


UNARY = (
    "abs acos asin atan ceil cos cosh erf exp exp2 expm1 floor log log10 log1p log2 neg reciprocal "
    "relu round rsqrt sigmoid sign sin sinh sqrt square tan tanh trunc"
).split()
ACTIVATIONS = "elu hardtanh leaky_relu logsigmoid relu6 silu softplus".split()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", UNARY + ACTIVATIONS)
def test_functions_of_every_number_of_half_precision(name: str, dtype: str) -> None:
    """Values are PyTorch's to one unit in the last place."""
    x, t = every(dtype)
    theirs = torch if name in UNARY else torch.nn.functional
    ours = mg if name in UNARY else F
    expected = getattr(theirs, name)(t.double()).float().to(t.dtype)
    check(getattr(ours, name)(x), expected, ulp=1)


REDUCTIONS: dict[str, Op] = {
    "sum": lambda m, x: x.sum(1),
    "mean": lambda m, x: x.mean(1),
    "var": lambda m, x: x.var(1),
    "std": lambda m, x: x.std(1),
    "norm": lambda m, x: x.norm(dim=1),
    "norm 3": lambda m, x: x.norm(3, dim=1),
    "logsumexp": lambda m, x: m.logsumexp(x, 1),
    "cumsum": lambda m, x: m.cumsum(x, 1),
    "prod": lambda m, x: m.prod(x[:, :50], 1),
    "cumprod": lambda m, x: m.cumprod(x[:, :50], 1),
    "softmax": lambda m, x: m.softmax(x, 1),
    "log_softmax": lambda m, x: m.log_softmax(x, 1),
    "layer_norm": lambda m, x: functional(m).layer_norm(x, (x.shape[1],)),
    "group_norm": lambda m, x: functional(m).group_norm(x, 5),
    "mse_loss": lambda m, x: functional(m).mse_loss(x, x.flip(0), reduction="none"),
    "cross_entropy": lambda m, x: functional(m).cross_entropy(x, m.arange(len(x))),
    "matmul": lambda m, x: x @ x.T,
    "avg_pool1d": lambda m, x: functional(m).avg_pool1d(x[:, None], 7),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", REDUCTIONS)
def test_sums_of_half_precision_are_taken_in_float32(name: str, dtype: str) -> None:
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes")
    rng = np.random.default_rng(0)
    t = torch.from_numpy(rng.standard_normal((4, 1000)) * 3 + 1).to(getattr(torch, dtype))
    x = mg.tensor(t.double().numpy(), dtype=dtype)
    check(REDUCTIONS[name](mg, x), REDUCTIONS[name](torch, t.float()).to(t.dtype), ulp=1)


@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_through_numbers_keep_their_dtype(dtype: str) -> None:
    every(dtype)  # skips where there is no bfloat16
    x = mg.tensor([0.0, 0.001, 0.5], dtype=dtype, requires_grad=True)
    scale = mg.tensor(1e5, requires_grad=True)
    y = x * 1e5 / scale + 0.1
    y.sum().backward()
    assert y.dtype == x.grad.dtype == mg.dtypes.to_dtype(dtype)
    np.testing.assert_allclose(numbers_of(x.grad), 1.0, rtol=1e-2)
    assert scale.grad.dtype == mg.float32
    np.testing.assert_allclose(scale.grad.item(), -0.501e-5, rtol=1e-2)
