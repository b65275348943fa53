"""What is asked of operations that a user writes: ours keep these rules, as the laws check."""

from __future__ import annotations

from typing import Any

from minigrad import backend, dtypes
from minigrad.errors import GraphError
from minigrad.tensor import Tensor

__all__ = ["checked_gradients", "checked_result"]


def checked_result(node: Any, out: Any, arrays: list[Any]) -> Any:
    """Return what `forward` made of `arrays`: one array, on memory of its own unless a view."""
    if isinstance(out, Tensor) or not (hasattr(out, "dtype") and hasattr(out, "strides")):
        raise GraphError(
            f"{node.name}: forward gets arrays and must return one array, not {type(out).__name__}"
        )
    if not node.view:
        xp, kind = backend.get_xp(out), type(out)
        if any(isinstance(a, kind) and xp.may_share_memory(out, a) for a in arrays):
            return out.copy()  # a change of one would go unnoticed in the other
    return out


def checked_gradients(node: Any, gradients: tuple[Any, ...], create_graph: bool) -> tuple[Any, ...]:
    """Return what `backward` made: one gradient per input, floats in the dtype of the input."""
    if len(gradients) != len(node.next):
        raise GraphError(
            f"{node.name}: its backward returned {len(gradients)} gradients for "
            f"{len(node.next)} inputs; return None for an input that gets none"
        )
    return tuple(
        [
            None if parent is None or h is None else _fitted(node, parent, h, create_graph)
            for parent, h in zip(node.next, gradients, strict=True)
        ]
    )


def _fitted(node: Any, parent: Any, h: Any, create_graph: bool) -> Any:
    if isinstance(h, Tensor) and not create_graph:
        h = h.array
    if h.dtype != parent.out_dtype and dtypes.is_floating(h.dtype):
        h = h.astype(parent.out_dtype)
    return h
