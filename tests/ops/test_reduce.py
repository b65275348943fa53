from __future__ import annotations

import math
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import minigrad as mg
from minigrad.errors import DTypeError, OptionError, ShapeError
from tests.ops.parity import agree, arrays, same_values

torch = pytest.importorskip("torch")


@st.composite
def reductions(draw: Any, min_side: int = 0, ties: bool | None = None) -> Any:
    """Draw an array, one or several axes of it (or None), and keepdim."""
    x = draw(arrays(min_side=min_side, ties=ties))
    n = x.ndim
    axes = st.integers(-n, n - 1) if n else st.sampled_from([0, -1])
    several = st.lists(st.integers(0, n - 1), min_size=1, max_size=n, unique=True) if n else axes
    dim = draw(st.one_of(st.none(), axes, several))
    return x, tuple(dim) if isinstance(dim, list) else dim, draw(st.booleans())


@st.composite
def along_one(draw: Any, min_side: int = 1, ties: bool | None = None) -> Any:
    x = draw(arrays(min_side=min_side, ties=ties))
    dim = draw(st.integers(-x.ndim, x.ndim - 1) if x.ndim else st.sampled_from([0, -1]))
    return x, dim, draw(st.booleans())


# ---- parity ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sum", "mean", "logsumexp"])
@given(case=reductions())
def test_sums(name: str, case: Any) -> None:
    x, dim, keepdim = case
    if name == "logsumexp" and dim is None:
        dim = tuple(range(x.ndim))
    f, g = getattr(mg, name), getattr(torch, name)
    if name == "logsumexp" and not x.ndim:
        dim = 0
    if dim is None:
        agree(f, g, x)
    else:
        agree(lambda t: f(t, dim, keepdim), lambda t: g(t, dim, keepdim), x)


@pytest.mark.parametrize("name", ["var", "std", "var_mean", "std_mean"])
@given(case=reductions(), correction=st.sampled_from([0, 1, 2, 0.5]))
def test_variance(name: str, case: Any, correction: float) -> None:
    x, dim, keepdim = case
    count = (
        x.size if dim is None else math.prod(np.array(x.shape)[np.atleast_1d(dim)]) if x.ndim else 1
    )
    options = {"dim": dim, "correction": correction, "keepdim": keepdim}
    f, g = getattr(mg, name), getattr(torch, name)
    with np.errstate(all="ignore"):
        if count <= max(correction, 0) or not x.size:
            same_values(f(mg.Tensor(x), **options), _quiet(g, x, options))
            return
        spread = f(mg.Tensor(x), **options)
        flat = "std" in name and not (_first(spread).array > 1e-12).all()
        agree(lambda t: f(t, **options), lambda t: g(t, **options), x, second=not flat)


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, tuple) else value


def _quiet(g: Any, x: Any, options: Any) -> Any:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return g(torch.from_numpy(x.copy()), **options)


@pytest.mark.parametrize("name", ["amax", "amin"])
@given(case=reductions(min_side=1))
def test_extremes_over_several_axes(name: str, case: Any) -> None:
    x, dim, keepdim = case
    dim = () if dim is None else dim
    f, g = getattr(mg, name), getattr(torch, name)
    agree(lambda t: f(t, dim, keepdim), lambda t: g(t, dim, keepdim), x)


@pytest.mark.parametrize("name", ["max", "min"])
@given(x=arrays(min_side=1))
def test_extreme_of_all(name: str, x: Any) -> None:
    agree(getattr(mg, name), getattr(torch, name), x)


@pytest.mark.parametrize("name", ["max", "min", "median"])
@given(case=along_one(ties=False))
def test_extreme_and_where_it_is(name: str, case: Any) -> None:
    x, dim, keepdim = case
    f, g = getattr(mg, name), getattr(torch, name)
    agree(lambda t: f(t, dim, keepdim), lambda t: g(t, dim, keepdim), x)


@pytest.mark.parametrize("name", ["max", "min"])
@given(x=arrays())
def test_max_of_two(name: str, x: Any) -> None:
    y = np.roll(x, 1)
    agree(getattr(mg, name), getattr(torch, name), x, y)


@given(x=arrays(min_side=1, ties=False))
def test_median_of_all(x: Any) -> None:
    agree(mg.median, torch.median, x)


