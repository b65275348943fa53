"""The device of these tests: a stand-in for CuPy; with MINIGRAD_TEST_DEVICE=cuda a real GPU."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from minigrad import backend, kernels
from tests.emulated.fake_cupy import counting
from tests.emulated.shim.program import compiler

__all__ = ["REAL", "SLACK", "counting", "cupy"]

REAL = os.environ.get("MINIGRAD_TEST_DEVICE", "").startswith("cuda")
SLACK = 10.0 if REAL else 1.0  # a card adds in another order than NumPy does; the stand-in is NumPy


@pytest.fixture
def cupy(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Return CuPy: the stand-in takes its place for the length of a test."""
    if REAL:
        yield pytest.importorskip("cupy")
        return
    from tests.emulated.fake_cupy import cupy

    for name, module in (("cupy", cupy), ("cupy.cuda", cupy.cuda)):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(backend, "_tf32", [None])
    if compiler() is None:  # nothing can run the .cu files: the formulas do their work
        monkeypatch.setattr(kernels, "_COMPILED", {"numpy": "cpu"})
    yield cupy
    backend._namespaces.pop(cupy.ndarray, None)
    for key in [key for key in backend.kernel_cache if key[1] is cupy.ndarray]:
        del backend.kernel_cache[key]
