"""The one table: an operation of ours, and the ONNX nodes that say the same.

A row is a function of the graph, the operation with its options, and its operands. Fused operations
are written out in ONNX's primitives where ONNX has no such operator.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from minigrad.autograd.node import Cast
from minigrad.autograd.tracing import Step
from minigrad.errors import GraphError
from minigrad.onnx.graph import Graph, Pair, Value, ir
from minigrad.ops import arithmetic, compare, elementwise, index, linalg, methods, reduce, shape
from minigrad.ops.neural import activation, conv, norm, pool

__all__ = ["NODES", "Operation"]

END = (1 << 63) - 1  # a slice that goes on to the end


class Operation:
    """An operation in both traces; its options are attributes, and the same in both."""

    def __init__(self, first: Step, second: Step) -> None:
        self._both = first, second

    def __getattr__(self, option: str) -> Any:
        a, b = self.both(option)
        if a != b:
            raise GraphError(
                f"its {option} is {a} for one size of the input and {b} for another; export for "
                "one size with dynamic=()"
            )
        return a

    def both(self, option: str) -> tuple[Any, Any]:
        """Return an option in the first and in the second trace."""
        a, b = (getattr(step.node, option) for step in self._both)
        return a, b

    @property
    def pairs(self) -> list[Pair]:
        """The shape of the result in both traces."""
        first, second = self._both
        return list(zip(first.shape, second.shape, strict=True))

    @property
    def dtype(self) -> Any:
        """That of the result."""
        return self._both[0].dtype


Row = Callable[..., Value]
F = TypeVar("F", bound=Row)
NODES: dict[type, Row] = {}


def nodes(*kinds: type) -> Callable[[F], F]:
    """Enter a row for operations."""

    def enter(row: F) -> F:
        NODES.update(dict.fromkeys(kinds, row))
        return row

    return enter


# ---- elementwise --------------------------------------------------------------------------------


def _same(kind: str, **attributes: Any) -> Row:
    """Return the row of an operation that ONNX has as it is."""
    return lambda g, op, *inputs: g.node(kind, *inputs, **attributes)


NODES |= {
    arithmetic.Add: _same("Add"),
    arithmetic.Sub: _same("Sub"),
    arithmetic.Mul: _same("Mul"),
    arithmetic.Div: _same("Div"),
    arithmetic.Neg: _same("Neg"),
    elementwise.Pow: _same("Pow"),
    elementwise.Maximum: _same("Max"),
    elementwise.Minimum: _same("Min"),
    elementwise.Fmod: _same("Mod", fmod=1),
    elementwise.Exp: _same("Exp"),
    elementwise.Exp2: lambda g, op, x: g.node("Exp", g.node("Mul", x, math.log(2.0))),
    elementwise.Expm1: lambda g, op, x: g.node("Sub", g.node("Exp", x), 1.0),
    elementwise.Log: _same("Log"),
    elementwise.Log2: lambda g, op, x: g.node("Mul", g.node("Log", x), 1.0 / math.log(2.0)),
    elementwise.Log10: lambda g, op, x: g.node("Mul", g.node("Log", x), 1.0 / math.log(10.0)),
    elementwise.Log1p: lambda g, op, x: g.node("Log", g.node("Add", x, 1.0)),
    elementwise.Sqrt: _same("Sqrt"),
    elementwise.Rsqrt: lambda g, op, x: g.node("Reciprocal", g.node("Sqrt", x)),
    elementwise.Square: lambda g, op, x: g.node("Mul", x, x),
    elementwise.Reciprocal: _same("Reciprocal"),
    elementwise.Abs: _same("Abs"),
    elementwise.Sin: _same("Sin"),
    elementwise.Cos: _same("Cos"),
    elementwise.Tan: _same("Tan"),
    elementwise.Asin: _same("Asin"),
    elementwise.Acos: _same("Acos"),
    elementwise.Atan: _same("Atan"),
    elementwise.Sinh: _same("Sinh"),
    elementwise.Cosh: _same("Cosh"),
    elementwise.Tanh: _same("Tanh"),
    elementwise.Asinh: _same("Asinh"),
    elementwise.Acosh: _same("Acosh"),
    elementwise.Atanh: _same("Atanh"),
    elementwise.Sigmoid: _same("Sigmoid"),
    elementwise.Erf: _same("Erf"),
    elementwise.Where: _same("Where"),
    elementwise.Clip: lambda g, op, x: g.node("Clip", x, op.low, op.high),
    activation.Relu: _same("Relu"),
    activation.LeakyRelu: lambda g, op, x: g.node("LeakyRelu", x, alpha=op.slope),
    activation.Mish: _same("Mish"),
    activation.Hardtanh: lambda g, op, x: g.node("Clip", x, op.low, op.high),
    activation.HardSigmoid: _same("HardSigmoid", alpha=1.0 / 6.0, beta=0.5),
    activation.HardSwish: _same("HardSwish"),
    activation.Prelu: _same("PRelu"),
    activation.Silu: lambda g, op, x: g.node("Mul", x, g.node("Sigmoid", x)),
    activation.Logsigmoid: lambda g, op, x: g.node("Log", g.node("Sigmoid", x)),
    activation.Gelu: lambda g, op, x: g.node(
        "Gelu", x, approximate="tanh" if op.kernel == "gelu_tanh" else "none"
    ),
    activation.Softmax: lambda g, op, x: g.node("Softmax", x, axis=op.axis),
    activation.LogSoftmax: lambda g, op, x: g.node("LogSoftmax", x, axis=op.axis),
    Cast: lambda g, op, x: g.node("Cast", x, dtype=op.dtype, to=ir.DataType.from_numpy(op.dtype)),
    shape.Clone: lambda g, op, x: x,
    methods.Move: lambda g, op, x: x,
}


@nodes(activation.Elu)
def elu(g: Graph, op: Operation, x: Value) -> Value:
    """``scale * x`` above 0; below, ONNX's Elu takes no steepness."""
    z = g.node("Mul", g.node("Min", x, 0.0), op.steepness)
    below = g.node("Elu", z, alpha=op.alpha)
    above = g.node("Mul", g.node("Max", x, 0.0), op.scale)
    return g.node("Add", below, above)