@pytest.mark.parametrize("name", ["argmax", "argmin"])
@given(case=along_one())
def test_arguments(name: str, case: Any) -> None:
    x, dim, keepdim = case
    f, g, t = getattr(mg, name), getattr(torch, name), torch.from_numpy(x.copy())
    same_values(f(mg.Tensor(x), dim, keepdim), g(t, dim, keepdim))
    same_values(f(mg.Tensor(x)), g(t))


@given(case=along_one(min_side=0), total=st.booleans())
def test_prod(case: Any, total: bool) -> None:
    x, dim, keepdim = case
    if total:
        agree(mg.prod, torch.prod, x, second=np.count_nonzero(x == 0) < 2)
    else:
        # PyTorch's second derivative with two zeros in a row divides by zero; ours is checked below
        second = not x.size or int((x == 0).sum(dim).max()) < 2 if x.ndim else True
        agree(
            lambda t: mg.prod(t, dim, keepdim),
            lambda t: torch.prod(t, dim, keepdim),
            x,
            second=second,
        )


@given(x=arrays(min_dims=1, max_dims=2, ties=True))
def test_prod_second_derivative_with_zeros(x: Any) -> None:
    leaf = mg.Tensor(x, True)
    if x.size:
        assert mg.autograd.gradgradcheck(lambda t: mg.prod(t, -1), leaf)
        assert mg.autograd.gradgradcheck(mg.prod, leaf)


@given(case=along_one(min_side=0))
def test_running(case: Any) -> None:
    x, dim, _ = case
    agree(lambda t: mg.cumsum(t, dim), lambda t: torch.cumsum(t, dim), x)


@given(case=along_one(min_side=0, ties=False))
def test_running_product(case: Any) -> None:
    x, dim, _ = case
    agree(lambda t: mg.cumprod(t, dim), lambda t: torch.cumprod(t, dim), x)


@given(x=arrays(min_dims=1, max_dims=2, min_side=1, ties=True))
def test_running_product_with_zeros(x: Any) -> None:
    agree(lambda t: mg.cumprod(t, 0), lambda t: torch.cumprod(t, 0), x, second=False)
    assert mg.autograd.gradgradcheck(lambda t: mg.cumprod(t, 0), mg.Tensor(x, True))


@pytest.mark.parametrize("p", ["fro", 1, 2, 3, 2.5, 1.5, 0, math.inf, -math.inf])
@given(case=reductions(min_side=1))
def test_norm(p: Any, case: Any) -> None:
    x, dim, keepdim = case
    if dim is None:
        keepdim = False
    elif p == "fro" and np.size(dim) > 2:
        p = 2  # PyTorch wants at most two axes for that name
    f = lambda t: mg.norm(t, p, dim, keepdim)  # noqa: E731
    if p == 0:
        t = torch.from_numpy(x.copy())
        same_values(f(mg.Tensor(x)), torch.norm(t, p, dim, keepdim))
        return
    # at 0 PyTorch's second derivative is NaN, ours 0
    agree(f, lambda t: torch.norm(t, p, dim, keepdim), x, second=bool(np.all(x != 0)))


INF, NAN = math.inf, math.nan
EDGES = [
    [0.0, 3.0, -3.0], [0.0, 0.0, 0.0], [1.0, 2.0, -3.0], [3.0, 3.0, -3.0], [-0.0], [7.0],
    [1e30, 1e30, 1.0], [1e-30, 1e-30, 1e-31], [1e-42, 1e-43, 0.0], [INF, 1.0, 2.0],
    [INF, -INF, 2.0], [NAN, 1.0, 0.0], [2.0, -2.0, 1.0, -1.0],
]  # fmt: skip


