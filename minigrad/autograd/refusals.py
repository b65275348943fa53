"""What the graph says when it refuses: the errors of recording and of the walk, worded."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad import backend
from minigrad.errors import DeviceError, DTypeError, GraphError, MinigradError, ShapeError

__all__ = ["changed", "check_fit", "explain", "serves_once", "spent"]


def explain(node: Any, arrays: list[Any], error: Exception) -> Exception:
    """Turn NumPy's complaint into one that names the operation, the shapes and the fix."""
    if isinstance(error, MinigradError):
        return error
    known = [a for a in arrays if hasattr(a, "shape") and hasattr(a, "dtype")]
    devices = {str(backend.device_of(a)) for a in known if not isinstance(a, np.generic)}
    if len(devices) > 1:
        return DeviceError(
            f"{node.name}: the tensors are on different devices ({', '.join(sorted(devices))}); "
            "move them to one with x.to(device)"
        )
    shapes = " and ".join(str(a.shape) for a in known)
    if "broadcast" in str(error):
        return ShapeError(
            f"{node.name}: shapes {shapes} do not broadcast; aligned from the right, two lengths "
            "must be equal or one of them 1"
        )
    kind = DTypeError if isinstance(error, TypeError) else ShapeError
    return kind(f"{node.name}: {error} (inputs of shape {shapes})")


def serves_once(node: Any) -> GraphError:
    """Return the error for the second call of a node."""
    kind = type(node).__name__
    return GraphError(
        f"{node.name}: this {kind} object is a node of a graph already; make one for every call: "
        f"{kind}(…)(x)"
    )


def spent(node: Any) -> GraphError:
    """Return the error for a node whose saved values are gone."""
    return GraphError(
        f"{node.name}: a second backward through this operation, whose saved values were "
        "freed by the first; pass retain_graph=True to the first backward"
    )


def changed(node: Any, cell: list[Any], version: int) -> GraphError:
    """Return the error for a saved tensor whose version `cell` is no longer at `version`."""
    of_tensors = (v.shape for v in node.saved if getattr(v, "_version", None) is cell)
    shape = next(of_tensors, node.out_shape if node.saves_output else None)
    what = "an index" if shape is None else f"a tensor of shape {shape}"
    return GraphError(
        f"{node.name}: {what} that its backward needs was changed in place "
        f"(version {cell[0]}, expected {version}); use the out-of-place method, or clone() it "
        "before"
    )


def check_fit(node: Any, parent: Any, h: Any) -> None:
    """Refuse a gradient `h` that `node` returned and that is not like the result of `parent`."""
    if h.shape != parent.out_shape or h.dtype != parent.out_dtype:
        raise GraphError(
            f"{node.name}: its backward returned a {h.dtype} gradient of shape {h.shape} for an "
            f"input that is {parent.out_dtype} of shape {parent.out_shape}; a gradient has the "
            "shape and dtype of its input (see sum_to for broadcast inputs)"
        )
