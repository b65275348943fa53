"""Version cells: how a change in place is noticed.

Every tensor has a cell ``[number of changes, live views]``, one for all tensors on the same
memory. A node records the numbers of what it saved; in backward they must be the same.
"""

from __future__ import annotations

import weakref
from typing import Any

from minigrad.errors import GraphError
from minigrad.modes import INFERENCE, current
from minigrad.tensor import Tensor

__all__ = ["InferenceVersion", "link_view", "versions_of"]


def versions_of(values: Any) -> list[tuple[list[Any], int]]:
    """Return the cells of the tensors among `values`, each with its number."""
    cells = [v._version for v in values if isinstance(v, Tensor)]
    return [(cell, cell[0]) for cell in cells]


class InferenceVersion(list[Any]):
    """The cell of a tensor born in inference mode: it can be read only there."""

    def __init__(self) -> None:
        super().__init__([0, None])

    def __getitem__(self, index: Any) -> Any:
        if current().flags & INFERENCE:
            return super().__getitem__(index)
        raise GraphError(
            "a tensor made in inference_mode cannot be saved for backward or changed in place; "
            "make a normal one with x.clone() outside inference_mode, or use no_grad instead"
        )


def link_view(step: Any, source: Tensor, result: Tensor) -> None:
    """Tie `result` to its base, if the operation `step` made it a view of `source`.

    They share a cell, and a change of one reaches the other.
    """
    owner = result.array.base
    if owner is None or not (owner is source.array or owner is source.array.base):
        return  # the operation had to copy
    cell = source._version
    if type(cell) is not list:  # an inference tensor: never recorded, needs no ties
        result._version = cell
        return
    base, steps = source._view or (source, ())
    result._view = (base, (*steps, step))
    result._version = cell
    if cell[1] is None:
        cell[1] = {}
    views, key = cell[1], id(result)
    views[key] = weakref.ref(result, lambda _: views.pop(key, None))
