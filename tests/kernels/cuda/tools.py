"""How a CUDA kernel is held against its formula."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

import minigrad as mg
from minigrad import kernels
from minigrad.backend import use_kernels
from minigrad.kernels import is_compiled, pick
from tests.emulated.shim.program import Program

DTYPES = ["float32", "float16", "bfloat16", "float64"]
ORDERS = [0, 1, 7]  # ascending, descending, shuffled
TOLERANCE = {"float64": 1e-12, "float32": 4e-6, "float16": 2e-3, "bfloat16": 1.6e-2}


def dtype_of(name: str) -> np.dtype[Any]:
    return mg.bfloat16 if name == "bfloat16" else np.dtype(name)


def formula(name: str) -> Callable[..., Any]:
    """Return the formula of a kernel on NumPy arrays, never a compiled version."""
    with use_kernels("reference"):
        return kernels._plain(name, np)


def assert_formula(
    cupy: Any, name: str, args: Sequence[Any], dtype: str = "float32", tolerance: float = 1.0
) -> None:
    """Compare a kernel with its formula in float64, and its results under several thread orders.

    Floating arrays among `args` are rounded to `dtype` first. Results must differ by no more than
    `tolerance` times the rounding of `dtype`, relative to the largest value of each.
    """
    rounded = _map(lambda a: a.astype(dtype_of(dtype)) if _floating(a) else a, args)
    expected = formula(name)(*_map(lambda a: a.astype(np.float64) if _floating(a) else a, rounded))
    first = None
    for order in ORDERS:
        device = _map(lambda a: upload(cupy, a), rounded)
        assert is_compiled(name, cupy.empty(1)), f"there is no CUDA version of {name}"
        kernel = pick(name, cupy.empty(1))
        before, Program.order = Program.order, order
        try:
            got = kernel(*device)
        finally:
            Program.order = before
        assert_close(got, expected, TOLERANCE[dtype] * tolerance, dtype)
        first = got if first is None else first
        assert_same(got, first)


def assert_close(got: Any, expected: Any, tolerance: float, dtype: str) -> None:
    if isinstance(expected, tuple):
        assert len(got) == len(expected)
        for g, e in zip(got, expected, strict=True):
            assert_close(g, e, tolerance, dtype)
        return
    if expected is None:
        assert got is None
        return
    values = got.get()
    assert values.dtype == dtype_of(dtype)
    assert values.shape == expected.shape
    finite = np.abs(expected[np.isfinite(expected)])
    scale = max(finite.max(initial=0.0), 1e-3)
    with np.errstate(invalid="ignore"):
        np.testing.assert_allclose(
            values.astype(np.float64), expected, rtol=tolerance, atol=tolerance * scale
        )


def assert_same(got: Any, first: Any) -> None:
    """Every bit."""
    if isinstance(got, tuple):
        for g, f in zip(got, first, strict=True):
            assert_same(g, f)
    elif got is not None:
        assert got.get().tobytes() == first.get().tobytes()


def _floating(a: Any) -> bool:
    return isinstance(a, np.ndarray) and a.dtype.kind in "fV"


def upload(cupy: Any, a: Any) -> Any:
    return cupy.asarray(a) if isinstance(a, np.ndarray) else a


def _map(f: Any, args: Sequence[Any]) -> list[Any]:
    """Apply f to every argument, and within a group of parameters to each of them."""
    return [type(a)(*_map(f, a)) if hasattr(a, "_fields") else f(a) for a in args]
