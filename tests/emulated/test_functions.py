"""Functions without a gradient, and integers, on the device give what they give on the CPU."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings

import minigrad as mg
from minigrad.nn import functional as F
from tests.emulated.test_laws import ROWS, few
from tests.laws.cases import Call, calls
from tests.laws.table import Row
from tests.laws.test_laws import convert, outputs

rng = np.random.default_rng(0)
X = rng.standard_normal((4, 5)).astype(np.float32)
I = rng.integers(0, 4, (4, 5))  # noqa: E741
B = rng.random((4, 5)) > 0.5

FUNCTIONS: dict[str, tuple[Callable[..., Any], list[Any]]] = {
    "all": (mg.all, [B]),
    "any": (lambda x: mg.any(x, dim=1), [B]),
    "argmax": (lambda x: mg.argmax(x, 1), [X]),
    "argmin": (lambda x: mg.argmin(x), [X]),
    "argsort": (lambda x: mg.argsort(x, 0, descending=True), [X]),
    "bincount": (mg.bincount, [I.reshape(-1)]),
    "bincount, weights": (mg.bincount, [I.reshape(-1), X.reshape(-1)]),
    "bool of a tensor": (lambda x: mg.tensor(bool(x.sum() > 0)), [X]),
    "clone, in-place": (lambda x: x.clone().add_(1.0).clamp_(0.0, 1.0), [X]),
    "comparison": (lambda x, y: (x < y) | (x == y), [X, X.T.copy().T]),
    "contains": (lambda x: mg.tensor(3 in x), [I]),
    "count_nonzero": (mg.count_nonzero, [I]),
    "cumsum": (lambda x: mg.cumsum(x, 0), [I]),
    "dtypes": (lambda x: x.double().half().float().long().bool(), [X]),
    "fill of a mask": (lambda x, m: mg.masked_fill(x, m, 7), [I, B]),
    "gather": (lambda x, i: mg.gather(x, 0, i), [X, I]),
    "index by lists": (lambda x: x[[0, 2], 1:], [X]),
    "index by masks": (lambda x, m: x[m], [X, B]),
    "index by tensors": (lambda x, i: x[i[:, 0], i[:, 1]], [X, I]),
    "isnan": (lambda x: mg.isnan(x / (x - x)), [X]),
    "item": (lambda x: mg.tensor(x[1, 2].item()), [X]),
    "logical": (lambda x, y: mg.logical_xor(x, ~y), [B, B.T.copy().T]),
    "masked_select": (mg.masked_select, [X, B]),
    "matmul": (lambda x, y: x @ y.T, [I, I]),
    "median": (mg.median, [X]),
    "nonzero": (mg.nonzero, [I]),
    "one_hot": (F.one_hot, [I]),
    "scatter": (lambda x, i: mg.scatter_add(x, 0, i, x), [X, I]),
    "scatter, bytes": (lambda x, i: mg.scatter_add(x, 0, i, x), [I.astype(np.uint8), I]),
    "searchsorted": (mg.searchsorted, [np.sort(X[0]), X]),
    "set by a mask": (lambda x, m: _set(x, m, 0.5), [X, B]),
    "set by a slice": (lambda x: _set(x, (slice(None), 1), 2), [I]),
    "sort": (lambda x: tuple(mg.sort(x, 1)), [X]),
    "take_along_dim": (lambda x, i: mg.take_along_dim(x, i, 1), [X, I]),
    "topk": (lambda x: tuple(mg.topk(x, 2)), [X]),
    "unique": (lambda x: mg.unique(x, return_inverse=True, return_counts=True), [I]),
    "where": (lambda m: mg.where(m, 1, 2), [B]),
    "where, places": (lambda m: mg.where(m), [B]),
}


def _set(x: Any, index: Any, value: Any) -> Any:
    y = x.clone()
    y[index] = value
    return y


def on(device: str, f: Callable[..., Any], arrays: list[Any]) -> list[Any]:
    found = outputs(f(*[mg.tensor(a, device=device) for a in arrays]))
    return [o.cpu().numpy() for o in found]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(cupy: Any, name: str) -> None:
    f, arrays = FUNCTIONS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        found, expected = on("cuda", f, arrays), on("cpu", f, arrays)
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        np.testing.assert_allclose(a, b, 1e-6)


@pytest.mark.parametrize("row", [r for r in ROWS if r.integers], ids=lambda r: r.name)
def test_integers(cupy: Any, row: Row) -> None:
    @settings(few, max_examples=3)
    @given(calls(row.build))
    def compare(drawn: Call) -> None:
        for dtype in (np.int64, np.uint8, np.bool_):
            whole = convert(drawn, lambda v, d=dtype: np.asarray(np.abs(v * 3)).astype(d))
            if any(type(a) in (int, float) and a < 0 for a in whole):
                continue  # no unsigned integer is negative; both refuse
            results = []
            for device in ("cuda", "cpu"):
                args = convert(Call(whole, {}), lambda v, d=device: mg.tensor(v, device=d))
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", RuntimeWarning)
                    try:
                        results.append(outputs(row.ours(*args, **drawn.options)))
                    except mg.errors.MinigradError as error:
                        results.append([type(error)])
            for a, b in zip(*results, strict=True):
                if isinstance(b, type):
                    assert a is b
                    continue
                assert (a.shape, a.dtype) == (b.shape, b.dtype)
                np.testing.assert_allclose(a.cpu().numpy(), b.numpy(), 1e-5)

    compare()


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (lambda x: x[mg.tensor([9])], mg.errors.RangeError),
        (lambda x: x[9], mg.errors.RangeError),
        (lambda x: mg.gather(x, 0, mg.tensor([[9]], device="cuda")), mg.errors.RangeError),
        (lambda x: mg.index_select(x, 0, mg.tensor([-1], device="cuda")), mg.errors.RangeError),
        (lambda x: F.one_hot(mg.tensor([5], device="cuda"), 3), mg.errors.ShapeError),
        (lambda x: x + mg.ones(3, 7, device="cuda"), mg.errors.ShapeError),
        (lambda x: x @ mg.ones(4, 5), mg.errors.ShapeError),
        (lambda x: x.reshape(7), mg.errors.ShapeError),
        (lambda x: x.expand(2, 4, 5).add_(1.0), mg.errors.GraphError),
        (lambda x: x.sum(3), mg.errors.RangeError),
        (lambda x: bool(x), mg.errors.ShapeError),
        (lambda x: x + mg.ones(4, 5), mg.errors.DeviceError),
    ],
)
def test_errors_are_those_of_the_cpu(cupy: Any, wrong: Any, error: type[Exception]) -> None:
    """CuPy itself would wrap an index around, or say nothing."""
    with pytest.raises(error):
        wrong(mg.tensor(X, device="cuda"))
