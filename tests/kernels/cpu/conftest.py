"""These tests need Numba; the first run compiles, later ones find the result on disk."""

from __future__ import annotations

import pytest

pytest.importorskip("numba")