@nodes(activation.Softplus)
def softplus(g: Graph, op: Operation, x: Value) -> Value:
    """Past the threshold the curve is the line, to a few units in the last place."""
    return g.node("Div", g.node("Softplus", g.node("Mul", x, op.beta)), op.beta)


@nodes(arithmetic.Remainder)
def remainder(g: Graph, op: Operation, x: Value, y: Value) -> Value:
    """Take the sign of the divisor; ONNX's Mod does so for integers alone."""
    return g.node("Sub", x, g.node("Mul", g.node("Floor", g.node("Div", x, y)), y))


@nodes(elementwise.Logaddexp)
def logaddexp(g: Graph, op: Operation, x: Value, y: Value) -> Value:
    """Add what the smaller one adds to the larger one."""
    distance = g.node("Neg", g.node("Abs", g.node("Sub", x, y)))
    return g.node("Add", g.node("Max", x, y), g.node("Softplus", distance))


@nodes(compare.Rounding)
def rounding(g: Graph, op: Operation, x: Value) -> Value:
    """Floor, ceil and round; ONNX's Round takes the even neighbour too."""
    kinds = {"floor": "Floor", "ceil": "Ceil", "round": "Round"}
    if op.name not in kinds:
        raise GraphError("ONNX has no such rounding")
    return g.node(kinds[op.name], x)


# ---- products -----------------------------------------------------------------------------------


@nodes(linalg.MatMul)
def matmul(g: Graph, op: Operation, x: Value, y: Value) -> Value:
    """Matrix product; leading axes broadcast."""
    return g.node("MatMul", x, y)


