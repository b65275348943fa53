"""`verify`: what another runtime makes of an exported file, layer by layer."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.autograd.tracing import Step
from minigrad.backend import to_device
from minigrad.errors import DataError, MissingExtra
from minigrad.nn import Module
from minigrad.onnx.exporting import STEP_OF, run
from minigrad.onnx.graph import ir
from minigrad.onnx.weights import read
from minigrad.showing import table
from minigrad.tensor import Tensor

__all__ = ["Comparison", "Row", "verify"]

HEAD = ("Layer", "Operation", "Shape", "Difference", "of at most")


@dataclass(frozen=True)
class Row:
    """The last value of a layer: the largest difference, and the largest value."""

    layer: str
    operation: str
    shape: tuple[int, ...]
    difference: float
    largest: float


@dataclass(frozen=True)
class Comparison:
    """What `verify` finds; print it.

    Attributes
    ----------
    rows : list of Row
        In the order of the run; the outputs come last.
    worst : float
        The largest difference of an output.
    """

    rows: list[Row]
    worst: float

    def _cells(self) -> list[tuple[str, ...]]:
        return [
            (row.layer, row.operation, " × ".join(map(str, row.shape)),
             f"{row.difference:.1e}", f"{row.largest:.3g}")
            for row in self.rows
        ]  # fmt: skip

    def _end(self) -> str:
        return f"the outputs differ by {self.worst:.1e} at most"

    def _repr_html_(self) -> str:
        """Return the table that notebooks show."""
        return table(self._cells(), HEAD, self._end(), words=3)

    def __str__(self) -> str:
        cells = [HEAD, *self._cells()]
        widths = [max(len(line[i]) for line in cells) for i in range(len(HEAD))]
        lines = [
            "  ".join(
                cell.ljust(width) if i < 3 else cell.rjust(width)
                for i, (cell, width) in enumerate(zip(line, widths, strict=True))
            )
            for line in cells
        ]
        rule = "─" * len(lines[0])
        return "\n".join([lines[0], rule, *lines[1:], rule, self._end()])


def verify(model: Module, path: str | Path, example: Tensor | tuple[Tensor, ...]) -> Comparison:
    """Run an exported file with onnxruntime and compare every layer with ours.

    Parameters
    ----------
    model : Module
        The model that was exported to `path`.
    path : path
        The file.
    example : Tensor or tuple of Tensor
        The input of the comparison; its size may be another than that of the export.

    Returns
    -------
    Comparison

    Raises
    ------
    DataError
        If the file holds another model, or onnxruntime does not run it.
    MissingExtra
        If onnxruntime is not installed.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> import minigrad as mg
    >>> path = pathlib.Path(tempfile.mkdtemp(), "layer.onnx")
    >>> model = mg.nn.Sequential(mg.nn.Linear(3, 2), mg.nn.ReLU())
    >>> mg.onnx.export(model, path, mg.ones(1, 3))
    >>> mg.onnx.verify(model, path, mg.randn(4, 3)).worst < 1e-6
    True
    """
    onnxruntime = _runtime()
    inputs = example if isinstance(example, tuple) else (example,)
    outputs, trace = run(model, inputs, keep=True)
    file = read(path)
    ends = [i for i, step in enumerate(trace.steps) if _ends_layer(trace.steps, i)]
    made = {
        int(node.metadata_props[STEP_OF]): node.outputs[0]
        for node in file.graph
        if STEP_OF in node.metadata_props
    }
    names = [value.name for value in file.graph.outputs]
    if file.metadata_props.get(STEP_OF) != str(len(trace.steps)) or names != [*outputs]:
        raise DataError(f"{path}: holds another model than this {type(model).__name__}")
    shown = {i: made[i] for i in ends if i in made}
    file.graph.outputs.extend(v for v in shown.values() if v not in file.graph.outputs)
    arrays = {
        value.name: tensor.detach().cpu().array
        for value, tensor in zip(file.graph.inputs, inputs, strict=True)
    }
    theirs = _results(onnxruntime, file, Path(path), arrays)
    rows = []
    for i, value in shown.items():
        step = trace.steps[i]
        rows.append(_row(step.layer, step.node.name, step.result, theirs[value.name]))
    last = [
        _row(name, "output", tensor.detach().cpu().array, theirs[name])
        for name, tensor in outputs.items()
    ]
    return Comparison(rows + last, max(row.difference for row in last))


def _runtime() -> Any:
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtra("onnxruntime is not installed; run: pip install onnxruntime") from None
    return onnxruntime


def _ends_layer(steps: list[Step], i: int) -> bool:
    return i + 1 == len(steps) or steps[i + 1].layer != steps[i].layer


def _results(
    onnxruntime: Any, file: Any, path: Path, arrays: dict[str, NDArray[Any]]
) -> dict[str, NDArray[Any]]:
    """Run a graph that is not on the disk; its weights may be in a file beside `path`."""
    names = [value.name for value in file.graph.outputs]
    message = ir.to_proto(file).SerializeToString()
    weights = (value.const_value for value in file.graph.initializers.values())
    beside = any(isinstance(weight, ir.ExternalTensor) for weight in weights)
    with ExitStack() as stack:
        source: Any = message
        if beside:
            copy = stack.enter_context(NamedTemporaryFile(dir=path.parent, suffix=".onnx"))
            copy.write(message)
            copy.flush()
            source = copy.name
        try:
            session = onnxruntime.InferenceSession(source, providers=["CPUExecutionProvider"])
            return dict(zip(names, session.run(names, arrays), strict=True))
        except Exception as error:  # its errors have no common ancestor
            raise DataError(
                f"{path}: onnxruntime does not run it ({str(error)[:200]}); its operators know "
                "float32 best: export model.float()"
            ) from None


def _row(layer: str, operation: str, ours: Any, theirs: NDArray[Any]) -> Row:
    ours = to_device(ours, "cpu").astype(np.float64)
    theirs = theirs.astype(np.float64)
    if ours.shape != theirs.shape:
        raise DataError(
            f"verify: {operation} in layer {layer or '(none)'} has shape {ours.shape} here and "
            f"{theirs.shape} in the file"
        )
    difference = float(np.abs(ours - theirs).max(initial=0.0))
    return Row(layer, operation, ours.shape, difference, float(np.abs(ours).max(initial=0.0)))
