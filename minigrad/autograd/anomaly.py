"""Anomaly mode: stop at the first NaN, and say which line of the user's program made it."""

from __future__ import annotations

import os
import traceback
from typing import Any

from minigrad.errors import GraphError
from minigrad.tensor import Tensor

__all__ = ["check_gradients", "check_result"]

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


def check_result(node: Any, array: Any) -> None:
    """Record where `node` was called, and refuse a result with NaN."""
    node.trace = traceback.extract_stack()
    bad = _count_nan(array)
    if bad:
        raise GraphError(
            f"{node.name}: the result has {bad} NaN among {array.size} elements, made at "
            f"{_user_line(node)}"
        )


def check_gradients(node: Any, gradients: tuple[Any, ...]) -> None:
    """Refuse gradients with NaN."""
    for i, h in enumerate(gradients):
        bad = 0 if h is None else _count_nan(h.array if isinstance(h, Tensor) else h)
        if bad:
            raise GraphError(
                f"{node.name}: its backward made {bad} NaN in the gradient of input {i}; the "
                f"operation was called at {_user_line(node)}"
            )


def _count_nan(array: Any) -> int:
    return int((array != array).sum()) if array.dtype.kind in "fV" else 0


def _user_line(node: Any) -> str:
    """Return the source line outside minigrad that called `node`."""
    for frame in reversed(node.trace or []):
        if not frame.filename.startswith(_PACKAGE):
            return f"{frame.filename}:{frame.lineno}: {frame.line}"
    return "an unknown line (run the forward pass inside detect_anomaly too)"
