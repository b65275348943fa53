"""`export`: trace a model at two sizes, say it in ONNX's words, write the file."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from minigrad import dtypes
from minigrad.autograd.tracing import From, Step, Trace, trace
from minigrad.errors import GraphError, MinigradError, OptionError, ShapeError
from minigrad.io import atomic_write
from minigrad.io.onnx_file import PRODUCER
from minigrad.modes import no_grad
from minigrad.nn import Module
from minigrad.nn.utils import evaluating
from minigrad.onnx.graph import OPSET, Graph, Pair, Value, ir
from minigrad.onnx.nodes import NODES, Operation
from minigrad.tensor import Tensor

__all__ = ["STEP_OF", "build", "export", "run"]

IR_VERSION = 10  # the format of the file: what runtimes of 2024 read
SMALL = 1024  # bytes; constants such as axes stay in the graph
LIMIT = 2_000_000_000  # bytes; a message of protobuf holds 2 GiB at most
SIDES = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}
STEP_OF = "minigrad.step"  # key of a node: the number of its result; of the file: how many
STRIDE = 32  # by which the sides of the second trace are longer, where the first allow it

Shape = tuple[int, ...]


def export(
    model: Module,
    path: str | Path,
    example: Tensor | tuple[Tensor, ...],
    *,
    dynamic: bool | Sequence[int] = True,
) -> None:
    """Write a model as an ONNX file that takes any batch and any size of image.

    The model is run twice in evaluation mode, on inputs of two sizes, and the operations that it
    ran are written in their order. So what depends on the *values* of an input (an ``if``, a loop)
    is fixed as it went, and the graph is right for the sizes that go the same way.

    Parameters
    ----------
    model : Module
        Any model that is made of our operations. Its mode is as before afterwards.
    path : path
        The file. Above 2 GB the weights are in a second file, `path` with ``.data`` at its end.
    example : Tensor or tuple of Tensor
        An input, or all of them, as `model` takes them. Small images suffice.
    dynamic : bool or sequence of int, default True
        The axes that vary: True means the first and all from the third on, ``(0,)`` the batch
        alone, False or ``()`` none.

    Raises
    ------
    GraphError
        If ONNX cannot say an operation; it and its layer are named.
    DataError
        If the file cannot be written.
    MissingExtra
        If onnx-ir is not installed.

    Notes
    -----
    Parameters keep their names, so `load_weights` reads them back. Equal models give equal bytes.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import minigrad as mg
    >>> path = pathlib.Path(tempfile.mkdtemp(), "layer.onnx")
    >>> mg.onnx.export(mg.nn.Linear(3, 2), path, mg.ones(1, 3))
    >>> sorted(mg.onnx.load_weights(path))
    ['bias', 'weight']
    """
    write(build(model, example, dynamic), Path(path))


def write(model: Any, path: Path) -> None:
    """Write a graph, its weights in a second file where they are too large for one.

    The weights are written first, so that no graph names weights that are not there.
    """
    weights = model.graph.initializers.values()
    if sum(value.const_value.nbytes for value in weights) > LIMIT:
        data = path.with_name(path.name + ".data")
        with atomic_write(data) as file:
            for value in weights:
                if value.const_value.nbytes > SMALL:
                    value.const_value = _moved(value.const_value, file, data)
    with atomic_write(path) as file:
        file.write(ir.to_proto(model).SerializeToString(deterministic=True))


def _moved(tensor: Any, file: Any, data: Path) -> Any:
    """Append the bytes of a tensor to a file and return its place there."""
    offset = file.tell()
    file.write(tensor.tobytes())
    return ir.ExternalTensor(
        data.name, offset, tensor.nbytes, tensor.dtype, shape=tensor.shape, name=tensor.name
    )


# ---- two traces ---------------------------------------------------------------------------------


def run(
    model: Module, inputs: tuple[Tensor, ...], keep: bool = False
) -> tuple[dict[str, Tensor], Trace]:
    """Trace a model in evaluation mode; return its outputs by name, and the trace."""
    path: list[str] = []
    handles = []

    def call(found: Trace) -> Any:
        def enter(name: str) -> None:
            path.append(name)
            found.layer = name

        def leave() -> None:
            path.pop()
            found.layer = path[-1] if path else ""

        for name, module in model.named_modules():
            handles.append(module.register_forward_pre_hook(lambda m, args, name=name: enter(name)))
            handles.append(module.register_forward_hook(lambda m, args, out: leave()))
        return no_grad().run(model, *inputs)

    try:
        with evaluating(model):
            output, found = trace(call, inputs, keep)
    finally:
        for handle in handles:
            handle.remove()
    named = list(_named(output))
    if len(outputs := dict(named)) < len(named):
        names = ", ".join(name for name, _ in named)
        raise GraphError(f"export: outputs need names of their own, not {names}")
    return outputs, found


def _named(output: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors in what a model returns, by name."""
    if isinstance(output, Tensor):
        yield name or "output", output
    elif isinstance(output, Mapping):
        for key, value in output.items():
            yield from _named(value, f"{name}_{key}" if name else str(key))
    elif isinstance(output, (tuple, list)):
        for number, value in enumerate(output):
            yield from _named(value, f"{name or 'output'}_{number}")
    elif output is not None:
        raise GraphError(
            f"export: the model returns a {type(output).__name__}; tensors, or tuples, lists and "
            "dicts of them can be outputs of a graph"
        )


