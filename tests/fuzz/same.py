"""Equality of states in type, structure and every bit."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.tensor import Tensor

__all__ = ["same"]


def same(a: Any, b: Any) -> bool:
    """Equal in type, structure and every bit; of NaNs, in being one."""
    if type(a) is not type(b):
        return False
    if isinstance(a, Tensor):
        return same(a.numpy(), b.numpy())
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b) or (a != a and b != b)