@pytest.mark.parametrize("p", [-INF, -3, -2, -1, -0.5, 0, 0.5, 1, 1.5, 2, 3, 4, INF, "fro"])
@pytest.mark.parametrize("values", EDGES, ids=str)
def test_norms_at_the_edges_are_what_pytorch_gets_in_double_precision(values: Any, p: Any) -> None:
    """Zeros, ties, NaN, infinities, and numbers whose powers float32 does not hold."""
    theirs = torch.tensor(values, dtype=torch.float32).double().requires_grad_()
    expected = torch.norm(theirs, p)
    if expected.requires_grad:
        expected.backward()
    grad = np.zeros(len(values)) if theirs.grad is None else theirs.grad.numpy()
    for dim in (None, 0):
        x = mg.tensor(values, requires_grad=True)
        y = mg.norm(x, p, dim)
        np.testing.assert_allclose(y.item(), expected.item(), rtol=1e-5, atol=2e-45)
        y.backward()
        found = np.zeros(len(values)) if x.grad is None else x.grad.numpy()
        rounded = 1e-3 if values[0] == 1e-42 else 1e-5  # a denormal norm has few digits
        np.testing.assert_allclose(found, grad, rtol=rounded, atol=1e-37)


@pytest.mark.parametrize("p", [1.5, 2, 2.5, 3])
def test_norm_at_zero_has_finite_derivatives(p: float) -> None:
    x = mg.zeros(3, dtype=mg.float64, requires_grad=True)
    (first,) = mg.autograd.grad(mg.norm(x, p), x, create_graph=True)
    assert first.tolist() == [0, 0, 0]
    (second,) = mg.autograd.grad(first.sum(), x)
    assert second.tolist() == [0, 0, 0]


@pytest.mark.parametrize("name", ["any", "all", "count_nonzero"])
@given(case=reductions())
def test_truth(name: str, case: Any) -> None:
    x, dim, keepdim = case
    f, g, t = getattr(mg, name), getattr(torch, name), torch.from_numpy(x.copy())
    if dim is None:
        same_values(f(mg.Tensor(x)), g(t))
    elif name == "count_nonzero":
        same_values(f(mg.Tensor(x), dim), g(t, dim))
    else:
        same_values(f(mg.Tensor(x), dim, keepdim), g(t, dim, keepdim))


# ---- dtypes ---------------------------------------------------------------------------------

DTYPES = ["bool", "uint8", "int8", "int16", "int32", "int64", "float16", "float32", "float64"]