def build(
    model: Module, example: Tensor | tuple[Tensor, ...], dynamic: bool | Sequence[int] = True
) -> Any:
    """Return a model as a graph, which says of its values which step of the trace they are."""
    if not isinstance(model, Module):
        raise OptionError(f"export: model is a Module, not {type(model).__name__}")
    examples = example if isinstance(example, tuple) else (example,)
    for tensor in examples:
        if not isinstance(tensor, Tensor):
            raise OptionError(
                f"export: example is a Tensor or a tuple of them, not {type(tensor).__name__}"
            )
    listed = isinstance(dynamic, (tuple, list)) and all(type(axis) is int for axis in dynamic)
    if not listed and not isinstance(dynamic, bool):
        raise OptionError(f"export: dynamic is True, False or a tuple of axes, not {dynamic!r:.80}")
    shapes = [_shapes(tensor.shape, dynamic) for tensor in examples]
    first, second = (
        tuple(_like(tensor, pair[i], i) for tensor, pair in zip(examples, shapes, strict=True))
        for i in (0, 1)
    )
    try:
        outputs, one = run(model, first)
        others, two = run(model, second)
    except MinigradError:
        run(model, examples)  # a wrong example is refused for the shape that it has
        raise
    if len(one.steps) != len(two.steps) or outputs.keys() != others.keys():
        raise GraphError(
            f"export: the model runs {len(one.steps)} operations on inputs of shape "
            f"{_shown(first)} and {len(two.steps)} on {_shown(second)}, so no one graph serves "
            "both; choose an example whose sides its strides divide, or export for one size with "
            "dynamic=()"
        )
    graph = Graph(_names(model), _symbols(shapes))
    inputs = [
        graph.input(name, tensor.dtype, list(zip(*pair, strict=True)))
        for name, tensor, pair in zip(_input_names(len(examples)), first, shapes, strict=True)
    ]
    values = {~number: value for number, value in enumerate(inputs)}
    for number, (a, b) in enumerate(zip(one.steps, two.steps, strict=True)):
        values[number] = _add(graph, values, a, b)
        if (node := values[number].producer()) is not None:
            node.metadata_props[STEP_OF] = str(number)
    results = _results(graph, values, (one, outputs), (two, others))
    whole = _model(graph, inputs, results)
    whole.metadata_props[STEP_OF] = str(len(one.steps))
    return whole


def _shapes(shape: Shape, dynamic: bool | Sequence[int]) -> tuple[Shape, Shape]:
    """Return the shapes of an input in the two traces.

    The batch shrinks and the sides grow, no two in the same proportion: so a length that comes from
    one of them, such as half a side, is in one trace at least not that of another.
    """
    rank = len(shape)
    images = tuple(axis for axis in range(rank) if axis != 1)
    axes = images if dynamic is True else tuple(dynamic or ())
    if not all(-rank <= axis < rank for axis in axes):
        raise ShapeError(f"export: dynamic={axes} names an axis that {shape} does not have")
    axes = tuple(axis % rank for axis in axes)
    one, two = list(shape), list(shape)
    taken: list[Pair] = []  # side, rate
    for axis in sorted(axes):
        if axis == 0:
            two[0] = max(shape[0], 2)
            one[0] = two[0] + 1
            continue
        rate = 1
        while any(shape[axis] * r == side * rate for side, r in taken):
            rate += 1
        taken.append((shape[axis], rate))
        two[axis] += rate * math.gcd(shape[axis], STRIDE)
    return tuple(one), tuple(two)


def _like(example: Tensor, shape: Shape, which: int) -> Tensor:
    """Return an input of a shape: random numbers, or the example's integers in another order."""
    if dtypes.is_floating(example.dtype):
        values: Any = np.random.default_rng(which).standard_normal(shape).astype(example.dtype)
    else:
        given = example.detach().cpu().array.ravel()
        values = np.resize(given[::-1] if which else given, shape)
    return Tensor(values).to(example.device)


def _shown(inputs: tuple[Tensor, ...]) -> str:
    return ", ".join(str(tensor.shape) for tensor in inputs)


def _input_names(count: int) -> list[str]:
    return ["input"] if count == 1 else [f"input_{i}" for i in range(count)]


