"""A trace: the operations that one call of a function ran, in their order, and what fed what.

While a function is traced, every operation on tensors notes itself (`minigrad.autograd.node.watch`
asks for one flag more). Values are let go as soon as the function lets them go: what is kept is
their shape and the number of the step they came from.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, NamedTuple

from minigrad.dtypes import DType
from minigrad.errors import GraphError
from minigrad.modes import TRACE, ModeBlock, Modes
from minigrad.tensor import Tensor

__all__ = ["From", "Step", "Trace", "note", "trace"]


class From(NamedTuple):
    """An input that is the result of a step; a negative one is input ``~step`` of the function."""

    step: int


class Step(NamedTuple):
    """One operation of a trace.

    Attributes
    ----------
    node : Function
        The operation, with its options.
    inputs : tuple
        `From` where it is a result or an input of the function; any other (a parameter, a number,
        None) as it came.
    shape, dtype
        Of the result.
    layer : str
        Where the function was, if it says so: `Trace.layer`.
    result : array or None
        The value itself, if the trace keeps values.
    """

    node: Any
    inputs: tuple[Any, ...]
    shape: tuple[int, ...]
    dtype: DType
    layer: str
    result: Any


class Trace:
    """What was noted.

    Attributes
    ----------
    steps : list of Step
    layer : str
        Where the function is now; whoever knows it sets it.
    """

    def __init__(self, inputs: tuple[Tensor, ...], keep: bool) -> None:
        self.steps: list[Step] = []
        self.layer = ""
        self._keep = keep
        self._inputs = inputs  # alive, so that their places stay theirs
        self._places: dict[int, int] = {}
        self._cells: dict[int, tuple[list[Any], int]] = {}
        for number, tensor in enumerate(inputs):
            self._place(tensor, ~number)

    def source(self, value: Any) -> Any:
        """Return where a value comes from: `From`, or the value itself where it is no result."""
        place = self._places.get(id(value.array)) if isinstance(value, Tensor) else None
        if place is None:
            return value
        cell, version = self._cells[place]
        if cell[0] != version:
            made = self.steps[place].node.name if place >= 0 else "input"
            raise GraphError(
                f"trace: the result of {made} was changed in place afterwards, which a graph of "
                "values cannot say; use the out-of-place operation"
            )
        return From(place)

    def note(self, node: Any, inputs: tuple[Any, ...], result: Tensor) -> None:
        """Add a step."""
        kept = result.array.copy() if self._keep else None
        sources = tuple([self.source(value) for value in inputs])
        array = result.array
        self.steps.append(Step(node, sources, array.shape, array.dtype, self.layer, kept))
        self._place(result, len(self.steps) - 1)

    def _place(self, tensor: Tensor, number: int) -> None:
        # An address is somebody else's once its array is gone.
        key = id(tensor.array)
        self._places[key] = number
        self._cells[number] = (tensor._version, tensor._version[0])
        weakref.finalize(tensor.array, self._forget, key, number).atexit = False

    def _forget(self, key: int, number: int) -> None:
        if self._places.get(key) == number:
            del self._places[key]


_trace: ContextVar[Trace | None] = ContextVar("minigrad.trace", default=None)


class _Tracing(ModeBlock):
    def _inside(self, modes: Modes) -> Modes:
        return Modes(modes.flags | TRACE, modes.autocast, self, modes)


def note(node: Any, inputs: tuple[Any, ...], result: Tensor) -> None:
    """Note an operation in the trace that is under way."""
    found = _trace.get()
    if found is not None:
        found.note(node, inputs, result)


def trace(
    function: Callable[[Trace], Any], inputs: tuple[Tensor, ...], keep: bool = False
) -> tuple[Any, Trace]:
    """Call ``function(trace)``, whose tensors come from `inputs`; return its result and the trace.

    Parameters
    ----------
    function : callable
        It gets the trace to tell it the layer.
    inputs : tuple of Tensor
        What its results depend on; all else is constant.
    keep : bool, default False
        Keep a copy of every result.

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.ones(2)
    >>> y, found = trace(lambda _: (x * 2).exp(), (x,))
    >>> [step.node.name for step in found.steps], found.source(y)
    (['mul', 'exp'], From(step=1))
    """
    found = Trace(inputs, keep)
    token = _trace.set(found)
    try:
        return _Tracing().run(function, found), found
    finally:
        _trace.reset(token)
