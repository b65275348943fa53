"""The device of these tests: the stand-in for CuPy, whose kernels g++ compiles."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minigrad import backend
from tests.emulated.conftest import cupy as cupy
from tests.emulated.shim.program import compiler

pytest.importorskip("ml_dtypes", reason="the emulated GPU needs the ml_dtypes package")


@pytest.fixture(autouse=True)
def _needs_a_compiler() -> None:
    if compiler() is None:
        pytest.skip("the emulated GPU needs g++, which is not installed")


@pytest.fixture(autouse=True)
def _poisoned_memory(cupy: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fill new arrays with NaN, so that what a kernel leaves out is seen."""
    backend._cupy()  # makes its arrays known
    real = cupy.empty

    def empty(*args: Any, **kwargs: Any) -> Any:
        out = real(*args, **kwargs)
        out.fill(np.nan if out.dtype.kind in "fV" else 0)
        return out

    monkeypatch.setattr(cupy, "empty", empty)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