@nodes(linalg.Linear)
def linear(g: Graph, op: Operation, x: Value, w: Value, bias: Value | None) -> Value:
    """Multiply; the weight keeps its own layout, so that it can be read back."""
    if g.rank(x) == 2:
        return g.node("Gemm", x, w, bias, transB=1)
    y = g.node("MatMul", x, g.node("Transpose", w, perm=[1, 0]))
    return y if bias is None else g.node("Add", y, bias)


@nodes(linalg.Einsum)
def einsum(g: Graph, op: Operation, *xs: Value) -> Value:
    """Say the same equation."""
    return g.node("Einsum", *xs, equation=f"{','.join(op.inputs)}->{op.output}")


def _geometry(geometry: conv.Geometry) -> dict[str, Any]:
    before, after = zip(*geometry.padding, strict=True)
    return {
        "strides": geometry.stride,
        "pads": (*before, *after),
        "dilations": geometry.dilation,
        "group": geometry.groups,
    }


@nodes(conv.Conv)
def convolution(g: Graph, op: Operation, x: Value, w: Value, bias: Value | None) -> Value:
    """Cross-correlation, as ONNX means it."""
    return g.node("Conv", x, w, bias, **_geometry(op.geometry))


@nodes(conv.ConvInputGrad)
def transposed_convolution(g: Graph, op: Operation, y: Value, w: Value) -> Value:
    """Reach the size asked for, which may exceed the smallest possible, by output_padding."""
    stride, padding, dilation, _ = op.geometry
    axes = range(len(stride))
    reach = [
        sum(padding[i]) - dilation[i] * (g.pairs(w)[i + 2][0] - 1) - 1 + stride[i] for i in axes
    ]
    first, second = (
        [size[i] - n[i + 2][trace] * stride[i] + reach[i] for i in axes]
        for trace, size in enumerate(op.both("size"))
        for n in [g.pairs(y)]
    )
    if first != second:
        raise GraphError("its rows beyond the smallest size depend on the size of the input")
    return g.node("ConvTranspose", y, w, output_padding=first, **_geometry(op.geometry))


# ---- norms --------------------------------------------------------------------------------------


@nodes(norm.LayerNorm)
def layer_norm(g: Graph, op: Operation, x: Value, w: Value | None, bias: Value | None) -> Value:
    """Over the last axis; ONNX wants a scale."""
    if w is None:
        w = g.constant(np.ones(g.pairs(x)[-1][0], op.dtype))
    return g.node("LayerNormalization", x, w, bias, axis=-1, epsilon=op.eps)


