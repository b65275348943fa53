"""Settings for the whole test suite."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

# Workers inherit this before they load NumPy: with one process per core, BLAS needs one thread.
if "numpy" not in sys.modules:
    for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ.setdefault(variable, "1")


@pytest.fixture(scope="session")
def repo() -> Path:
    """Return the root of the repository."""
    return Path(__file__).resolve().parents[1]