def _symbols(shapes: list[tuple[Shape, Shape]]) -> dict[Pair, str]:
    """Name the lengths that vary: batch, height, width …; the first input names them."""
    found: dict[Pair, str] = {}
    for one, two in shapes:
        sides = SIDES.get(len(one) - 2, tuple(f"side_{i}" for i in range(2, len(one))))
        for name, pair in zip(
            ("batch", "channels", *sides), zip(one, two, strict=True), strict=False
        ):
            if pair[0] != pair[1] and pair not in found:
                found[pair] = name if name not in found.values() else f"{name}_{len(found)}"
    return found


def _names(model: Module) -> dict[int, str]:
    """Return the names of what `model.state_dict` has, by the address of its array."""
    kept = model.state_dict().keys()
    named = [*model.named_parameters(), *model.named_buffers()]
    return {id(tensor.array): name for name, tensor in reversed(named) if name in kept}


# ---- one graph ----------------------------------------------------------------------------------


def _add(graph: Graph, values: dict[int, Value], a: Step, b: Step) -> Value:
    """Add an operation to the graph; errors name it and its layer."""
    graph.layer = a.layer
    try:
        if type(a.node) is not type(b.node) or len(a.inputs) != len(b.inputs):
            raise GraphError(f"for another size of the input it is {b.node.name}")
        operands = [
            _value(graph, values, p, q, a.dtype) for p, q in zip(a.inputs, b.inputs, strict=True)
        ]
        row = NODES.get(type(a.node))
        if row is None:
            raise GraphError("ONNX has no such operation, or this export does not know it")
        value = row(graph, operation := Operation(a, b), *operands)
    except MinigradError as error:
        where = f"in layer {a.layer}" if a.layer else "outside any layer"
        raise GraphError(f"export: {a.node.name}, {where}: {error}") from None
    if value in operands:
        return value
    value.dtype = ir.DataType.from_numpy(a.dtype)
    return graph.declare(value, operation.pairs)


def _value(graph: Graph, values: dict[int, Value], a: Any, b: Any, dtype: Any) -> Value | None:
    """Return the value of an operand, which is the same in both traces."""
    if isinstance(a, From) or isinstance(b, From):
        if a != b:
            raise GraphError("for another size of the input it works on other values")
        return values[a.step]
    if not isinstance(a, Tensor):
        if a != b and not (a != a and b != b):
            raise GraphError(
                f"it works with {a} for one size of the input and {b} for another; export for one "
                "size with dynamic=()"
            )
        return a if a is None else graph.constant(np.array(a, dtype))
    if a.array is not b.array and not _equal(a, b):
        raise GraphError(
            f"an operand of shape {a.shape} depends on the input, but was made by what leaves no "
            "trace (a comparison, a conversion to integers, NumPy, random numbers); pass it to the "
            "model as an input"
        )
    return graph.weight(a)


def _results(
    graph: Graph, values: dict[int, Value], *traced: tuple[Trace, dict[str, Tensor]]
) -> list[Value]:
    """Return the outputs under their names; what has a name already is passed on."""
    graph.layer = ""
    (one, outputs), (two, others) = traced
    results: list[Value] = []
    for name, tensor in outputs.items():
        source, other = one.source(tensor), two.source(others[name])
        value: Any = _value(graph, values, source, other, tensor.dtype)
        if value.producer() is None or value in results:
            value = graph.declare(graph.node("Identity", value), graph.pairs(value))
        value.name = name
        results.append(graph.show(value))
    taken = {*graph.weights, *(value.name for i, value in values.items() if i < 0)}
    if both := taken.intersection(outputs):
        raise GraphError(
            f"export: an output and a weight or an input are both named {min(both)!r}; rename one"
        )
    return results


def _equal(a: Tensor, b: Any) -> bool:
    if not isinstance(b, Tensor) or a.shape != b.shape or a.dtype != b.dtype:
        return False
    p, q = a.detach().cpu().array, b.detach().cpu().array
    return bool(((p == q) | ((p != p) & (q != q))).all())


def _model(graph: Graph, inputs: list[Value], outputs: list[Value]) -> Any:
    """Return the whole, without what no output needs."""
    needed = {id(value) for value in outputs}
    nodes = []
    for node in reversed(graph.nodes):
        if any(id(value) in needed for value in node.outputs):
            nodes.append(node)
            needed |= {id(value) for value in node.inputs if value is not None}
    weights = [value for value in graph.weights.values() if id(value) in needed]
    whole = ir.Graph(
        inputs,
        outputs,
        nodes=nodes[::-1],
        initializers=weights,
        opset_imports={"": OPSET},
        name="minigrad",
    )
    return ir.Model(whole, ir_version=IR_VERSION, producer_name=PRODUCER)
