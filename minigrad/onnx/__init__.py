"""ONNX: a model as a graph that other runtimes run, and its weights back from the file.

The extra ``onnx`` brings what this needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from minigrad.onnx.exporting import export as export
    from minigrad.onnx.verifying import Comparison as Comparison
    from minigrad.onnx.verifying import verify as verify
    from minigrad.onnx.weights import load_weights as load_weights

__all__ = ["Comparison", "export", "load_weights", "verify"]

# Looked up on first use, as they need the extra.
_LATE = {
    "Comparison": "verifying",
    "export": "exporting",
    "load_weights": "weights",
    "verify": "verifying",
}


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> Any:
    import importlib

    if name in _LATE:
        return getattr(importlib.import_module(f"minigrad.onnx.{_LATE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