@pytest.mark.parametrize("name", ["sum", "prod", "amax", "argmax", "count_nonzero", "cumsum"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_result_dtypes(name: str, dtype: str) -> None:
    if (name, dtype) == ("argmax", "bool"):
        pytest.skip("PyTorch has no argmax of booleans")
    values = np.array([[1, 0, 1], [1, 1, 1]]).astype(dtype)
    f, g = getattr(mg, name), getattr(torch, name)
    more = (1,) if name in ("amax", "cumsum") else ()
    same_values(f(mg.Tensor(values), *more), g(torch.from_numpy(values), *more))


@pytest.mark.parametrize("dtype", ["float64", "int64", "float16"])
@pytest.mark.parametrize("name", ["sum", "prod", "mean"])
def test_dtype_argument(name: str, dtype: str) -> None:
    values = np.array([1.5, 2.5], np.float32)
    f, g = getattr(mg, name), getattr(torch, name)
    if name == "mean" and dtype == "int64":
        with pytest.raises(DTypeError, match="mean: needs a floating tensor, this one is int64"):
            f(mg.Tensor(values), dtype=dtype)
        return
    theirs = g(torch.from_numpy(values), dtype=getattr(torch, dtype))
    same_values(f(mg.Tensor(values), dtype=dtype), theirs)


def test_half_precision_adds_up_in_float32() -> None:
    x = mg.Tensor(np.ones((5000, 2), np.float16))
    assert x.sum(0).tolist() == [5000, 5000]
    assert mg.cumsum(x, 0)[-1].tolist() == [5000, 5000]
    assert mg.mean(x * 60000, 0).tolist() == mg.Tensor(np.full(2, 60000, np.float16)).tolist()


def test_logsumexp_of_integers_and_infinities() -> None:
    same_values(mg.logsumexp(mg.tensor([1, 2]), 0), torch.logsumexp(torch.tensor([1, 2]), 0), 1e-6)
    for values in ([math.inf, 1.0], [-math.inf, -math.inf], [math.nan, 1.0], [1e4, 1e4]):
        a, b = np.array(values), torch.tensor(values, dtype=torch.float64)
        same_values(mg.logsumexp(mg.Tensor(a), 0), torch.logsumexp(b, 0))
    x = mg.tensor([-math.inf, -math.inf], requires_grad=True)
    mg.logsumexp(x, 0).backward()
    assert x.grad.tolist() == [0, 0]


def test_nan_wins() -> None:
    values = np.array([1.0, math.nan, 3.0])
    x, t = mg.Tensor(values), torch.from_numpy(values)
    for name in ("max", "amax", "amin", "median", "argmax", "argmin"):
        same_values(getattr(mg, name)(x), getattr(torch, name)(t))
    same_values(mg.max(x, 0), torch.max(t, 0))
    same_values(mg.median(x, 0), torch.median(t, 0))


def test_named_results() -> None:
    result = mg.max(mg.tensor([[1.0, 5.0], [7.0, 2.0]]), 1)
    assert result.values.tolist() == [5, 7]
    assert result.indices.tolist() == [1, 0]


def test_empty_mean_is_nan_without_warning() -> None:
    assert math.isnan(mg.zeros(0).mean().item())
    assert mg.zeros(2, 0).mean(1).shape == (2,)


# ---- errors ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: mg.sum(mg.zeros(2, 3), 3),
            ShapeError,
            "sum: dim 3 is out of range for a tensor with 2 dimensions; use -2 to 1",
        ),
        (
            lambda: mg.mean(mg.tensor(1.0), 1),
            ShapeError,
            "mean: dim 1 is out of range for a tensor with 0 dimensions; use -1 to 0",
        ),
        (
            lambda: mg.var(mg.zeros(2, 3), (0, -2)),
            ShapeError,
            "var: dim (0, -2) names an axis twice; name each of the 2 once",
        ),
        (lambda: mg.sum(mg.zeros(2), 0.5), DTypeError, "sum: dim must be an int, not float"),
        (
            lambda: mg.mean(mg.arange(3)),
            DTypeError,
            "mean: needs a floating tensor, this one is int64; convert it: x.float()",
        ),
        (
            lambda: mg.std(mg.tensor([True])),
            DTypeError,
            "std: needs a floating tensor, this one is bool; convert it: x.float()",
        ),
        (
            lambda: mg.max(mg.zeros(0)),
            ShapeError,
            "max: no value to choose from, the shape is (0,) and the reduced axes (0,) are empty; "
            "test x.numel() first",
        ),
        (
            lambda: mg.argmax(mg.zeros(2, 0), 1),
            ShapeError,
            "argmax: no value to choose from, the shape is (2, 0) and the reduced axes (1,) are "
            "empty; test x.numel() first",
        ),
        (
            lambda: mg.norm(mg.ones(2), "nuc"),
            OptionError,
            "norm: p is a number, inf or 'fro', not 'nuc'",
        ),
        (
            lambda: mg.sum([1, 2]),
            DTypeError,
            "sum: expected a Tensor, not list; wrap it: mg.tensor(…)",
        ),
    ],
)
def test_messages(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["max", "min", "median", "amax", "amin"])
def test_gradients_of_extremes_that_are_nan(name: str) -> None:
    """All NaNs share the gradient of `max`; along an axis the first one has it."""
    for dim in ((), (1,)):
        gradients = []
        for lib in (mg, torch):
            x = lib.tensor([[1.0, math.nan, 3.0, math.nan]], requires_grad=True)
            out = getattr(x, name)(*dim)
            out = out.values if dim and not name.startswith("a") else out
            out.sum().backward()
            gradients.append(x.grad.numpy())
        np.testing.assert_array_equal(*gradients)


@pytest.mark.parametrize("p", ["fro", 0, 0.5, 1, 2, 3])
def test_the_norm_of_nothing_is_0(p: float | str) -> None:
    x = mg.ones(0, 3, requires_grad=True)
    y = mg.norm(x, p=p)
    assert y.item() == 0.0
    assert mg.norm(x, p=p, dim=0).tolist() == [0.0] * 3
    assert mg.norm(x, p=p, dim=1).shape == (0,)
    if y.requires_grad:
        y.backward()
        assert x.grad is not None
        assert x.grad.shape == (0, 3)
    assert mg.nn.functional.normalize(mg.ones(3, 0)).shape == (3, 0)
