"""These tests need Numba; the first run compiles, later ones find the result on disk."""

from __future__ import annotations

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("numba") else ["test_*.py"]
