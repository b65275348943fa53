"""Automatic differentiation: the graph, the backward pass, and what is built on them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from minigrad.autograd.engine import backward, grad
from minigrad.autograd.node import Function
from minigrad.modes import (
    detect_anomaly,
    enable_grad,
    inference_mode,
    is_grad_enabled,
    no_grad,
    set_grad_enabled,
)

if TYPE_CHECKING:
    from minigrad.autograd import functional as functional
    from minigrad.autograd.checking import gradcheck as gradcheck
    from minigrad.autograd.checking import gradgradcheck as gradgradcheck
    from minigrad.autograd.recompute import checkpoint as checkpoint

__all__ = [
    "Function",
    "backward",
    "checkpoint",
    "detect_anomaly",
    "enable_grad",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "is_grad_enabled",
    "no_grad",
    "set_grad_enabled",
]

# These stand above the operations in the layer order, which stand above this package: they are
# looked up on first use.
_LATE = {"checkpoint": "recompute", "gradcheck": "checking", "gradgradcheck": "checking"}


def __getattr__(name: str) -> Any:
    import importlib

    if name == "functional":
        return importlib.import_module("minigrad.autograd.functional")
    if name in _LATE:
        value = getattr(importlib.import_module(f"minigrad.autograd.{_LATE[name]}"), name)
        globals()[name] = value  # the function, not the module of the same name
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