@nodes(norm.GroupNorm)
def group_norm(g: Graph, op: Operation, x: Value, w: Value | None, bias: Value | None) -> Value:
    """(N, L, C) over L and the channels of a group."""
    channels = g.pairs(x)[-1][0]
    grouped = g.node("Reshape", x, [0, 0, op.groups, channels // op.groups])
    y = g.node("Reshape", _standard(g, grouped, [1, 3], op.eps), [0, 0, channels])
    return _affine(g, y, w, bias)


@nodes(norm.BatchNorm)
def batch_norm(g: Graph, op: Operation, x: Value, w: Value | None, bias: Value | None) -> Value:
    """(..., C) over all but C, of a layer that keeps no statistics."""
    return _affine(g, _standard(g, x, range(g.rank(x) - 1), op.eps), w, bias)


def _standard(g: Graph, x: Value, axes: Sequence[int], eps: float) -> Value:
    """Return x with mean 0 and variance 1 over axes."""
    centred = g.node("Sub", x, _mean(g, x, axes))
    var = _mean(g, g.node("Mul", centred, centred), axes)
    return g.node("Div", centred, g.node("Sqrt", g.node("Add", var, eps)))


def _affine(g: Graph, x: Value, w: Value | None, bias: Value | None) -> Value:
    x = x if w is None else g.node("Mul", x, w)
    return x if bias is None else g.node("Add", x, bias)


@nodes(norm.GlobalResponseNorm)
def grn(g: Graph, op: Operation, x: Value, gamma: Value, beta: Value) -> Value:
    """(N, L, C); see `minigrad.kernels.formulas.grn`."""
    length = g.node("ReduceL2", x, [1], keepdims=1)
    response = g.node("Div", length, g.node("Add", _mean(g, length, [-1]), op.eps))
    scale = g.node("Add", g.node("Mul", gamma, response), 1.0)
    return g.node("Add", g.node("Mul", x, scale), beta)


def _mean(g: Graph, x: Value, axes: Sequence[int]) -> Value:
    return g.node("ReduceMean", x, axes, keepdims=1)


# ---- reductions ---------------------------------------------------------------------------------


def _reduction(kind: str) -> Row:
    def row(g: Graph, op: Operation, x: Value) -> Value:
        if x.dtype != ir.DataType.from_numpy(op.dtype):  # integers are summed in int64
            x = g.node("Cast", x, dtype=op.dtype, to=ir.DataType.from_numpy(op.dtype))
        # of no axes: not of all
        return g.node(kind, x, op.dims, keepdims=int(op.keepdim), noop_with_empty_axes=1)

    return row


NODES |= {
    reduce.Sum: _reduction("ReduceSum"),
    reduce.Mean: _reduction("ReduceMean"),
    reduce.Amax: _reduction("ReduceMax"),
    reduce.Amin: _reduction("ReduceMin"),
    reduce.LogSumExp: _reduction("ReduceLogSumExp"),
    reduce.Centre: lambda g, op, x: g.node("Sub", x, _mean(g, x, op.dims)),
    reduce.Prod: lambda g, op, x: g.node("ReduceProd", x, [op.dim], keepdims=int(op.keepdim)),
}


@nodes(reduce.Norm)
def norm_of_order(g: Graph, op: Operation, x: Value) -> Value:
    """Orders 1 and 2."""
    if op.p not in (1, 2):
        raise GraphError(f"ONNX has norms of order 1 and 2, not {op.p}")
    return g.node(f"ReduceL{int(op.p)}", x, op.dims, keepdims=int(op.keepdim))


@nodes(reduce.Var, reduce.Std)
def variance(g: Graph, op: Operation, x: Value) -> Value:
    """Mean square of the distances to the mean; a correction needs to know their number."""
    centred = g.node("Sub", x, _mean(g, x, op.dims))
    square = g.node("Mul", centred, centred)
    y = g.node("ReduceMean", square, op.dims, keepdims=int(op.keepdim))
    if op.correction:
        counts = [math.prod(g.pairs(x)[i][trace] for i in op.dims) for trace in (0, 1)]
        if counts[0] != counts[1]:
            raise GraphError(
                f"its correction {op.correction} depends on the size of the input; take the "
                "variance with correction=0, or export for one size with dynamic=()"
            )
        y = g.node("Mul", y, counts[0] / (counts[0] - op.correction))
    return g.node("Sqrt", y) if op.name == "std" else y


@nodes(reduce.CumSum)
def cumulative_sum(g: Graph, op: Operation, x: Value) -> Value:
    """From either end."""
    return g.node("CumSum", x, g.constant(np.int64(op.dim)), reverse=int(op.backwards))


# ---- shapes -------------------------------------------------------------------------------------

NODES |= {
    shape.Reshape: lambda g, op, x: g.reshape(x, op.pairs),
    shape.Permute: lambda g, op, x: g.node("Transpose", x, perm=op.dims),
    shape.Expand: lambda g, op, x: g.node("Expand", x, g.sizes(op.pairs)),
    shape.Cat: lambda g, op, *xs: g.node("Concat", *xs, axis=op.dim),
    shape.Stack: lambda g, op, *xs: g.node(
        "Concat", *(g.node("Unsqueeze", x, [op.dim]) for x in xs), axis=op.dim
    ),
}


@nodes(shape.Pad)
def pad(g: Graph, op: Operation, x: Value) -> Value:
    """Surround with a constant."""
    before, after = zip(*op.pads, strict=True)
    return g.node("Pad", x, [*before, *after], float(op.value))


@nodes(shape.Triangle)
def triangle(g: Graph, op: Operation, x: Value) -> Value:
    """Keep one side of the diagonal."""
    return g.node("Trilu", x, g.constant(np.int64(op.diagonal)), upper=int(op.side == "triu"))


@nodes(shape.Flip)
def flip(g: Graph, op: Operation, x: Value) -> Value:
    """Take a slice with step -1."""
    n = len(op.dims)
    return g.node("Slice", x, [-1] * n, [-END] * n, list(op.dims), [-1] * n) if n else x


@nodes(shape.Roll)
def roll(g: Graph, op: Operation, x: Value) -> Value:
    """Put what leaves at one end in front of the other."""
    for step, axis in zip(op.shifts, op.dims, strict=True):
        if step:
            tail = g.node("Slice", x, [-step], [END], [axis])
            head = g.node("Slice", x, [0], [-step], [axis])
            x = g.node("Concat", tail, head, axis=axis)
    return x


@nodes(index.Slice)
def basic_index(g: Graph, op: Operation, x: Value) -> Value:
    """Slices; a single number drops its axis, None adds one."""
    rows = [_explicit(index, g.rank(x)) for index in op.both("index")]
    starts: list[Pair] = []
    ends: list[Pair] = []
    steps: list[int] = []
    axes: list[int] = []
    dropped: list[int] = []
    added: list[int] = []
    axis = place = 0
    for a, b in zip(*rows, strict=True):
        if a is None:
            added.append(place)
            place += 1
            continue
        if isinstance(a, slice):
            step = a.step or 1
            whole = (0, END) if step > 0 else (-1, -END)
            cut = [
                tuple(given if given is not None else default for given in (p, q))
                for p, q, default in ((a.start, b.start, whole[0]), (a.stop, b.stop, whole[1]))
            ]
            place += 1
        else:
            step = 1
            cut = [(a, b), tuple(n + 1 or END for n in (a, b))]
            dropped.append(axis)
        if cut != [(0, 0), (END, END)] or step != 1:
            starts.append(cut[0])  # type: ignore[arg-type]
            ends.append(cut[1])  # type: ignore[arg-type]
            steps.append(step)
            axes.append(axis)
        axis += 1
    if axes:
        x = g.node("Slice", x, g.sizes(starts), g.sizes(ends), axes, steps)
    x = g.node("Squeeze", x, dropped) if dropped else x
    return g.node("Unsqueeze", x, added) if added else x


def _explicit(index: Any, rank: int) -> list[Any]:
    """Return a basic index with an entry for every axis."""
    entries = list(index) if isinstance(index, tuple) else [index]
    missing = rank - sum(entry is not None and entry is not Ellipsis for entry in entries)
    at = entries.index(Ellipsis) if Ellipsis in entries else len(entries)
    entries[at : at + 1] = [slice(None)] * missing
    return entries


@nodes(index.Take)
def advanced_index(g: Graph, op: Operation, x: Value) -> Value:
    """One array of whole numbers along one axis."""
    first, second = op.both("index")
    arrays = [i for i, entry in enumerate(first) if not _is_whole(entry)]
    if len(arrays) != 1:
        raise GraphError(f"it has {len(arrays)} arrays of indices; one is known here")
    (axis,) = arrays
    a, b = np.asarray(first[axis]), np.asarray(second[axis])
    if a.dtype == bool or not np.array_equal(a, b):
        raise GraphError("its indices depend on the input")
    return g.node("Gather", x, g.constant(a.astype(np.int64)), axis=axis)


def _is_whole(entry: Any) -> bool:
    return isinstance(entry, slice) and entry == slice(None)


# ---- windows and sizes of images ----------------------------------------------------------------


@nodes(pool.MaxPool)
def max_pool(g: Graph, op: Operation, x: Value) -> Value:
    """Windows, or the whole image."""
    if isinstance(op.rule, pool.Pooling):
        return g.node("MaxPool", x, dilations=op.rule.dilation, **_windows(op.rule))
    if {*op.rule.size} == {1}:
        return g.node("ReduceMax", x, list(range(2, g.rank(x))), keepdims=1)
    raise GraphError("ONNX has adaptive maximum pooling to one position only")


def _windows(rule: pool.Pooling) -> dict[str, Any]:
    return {
        "kernel_shape": rule.kernel,
        "strides": rule.stride,
        "pads": rule.padding * 2,
        "ceil_mode": int(rule.ceil_mode),
    }


@nodes(pool.Separable)
def separable(g: Graph, op: Operation, x: Value) -> Value:
    """Average pooling and interpolation by their names, else by their matrices."""
    first, second = op.both("rule")
    if isinstance(first, pool.Pooling):
        return _average(g, op.rule, x)
    if isinstance(first, pool.Adaptive) and first == second and {*first.size} == {1}:
        return _mean(g, x, list(range(2, g.rank(x))))
    if isinstance(first, pool.Resizing) and first.mode != "area":
        return _resize(g, op, x)
    for axis, (a, b) in enumerate(zip(*op.both("maps"), strict=True), 2):
        if (a is None) != (b is None) or (a and a.matrix.shape != b.matrix.shape):
            raise GraphError(
                "its windows depend on the size of the input; pool to one position, or export for "
                "one size with dynamic=()"
            )
        if a is not None:
            x = _along(g, x, axis, len(op.pairs), a.matrix.astype(op.dtype))
    return x


def _average(g: Graph, rule: pool.Pooling, x: Value) -> Value:
    if rule.divisor is None:
        counted = int(rule.count_include_pad)
        return g.node("AveragePool", x, count_include_pad=counted, **_windows(rule))
    if rule.ceil_mode:
        raise GraphError("ONNX has no divisor_override for windows that are partly filled")
    y = g.node("AveragePool", x, count_include_pad=1, **_windows(rule))
    return g.node("Mul", y, math.prod(rule.kernel) / rule.divisor)


_MODES: dict[str, dict[str, Any]] = {  # the others are linear; places are half pixels by default
    "nearest": {
        "mode": "nearest",
        "coordinate_transformation_mode": "asymmetric",
        "nearest_mode": "floor",
    },
    "nearest-exact": {"mode": "nearest", "nearest_mode": "round_prefer_ceil"},
    "bicubic": {"mode": "cubic", "cubic_coeff_a": -0.75},
}


def _resize(g: Graph, op: Operation, x: Value) -> Value:
    rule = op.rule
    options = dict(_MODES.get(rule.mode, {"mode": "linear"}))
    if rule.align_corners:
        options["coordinate_transformation_mode"] = "align_corners"
    if rule.scales is not None:
        scales = np.array([1.0, 1.0, *(1.0 / s for s in rule.scales)], np.float32)
        return g.node("Resize", x, None, g.constant(scales), **options)
    lengths = [*g.pairs(x)[:2], *op.pairs[2:]]
    return g.node("Resize", x, None, None, g.sizes(lengths), **options)


def _along(g: Graph, x: Value, axis: int, rank: int, matrix: Any) -> Value:
    """Apply a matrix (out, in) along an axis."""
    order = [*(i for i in range(rank) if i != axis), axis]
    back = sorted(range(rank), key=order.__getitem__)
    y = g.node("MatMul", g.node("Transpose", x, perm=order), g.constant(matrix.T))
    return g.node("Transpose", y, perm=back)
