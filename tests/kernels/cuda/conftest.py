"""The device of these tests: the stand-in for CuPy, whose kernels g++ compiles; or a real GPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minigrad import backend
from tests.emulated.conftest import REAL
from tests.emulated.conftest import cupy as stand_in
from tests.emulated.shim.program import compiler

__all__ = ["stand_in"]


@pytest.fixture
def cupy(stand_in: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return CuPy with new arrays full of NaN, so that what a kernel leaves out is seen."""
    if not REAL and compiler() is None:
        pytest.skip("the emulated GPU needs g++, which is not installed")
    backend._cupy()  # makes its arrays known
    real = stand_in.empty

    def empty(*args: Any, **kwargs: Any) -> Any:
        out = real(*args, **kwargs)
        out.fill(np.nan if out.dtype.kind in "fV" else 0)
        return out

    monkeypatch.setattr(stand_in, "empty", empty)
    return stand_in


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
