"""The graph under construction: named values, weights, constants, and sizes known only at a run.

A model is traced at two sizes. A length that is the same in both is a constant. Another is known by
its two values, and in a run the graph asks the last tensor that had such a length: of the axes of
one tensor, no two grow alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minigrad.dtypes import DType
from minigrad.errors import GraphError, missing_extra
from minigrad.tensor import Tensor

try:
    import onnx_ir as ir
    from onnx_ir import Value
except ImportError:
    raise missing_extra("onnx-ir", "onnx") from None

__all__ = ["OPSET", "Graph", "Pair", "Value", "ir"]

OPSET = 20  # the first with Gelu
Pair = tuple[int, int]  # a length in the first trace and in the second


class Graph:
    """Values and the nodes that make them.

    Attributes
    ----------
    layer : str
        The layer whose operations are being added: the start of their names.
    nodes : list of onnx_ir.Node
    weights : dict of str to Value
        Initializers: parameters and buffers by their names in the model, other constants.
    """

    def __init__(self, names: Mapping[int, str], symbols: Mapping[Pair, str]) -> None:
        self.layer = ""
        self.nodes: list[ir.Node] = []
        self.weights: dict[str, Value] = {}
        self._names = names  # of parameters and buffers, by the address of their array
        self._symbols = symbols
        self._pairs: dict[Value, tuple[Pair, ...]] = {}
        self._lengths: dict[tuple[Value, int], Value] = {}
        self._constants: dict[tuple[Any, ...], Value] = {}
        self._taken: dict[str, int] = {}

    # ---- values ---------------------------------------------------------------------------------

    def node(
        self,
        kind: str,
        *inputs: Value | float | Sequence[int] | None,
        dtype: DType | None = None,
        **attributes: Any,
    ) -> Value:
        """Add a node of ONNX's operator `kind` and return its result.

        A number becomes a constant of the type of the first value, a list one of integers. The
        result has the type of the first value, or `dtype`.
        """
        first = next((value for value in inputs if isinstance(value, Value)), None)
        like = None if first is None else first.dtype
        name = self._unique(f"{self.layer}/{kind}" if self.layer else kind)
        result = ir.val(name, dtype=like if dtype is None else ir.DataType.from_numpy(dtype))
        operands = [self._operand(value, like) for value in inputs]
        node = ir.node(kind, operands, attributes, outputs=[result], name=name)
        self.nodes.append(node)
        return result

    def input(self, name: str, dtype: DType, pairs: Sequence[Pair]) -> Value:
        """Return a value that comes from outside."""
        value = self.declare(ir.val(name, dtype=ir.DataType.from_numpy(dtype)), pairs)
        return self.show(value)

    def weight(self, tensor: Tensor) -> Value:
        """Return a parameter or buffer under its name, or a constant that has none."""
        name = self._names.get(id(tensor.array))
        array = tensor.detach().cpu().array
        if name is None:
            return self.constant(array)
        if name not in self.weights:
            self._initializer(name, array)
        return self.weights[name]

    def constant(self, array: Any) -> Value:
        """Return a constant; equal ones are one."""
        array = np.asarray(array)
        key = (array.dtype, array.shape, array.tobytes())
        if key not in self._constants:
            name = f"constant/{len(self._constants)}"  # no parameter has a stroke
            self._constants[key] = self._initializer(name, array)
        return self._constants[key]

    def declare(self, value: Value, pairs: Sequence[Pair]) -> Value:
        """Say what shape a value has in the two traces."""
        self._pairs[value] = tuple(pairs)
        return value

    def show(self, value: Value) -> Value:
        """Write the shape of a value into the file, with names for the lengths of the inputs."""
        shape = [a if a == b else self._symbols.get((a, b)) for a, b in self._pairs[value]]
        value.shape = ir.Shape(shape)
        return value

    def pairs(self, value: Value) -> tuple[Pair, ...]:
        """Return the shape that was declared."""
        return self._pairs[value]

    def rank(self, value: Value) -> int:
        """Return the number of axes."""
        return len(self._pairs[value])

    def _operand(self, value: Any, like: Any) -> Value | None:
        if value is None or isinstance(value, Value):
            return value
        if isinstance(value, (list, tuple, range)):
            return self.constant(np.array(value, np.int64))
        return self.constant(np.array(value, like.numpy()))

    def _initializer(self, name: str, array: Any) -> Value:
        array = np.ascontiguousarray(array).reshape(array.shape)
        value = ir.val(name, const_value=ir.tensor(array, name=name))
        self.weights[name] = self.declare(value, [(n, n) for n in array.shape])
        return self.show(value)

    def _unique(self, name: str) -> str:
        count = self._taken[name] = self._taken.get(name, 0) + 1
        return name if count == 1 else f"{name}_{count}"

    # ---- sizes ----------------------------------------------------------------------------------

    def sizes(self, pairs: Sequence[Pair]) -> Value:
        """Return lengths as a vector of integers, computed in a run where they vary."""
        places = self._find({pair for pair in pairs if pair[0] != pair[1]})
        for pair in pairs:
            if pair[0] != pair[1] and pair not in places:
                raise _unknown(pair)
        return self._vector([places.get(pair, pair[0]) for pair in pairs])

    def reshape(self, x: Value, pairs: Sequence[Pair]) -> Value:
        """Return the elements of `x` under another shape.

        A length that stays is copied, one more is found from the others, the rest are looked up.
        """
        source = self._pairs[x]
        marks: list[Any] = [a for a, _ in pairs]
        for axis, pair in enumerate(pairs):
            if pair[0] != pair[1]:
                marks[axis] = 0 if pair in source[axis : axis + 1] else None
        free = [axis for axis, mark in enumerate(marks) if mark is None]
        if len(free) > 1:
            places = self._find({pairs[axis] for axis in free})
            lost = [axis for axis in free if pairs[axis] not in places]
            if len(lost) > 1:
                raise _unknown(pairs[lost[0]])
            free = lost or free[-1:]
            marks = [places.get(pairs[i], m) if m is None else m for i, m in enumerate(marks)]
        for axis in free:
            marks[axis] = -1
        return self.node("Reshape", x, self._vector(marks))

    def _find(self, wanted: set[Pair]) -> dict[Pair, tuple[Value, int]]:
        """Return a value and an axis for each pair: all of one value, the last, if one has them."""
        found: dict[Pair, tuple[Value, int]] = {}
        for value, pairs in reversed(self._pairs.items()):
            here = wanted.intersection(pairs)
            if here == wanted:
                found = {}
            for pair in here - found.keys():
                found[pair] = value, pairs.index(pair)
            if here == wanted:
                break
        return found

    def _vector(self, marks: Sequence[int | tuple[Value, int]]) -> Value:
        """Return integers, and lengths of values along an axis, as one vector."""
        if all(isinstance(mark, int) for mark in marks):
            return self.constant(np.array(marks, np.int64))
        parts = []
        for mark in marks:
            if isinstance(mark, int):
                parts.append(self.constant(np.array([mark], np.int64)))
                continue
            if mark not in self._lengths:
                value, axis = mark
                self._lengths[mark] = self.node(
                    "Shape", value, dtype=np.dtype(np.int64), start=axis, end=axis + 1
                )
            parts.append(self._lengths[mark])
        return parts[0] if len(parts) == 1 else self.node("Concat", *parts, axis=0)


def _unknown(pair: Pair) -> GraphError:
    return GraphError(
        f"a length that is {pair[0]} for one size of the input and {pair[1]} for another is that "
        "of no value before it; name the axes that may vary with dynamic=, or export for one size "
        "with dynamic=()"
    )
