"""One table of every differentiable operation: how it is called here and in PyTorch, and on what.

`tests/laws/test_laws.py` derives all laws from it; `tests/laws/test_complete.py` sees that no
operation is missing. A row names the operation; unless said otherwise the same name is looked up
in `minigrad`, `minigrad.nn.functional` and `Tensor` on our side, and in `torch`,
`torch.nn.functional` and `torch.Tensor` on theirs. ``name:remark`` is a second row of an operation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

import minigrad as mg
import minigrad.nn.functional as F
from tests.laws.cases import (
    Array,
    Call,
    Draw,
    between,
    call,
    distinct,
    inside,
    nonzero,
    positive,
    probability,
    real,
)

Build = Callable[[Draw], Call]


class Row(NamedTuple):
    """An operation and what the laws need to know of it."""

    name: str
    build: Build  # draws a call
    ours: Callable[..., Any]
    theirs: str | Callable[..., Any] | None  # a name, or a function of torch; None: not in PyTorch
    integers: bool  # also try it on integers and booleans
    smooth: bool  # False: the gradient is zero or not that of the function (a jump, a count)
    exact: bool  # False: rounds to half precision more than once, or amplifies: leave these out

    @property
    def operation(self) -> str:
        return self.name.partition(":")[0]


def find(name: str) -> Callable[..., Any]:
    """Return our function or method of this name."""
    for place in (mg, F, mg.Tensor):
        if hasattr(place, name):
            return getattr(place, name)  # type: ignore[no-any-return]
    raise AttributeError(f"minigrad has no {name}")


TABLE: list[Row] = []


def row(
    name: str,
    build: Build,
    ours: Callable[..., Any] | None = None,
    theirs: str | Callable[..., Any] | None = "",
    *,
    integers: bool = False,
    smooth: bool = True,
    exact: bool = True,
) -> None:
    operation = name.partition(":")[0]
    theirs = operation if theirs == "" else theirs
    TABLE.append(Row(name, build, ours or find(operation), theirs, integers, smooth, exact))


def rows(names: str, build: Build, **options: Any) -> None:
    for name in names.split():
        row(name, build, **options)


# ---- one operand, elementwise ---------------------------------------------------------------

rows(
    "exp exp2 expm1 sin cos sinh cosh tanh sigmoid erf atan square neg",
    lambda d: call(d.array()),
    integers=True,
)
rows("log log2 log10 log1p sqrt rsqrt", lambda d: call(d.array(positive)), integers=True)
rows("asin acos", lambda d: call(d.array(inside)))
row("tan", lambda d: call(d.array(inside)))
row("asinh", lambda d: call(d.array()), integers=True)
row("acosh", lambda d: call(d.array(lambda rng, shape: positive(rng, shape) + 1.0)))
rows("atanh erfinv", lambda d: call(d.array(inside)))
row("nan_to_num", lambda d: call(d.array(), d.pick(0.0, 2.0)))
row("clamp_min", lambda d: call(d.array(between), d.pick(0.0, -1.0)))
row("clamp_max", lambda d: call(d.array(between), d.pick(0.0, 1.0)))
row("abs", lambda d: call(d.array(nonzero)), integers=True)
row("absolute", lambda d: call(d.array(nonzero)))
row("reciprocal", lambda d: call(d.array(nonzero)))
rows("floor ceil trunc sign frac", lambda d: call(d.array(between)), integers=True, smooth=False)
row("round", lambda d: call(d.array(between)), integers=True, smooth=False)
row("round:decimals", lambda d: call(d.array(between), decimals=d.pick(0, 1, -1)), smooth=False)

# ---- activations ----------------------------------------------------------------------------

rows(
    "relu relu6 leaky_relu elu selu celu silu mish softplus logsigmoid hardtanh hardswish gelu",
    lambda d: call(d.array(nonzero)),
)
row(
    "hardsigmoid",
    lambda d: call(d.array(nonzero)),
    theirs=lambda torch, x: torch.nn.functional.relu6(x + 3) / 6,  # its own takes 1/6 in float32
)
row("celu:alpha", lambda d: call(d.array(nonzero), alpha=d.pick(0.5, 2.0)))
row("glu", lambda d: call(d.array(shape=d.pick((4,), (2, 4), (3, 2)))), exact=False)
row(
    "prelu",
    lambda d: call(
        d.array(nonzero, shape=d.pick((2, 3), (2, 3, 4), (1, 3, 2, 2))),
        d.array(shape=d.pick((1,), (3,))),
    ),
    exact=False,
)
row("leaky_relu:slope", lambda d: call(d.array(nonzero), 0.3))
row("elu:alpha", lambda d: call(d.array(nonzero), alpha=d.pick(0.5, 2.0)))
row("softplus:beta", lambda d: call(d.array(), d.pick(0.5, 3.0), d.pick(1.0, 20.0)))
row("hardtanh:limits", lambda d: call(d.array(between), -0.5, 1.0))
row("gelu:tanh", lambda d: call(d.array(), approximate="tanh"))
rows("softmax log_softmax", lambda d: call(x := d.array(filled=True), dim=d.dim(x)))
row(
    "softmax:dtype",
    lambda d: call(x := d.array(filled=True), dim=d.dim(x), dtype="float64"),
    theirs=lambda torch, x, dim, dtype: torch.softmax(x, dim, dtype=torch.float64),
)

# ---- two operands, elementwise --------------------------------------------------------------

rows("add sub mul multiply subtract", lambda d: call(*d.pair(numbers=(2, -0.5, 3))), integers=True)
rows("div divide", lambda d: call(*d.pair(real, nonzero, numbers=(2, -0.5))))
row("add:alpha", lambda d: call(*d.pair(), alpha=d.pick(2, -0.5)))
row("sub:alpha", lambda d: call(*d.pair(), alpha=d.pick(2, -0.5)))
row(
    "div:rounding",
    lambda d: call(*d.pair(between, nonzero), rounding_mode=d.pick("floor", "trunc")),
    theirs=lambda torch, x, y, rounding_mode: torch.div(
        x.detach(), y.detach(), rounding_mode=rounding_mode
    ),
    smooth=False,
)
row(
    "floor_divide",
    lambda d: call(*d.pair(between, nonzero)),
    smooth=False,
    theirs=lambda torch, x, y: torch.floor_divide(x.detach(), y.detach()),
)
row("remainder", lambda d: call(*d.pair(between, positive, numbers=(0.7, 2))), exact=False)
row("fmod", lambda d: call(*d.pair(between, positive, numbers=(0.7, 2))), exact=False)
row("logaddexp", lambda d: call(*d.pair()), exact=False)
row("pow", lambda d: call(*d.pair(positive, real, numbers=(2, 3, 0.5, -1, 0, 1, 1.5))))
row("pow:base", lambda d: call(d.pick(2, 0.5, 3.0), d.array()))
row("pow:integral", lambda d: call(d.array(nonzero), d.pick(-2, 0, 1, 2, 3, 2.0)))
row("maximum", lambda d: call(*d.pair(between, real)), integers=True)
row("minimum", lambda d: call(*d.pair(between, real)), integers=True)
row("atan2", lambda d: call(*d.pair(nonzero, nonzero)), integers=True)
row("where", lambda d: call(d.mask((x := d.pair(numbers=(1.5,)))[0].shape), *x))
row(
    "where:method",
    lambda d: call(x := d.array(), d.mask(x.shape), d.same(x)),
    mg.Tensor.where,
    "Tensor.where",
)
row(
    "clamp",
    lambda d: call(d.array(between), *d.pick((-1.0, 1.0), (None, 0.0), (0.5, None), (2, 1))),
    integers=True,
)
row("clip", lambda d: call(d.array(between), -1.0, 1.0))
row("clamp:tensors", lambda d: call(x := d.array(distinct), d.same(x, inside), d.same(x)))
row("lerp", lambda d: call(x := d.array(), d.same(x), d.pick(0.3, d.same(x))), exact=False)
row("addcmul", lambda d: call(x := d.array(), d.same(x), d.same(x), value=d.pick(1, -0.5)))
row("addcdiv", lambda d: call(x := d.array(), d.same(x), d.same(x, nonzero), value=d.pick(1, 2.0)))

# ---- operators ------------------------------------------------------------------------------

OPERATORS = {
    "add": lambda x, y: x + y,
    "sub": lambda x, y: x - y,
    "mul": lambda x, y: x * y,
    "truediv": lambda x, y: x / y,
    "pow": lambda x, y: x**y,
    "mod": lambda x, y: x % y,
}
for _name, _op in OPERATORS.items():
    row(
        f"__{_name}__",
        lambda d: call(*d.pair(positive, positive, numbers=(2, 0.5))),
        _op,
        lambda torch, x, y, op=_op: op(x, y),
        exact=_name != "mod",
    )
    row(
        f"__r{_name}__",
        lambda d: call(d.pick(2, 0.5, 1.5), d.array(positive)),
        _op,
        lambda torch, x, y, op=_op: op(torch.tensor(x).to(y.dtype), y),
        exact=_name != "mod",
    )
row("__neg__", lambda d: call(d.array()), lambda x: -x, lambda torch, x: -x, integers=False)
row("__pos__", lambda d: call(d.array()), lambda x: +x, lambda torch, x: +x)
row("__abs__", lambda d: call(d.array(nonzero)), abs, lambda torch, x: abs(x))
row("__iter__", lambda d: call(d.array(least=1)), lambda x: tuple(x), lambda torch, x: tuple(x))

# ---- in place -------------------------------------------------------------------------------


def inplace(name: str, build: Build, **options: Any) -> None:
    """Add a row for a method that changes its tensor: here, the result of an operation."""

    def run(x: Any, *args: Any, **kwargs: Any) -> Any:
        y = x * 1.0
        out = getattr(y, name)(*args, **kwargs)
        assert out is y
        return y

    row(name, build, run, lambda torch, *a, **k: run(*a, **k), **options)


for _name in ("exp_", "neg_", "sigmoid_", "tanh_"):
    inplace(_name, lambda d: call(d.array()))
for _name in ("log_", "sqrt_"):
    inplace(_name, lambda d: call(d.array(positive)))
for _name in ("floor_", "round_"):
    inplace(_name, lambda d: call(d.array(between)), smooth=False)
inplace("relu_", lambda d: call(d.array(nonzero)))
for _name in ("add_", "sub_", "mul_", "div_"):
    inplace(_name, lambda d: call(x := d.array(nonzero), d.pick(2, 0.5, d.same(x, nonzero))))
inplace("pow_", lambda d: call(x := d.array(positive), d.pick(2, 0.5, d.same(x))))
inplace("remainder_", lambda d: call(d.array(between), d.pick(0.7, 2.0)), exact=False)
inplace("clamp_", lambda d: call(d.array(between), -1.0, 1.0))
inplace("clamp_min_", lambda d: call(d.array(between), 0.0))
inplace("clamp_max_", lambda d: call(d.array(between), 0.0))
inplace("erfinv_", lambda d: call(d.array(inside)))
inplace("nan_to_num_", lambda d: call(d.array(), 0.5))
inplace("lerp_", lambda d: call(x := d.array(), d.same(x), 0.3), exact=False)
inplace("copy_", lambda d: call(x := d.array(), d.same(x)))
inplace("fill_", lambda d: call(d.array(), d.pick(2, 0.5)), smooth=False)  # leaves the graph
inplace("zero_", lambda d: call(d.array()), smooth=False)
inplace("masked_fill_", lambda d: call(x := d.array(), d.mask(x.shape), 0.5))
inplace("index_fill_", lambda d: call(d.array(shape=(3, 2)), 0, np.array([0, 2]), 0.5))
inplace(
    "scatter_", lambda d: call(d.array(shape=(3, 2)), 0, np.array([[0, 2]]), d.array(shape=(1, 2)))
)
inplace(
    "scatter_add_",
    lambda d: call(d.array(shape=(3, 2)), 0, np.array([[2, 2]]), d.array(shape=(1, 2))),
)

INDICES: list[Any] = [
    0,
    -1,
    slice(None, None, 2),
    slice(1, None),
    (slice(None), 1),
    (Ellipsis, 0),
    (None, 1),
    (0, slice(None), [0, 2]),
    np.array([2, 0, 0]),
    (slice(None), np.array([[1], [0]])),
    (np.array([0, 1, 1]), np.array([1, 0, 0])),
    np.array([True, False, True]),
]


def _assign(x: Any, index: Any, value: Any) -> Any:
    y = x * 1.0
    y[index] = value
    return y


def _indexed(d: Draw) -> tuple[Array, Any]:
    shape = (3, 2, 3)
    return d.array(shape=shape), d.pick(*INDICES)


row("__getitem__", lambda d: call(*_indexed(d)), lambda x, i: x[i], lambda torch, x, i: x[i])
row(
    "__setitem__",
    lambda d: call(*_indexed(d), d.pick(0.5, d.array(shape=()), d.array(shape=(1,)))),
    _assign,
    lambda torch, x, i, v: _assign(x, i, v),
)

# ---- reductions -----------------------------------------------------------------------------


def _reduce(d: Draw, domain: Any = real, filled: bool = False) -> Call:
    x = d.array(domain, filled=filled)
    dim = d.dims(x)
    return call(x) if dim is None else call(x, dim=dim, keepdim=d.flag())


row("sum", _reduce, integers=True)
row("mean", lambda d: _reduce(d, filled=True))
row(
    "sum:dtype",
    lambda d: call(d.array(), dtype="float64"),
    theirs=lambda torch, x, dtype: torch.sum(x, dtype=torch.float64),
)
rows(
    "amax amin",
    lambda d: call(x := d.array(distinct, filled=True), dim=d.dim(x), keepdim=d.flag()),
    integers=True,
)
rows("max min", lambda d: call(d.array(distinct, filled=True)), integers=True)
row("median:ties", lambda d: call(np.floor(d.array(filled=True, least=1))), smooth=False)
rows(
    "max:dim min:dim median:dim",
    lambda d: call(x := d.array(distinct, filled=True), dim=d.dim(x), keepdim=d.flag()),
)
rows("max:other min:other", lambda d: call(*d.pair(between, real)))
row("median", lambda d: call(d.array(distinct, filled=True)))
rows(
    "var std var_mean std_mean",
    lambda d: call(
        x := d.array(least=1, filled=True), dim=d.dims(x), correction=0, keepdim=d.flag()
    ),
    exact=False,
)
rows(
    "var:bessel std:bessel", lambda d: call(d.array(shape=d.pick((4,), (3, 2))), dim=0), exact=False
)
row("prod", lambda d: call(d.array(nonzero)), integers=True)
row("prod:dim", lambda d: call(x := d.array(nonzero), dim=d.dim(x), keepdim=d.flag()))
row(
    "norm",
    lambda d: call(
        x := d.array(nonzero, least=1, filled=True),
        d.pick(2, 3, 1.5, 1),
        dim=d.dims(x),
        keepdim=d.flag(),
    ),
)
row("norm:inf", lambda d: call(d.array(distinct, filled=True), d.pick(math.inf, -math.inf)))
row("logsumexp", lambda d: call(x := d.array(filled=True), dim=d.dim(x), keepdim=d.flag()))
rows("cumsum cumprod", lambda d: call(x := d.array(nonzero), d.dim(x)), integers=True)

# ---- shape ----------------------------------------------------------------------------------

row("reshape", lambda d: call(x := d.array(filled=True), (-1, d.pick(1, 1, x.size))), integers=True)
row(
    "view",
    lambda d: call(np.ascontiguousarray(d.array(shape=(2, 3))), d.pick((3, 2), (-1,), (6, 1))),
)
rows("ravel clone contiguous squeeze", lambda d: call(d.array()), integers=True)
row("flatten", lambda d: call(d.array(least=1), d.pick(0, -1), -1))
row("unflatten", lambda d: call(d.array(shape=(2, 6)), 1, d.pick((2, 3), (3, -1))))
row("squeeze:dim", lambda d: call(x := d.array(least=1), d.dim(x)))
row("unsqueeze", lambda d: call(x := d.array(), d.pick(*range(-x.ndim - 1, x.ndim + 1))))
row("permute", lambda d: call(x := d.array(), tuple(int(i) for i in d.rng.permutation(x.ndim))))
rows("transpose swapaxes swapdims", lambda d: call(x := d.array(least=1), d.dim(x), d.dim(x)))
row("t", lambda d: call(d.array(most=2)))
row("T", lambda d: call(d.array(shape=(2, 3))), lambda x: x.T, lambda torch, x: x.T)
row("mT", lambda d: call(d.array(shape=(2, 3, 2))), lambda x: x.mT, lambda torch, x: x.mT)
rows("movedim moveaxis", lambda d: call(x := d.array(least=1), d.dim(x), d.dim(x)))
row(
    "expand",
    lambda d: call(d.array(shape=(3, 1)), d.pick((3, 4), (2, -1, 2), (3, 1))),
    theirs="Tensor.expand",
)
row(
    "expand_as",
    lambda d: call(d.array(shape=(3, 1)), d.array(shape=(3, 2))),
    lambda x, y: x.expand_as(y) * 1.0 + y * 0.0,
    lambda torch, x, y: x.expand_as(y) * 1.0 + y * 0.0,
)
row("broadcast_to", lambda d: call(d.array(shape=(3, 1)), d.pick((3, 4), (2, 3, 1))))
row("broadcast_tensors", lambda d: call(*d.pair()))
row(
    "repeat",
    lambda d: call(d.array(shape=(1, 2)), d.pick((2, 3), (2, 1, 2), (1, 0))),
    theirs="Tensor.repeat",
)
row("tile", lambda d: call(d.array(least=1), d.pick((2,), (1, 2), (2, 1, 1))))
row("repeat_interleave", lambda d: call(x := d.array(least=1), 2, dim=d.dim(x)))
row("repeat_interleave:flat", lambda d: call(d.array(), d.pick(1, 3)))
row(
    "meshgrid",
    lambda d: call(d.array(shape=(2,)), d.array(shape=(3,)), indexing=d.pick("ij", "xy")),
)
row(
    "unfold",
    lambda d: call(d.array(shape=(5, 2)), 0, d.pick(1, 3), d.pick(1, 2)),
    theirs="Tensor.unfold",
)


def _joined(d: Draw) -> list[Array]:
    x = d.array(least=1)
    return [x, d.same(x), x]


def _join(name: str, ours: Callable[..., Any] | None = None) -> None:
    f = ours or find(name)
    row(
        name,
        lambda d: call(*(xs := _joined(d)), d.dim(xs[0])),
        lambda *a: f(a[:-1], a[-1]),
        lambda torch, *a: getattr(torch, name)(a[:-1], a[-1]),
    )


_join("cat")
_join("concat")
_join("concatenate")
_join("stack")
for _name in ("hstack", "vstack"):
    row(
        _name,
        lambda d: call(*_joined(d)),
        lambda *a, n=_name: find(n)(a),
        lambda torch, *a, n=_name: getattr(torch, n)(a),
    )
row("narrow", lambda d: call(d.array(shape=(4, 2)), 0, d.pick(0, 1, -2), d.pick(0, 2)))
row("split", lambda d: call(d.array(shape=(4, 2)), d.pick(1, 3, (1, 3), (4, 0)), 0))
row("chunk", lambda d: call(d.array(shape=(4, 2)), d.pick(1, 3, 5), 0))
row("unbind", lambda d: call(x := d.array(least=1), d.dim(x)))
row("diagonal", lambda d: call(d.array(shape=(3, 2, 3)), d.pick(0, 1, -1, 5), d.pick(0, -1), 1))
row("flip", lambda d: call(x := d.array(least=1), (d.dim(x),)))
row("roll", lambda d: call(x := d.array(least=1), d.pick(1, -2), d.pick(None, d.dim(x))))
rows("tril triu", lambda d: call(d.array(shape=d.pick((3, 2), (2, 3, 3))), d.pick(0, 1, -1)))
row(
    "pad",
    lambda d: call(
        d.array(shape=(1, 2, 3)),
        d.pick((1, 2), (0, 1, 2, 0), (-1, 1), (0, 0)),
        "constant",
        d.pick(None, 0.5),
    ),
)
row(
    "pad:modes",
    lambda d: call(
        d.array(shape=(1, 2, 3)),
        d.pick((1, 2), (0, 1), (2, 2)),
        d.pick("reflect", "replicate", "circular"),
    ),
)

# ---- dtype and device -----------------------------------------------------------------------

row("double", lambda d: call(d.array()), mg.Tensor.double, "Tensor.double")
row("float", lambda d: call(d.array()), mg.Tensor.float, "Tensor.float", smooth=False)
row("half", lambda d: call(d.array()), mg.Tensor.half, "Tensor.half", exact=False, smooth=False)
row(
    "bfloat16",
    lambda d: call(d.array()),
    mg.Tensor.bfloat16,
    "Tensor.bfloat16",
    exact=False,
    smooth=False,
)
row(
    "to",
    lambda d: call(d.array()),
    lambda x: x.to("cpu", mg.float64),
    lambda torch, x: x.to("cpu", torch.float64),
)
row(
    "astype", lambda d: call(d.array()), lambda x: x.astype(mg.float64), lambda torch, x: x.double()
)
row("cpu", lambda d: call(d.array()), mg.Tensor.cpu, "Tensor.cpu")
row(
    "type_as",
    lambda d: call(x := d.array(), d.same(x)),
    lambda x, y: x.type_as(y) * y,
    lambda torch, x, y: x.type_as(y) * y,
)

# ---- indexing -------------------------------------------------------------------------------

row("gather", lambda d: call(d.array(shape=(3, 2)), d.pick(0, -1), d.integers(2, (2, 2))))
row(
    "take_along_dim",
    lambda d: call(d.array(shape=(3, 2)), d.integers(3, (2, 1)), 0),
    theirs=lambda torch, x, i, dim: torch.take_along_dim(x, i.expand(2, 2), dim),
)
row("index_select", lambda d: call(d.array(shape=(3, 2)), d.pick(0, -1), d.integers(2, (4,))))
row(
    "index_add",
    lambda d: call(
        d.array(shape=(3, 2)), 0, d.integers(3, (4,)), d.array(shape=(4, 2)), alpha=d.pick(1, 2.0)
    ),
)
row("index_copy", lambda d: call(d.array(shape=(3, 2)), 0, np.array([2, 0]), d.array(shape=(2, 2))))
row("index_fill", lambda d: call(d.array(shape=(3, 2)), d.pick(0, -1), np.array([1, 0]), 0.5))
row(
    "scatter",
    lambda d: call(
        d.array(shape=(3, 2)), 0, np.array([[0, 2], [1, 0]]), d.pick(0.5, d.array(shape=(2, 2)))
    ),
)
row(
    "scatter_add",
    lambda d: call(d.array(shape=(3, 2)), 0, d.integers(3, (2, 2)), d.array(shape=(2, 2))),
)
row("masked_fill", lambda d: call(x := d.array(), d.mask(x.shape), d.pick(0.5, d.array(shape=()))))
row("masked_select", lambda d: call(x := d.array(), d.mask(x.shape)))
row("sort", lambda d: call(x := d.array(distinct), d.dim(x), d.flag()), integers=False)
row("topk", lambda d: call(d.array(distinct, (3, 4)), d.pick(0, 1, 3), d.pick(0, -1), d.flag()))

# ---- products -------------------------------------------------------------------------------

PRODUCTS = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 2)),
    ((2, 3), (3, 4)),
    ((2, 2, 3), (3, 4)),
    ((2, 1, 2, 3), (2, 3, 1)),
    ((0, 3), (3, 2)),
    ((2, 0), (0, 3)),
    ((1, 1), (1, 1)),
]


def _product(d: Draw, *shapes: Any) -> Call:
    a, b = d.pick(*shapes)
    return call(d.array(shape=a), d.array(shape=b))


row("matmul", lambda d: _product(d, *PRODUCTS), exact=False)
row("__matmul__", lambda d: _product(d, *PRODUCTS), lambda x, y: x @ y, lambda torch, x, y: x @ y)
row(
    "__rmatmul__",
    lambda d: call(d.array(shape=(2, 3))),
    lambda x: np.ones((3, 2), x.dtype) @ x,
    lambda torch, x: torch.ones(3, 2, dtype=x.dtype) @ x,
)
row("mm", lambda d: _product(d, ((2, 3), (3, 4)), ((0, 3), (3, 2)), ((2, 0), (0, 2))))
row("bmm", lambda d: _product(d, ((2, 2, 3), (2, 3, 1)), ((0, 1, 2), (0, 2, 1))))
row("mv", lambda d: _product(d, ((2, 3), (3,)), ((0, 3), (3,))))
rows("dot vdot", lambda d: _product(d, ((3,), (3,)), ((0,), (0,)), ((1,), (1,))))
row("inner", lambda d: _product(d, ((3,), (3,)), ((2, 3), (4, 3)), ((), (2, 2))))
row("outer", lambda d: _product(d, ((3,), (2,)), ((0,), (2,))))
row(
    "addmm",
    lambda d: call(
        d.array(shape=d.pick((2, 4), (4,), ())),
        d.array(shape=(2, 3)),
        d.array(shape=(3, 4)),
        beta=d.pick(1, 0.5),
        alpha=d.pick(1, 2.0),
    ),
)
row("trace", lambda d: call(d.array(shape=d.pick((3, 3), (2, 3)))))
row(
    "tensordot",
    lambda d: call(
        d.array(shape=(2, 3)), d.array(shape=(3, 2)), dims=d.pick(0, 1, ([0, 1], [1, 0]))
    ),
)
EQUATIONS = [
    ("ij,jk->ik", (2, 3), (3, 2)),
    ("ij,ij->", (2, 3), (2, 3)),
    ("...i,i->...", (2, 1, 3), (3,)),
    ("ij->ji", (2, 3)),
    ("ii->i", (3, 3)),
    ("ij->", (2, 3)),
    ("i,j->ij", (2,), (3,)),
    ("bij,bjk,k->bi", (2, 1, 3), (2, 3, 2), (2,)),
]
row("einsum", lambda d: call((e := d.pick(*EQUATIONS))[0], *[d.array(shape=s) for s in e[1:]]))
row(
    "linear",
    lambda d: call(
        d.array(shape=d.pick((3,), (2, 3), (2, 1, 3), (0, 3))),
        d.array(shape=(4, 3)),
        d.pick(None, d.array(shape=(4,))),
    ),
)

# ---- convolution, pooling, resizing ---------------------------------------------------------

SIZES: dict[int, tuple[int, ...]] = {1: (5,), 2: (4, 5), 3: (5, 4, 3)}


def _images(d: Draw, n: int, channels: int = 2, domain: Any = real) -> Array:
    batch = d.pick((1,), (2,), ())
    return d.array(domain, (*batch, channels, *SIZES[n]))


def _conv(d: Draw, n: int) -> Call:
    groups = d.pick(1, 2)
    x, w = _images(d, n), d.array(shape=(4, 2 // groups) + d.pick((1,) * n, (3, 2, 1)[:n]))
    return call(
        x,
        w,
        d.pick(None, d.array(shape=(4,))),
        stride=d.pick(1, 2),
        padding=d.pick(0, 1, "valid"),
        dilation=d.pick(1, 1, 2) if w.shape[-1] == 1 else 1,
        groups=groups,
    )


def _conv_transpose(d: Draw, n: int) -> Call:
    groups = d.pick(1, 2)
    x, w = _images(d, n), d.array(shape=(2, 2) + (3, 2, 2)[:n])
    stride = d.pick(1, 2)
    return call(
        x,
        w,
        d.pick(None, d.array(shape=(2 * groups,))),
        stride=stride,
        padding=d.pick(0, 1),
        output_padding=stride - 1,
        groups=groups,
    )


def _depthwise(d: Draw) -> Call:
    return call(
        d.array(shape=(1, 3, 5, 4)),
        d.array(shape=(3, 1, 3, 3)),
        d.array(shape=(3,)),
        padding=d.pick(1, "same"),
        groups=3,
    )


for _n in (1, 2, 3):
    row(f"conv{_n}d", lambda d, n=_n: _conv(d, n), exact=False)
    row(f"conv_transpose{_n}d", lambda d, n=_n: _conv_transpose(d, n), exact=False)
    row(
        f"avg_pool{_n}d",
        lambda d, n=_n: call(
            _images(d, n),
            d.pick(2, 3),
            d.pick(None, 1, 2),
            d.pick(0, 1),
            ceil_mode=d.flag(),
            count_include_pad=d.flag(),
        ),
    )
    row(
        f"max_pool{_n}d",
        lambda d, n=_n: call(
            _images(d, n, domain=distinct),
            d.pick(2, 3),
            d.pick(None, 1, 2),
            d.pick(0, 1),
            ceil_mode=d.flag(),
        ),
    )
    row(f"adaptive_avg_pool{_n}d", lambda d, n=_n: call(_images(d, n), d.pick(1, 2, 3)))
    row(
        f"adaptive_max_pool{_n}d",
        lambda d, n=_n: call(_images(d, n, domain=distinct), d.pick(1, 2, 3)),
    )
row("conv2d:depthwise", _depthwise, exact=False)

MODES = {
    1: ("nearest", "linear", "area"),
    2: ("nearest", "nearest-exact", "bilinear", "bicubic"),
    3: ("nearest", "trilinear"),
}


def _interpolate(d: Draw) -> Call:
    n = d.pick(1, 2, 3)
    mode = d.pick(*MODES[n])
    options = d.pick({"size": (3, 6, 4)[:n]}, {"scale_factor": 2.0}, {"scale_factor": 0.5})
    if mode not in ("nearest", "nearest-exact", "area"):
        options = {**options, "align_corners": d.flag()}
    return call(d.array(shape=(d.pick(1, 2), 2, *SIZES[n])), mode=mode, **options)


row("interpolate", _interpolate, exact=False)

# ---- normalisation --------------------------------------------------------------------------


def _affine(d: Draw, shape: tuple[int, ...]) -> list[Any]:
    return d.pick([None, None], [d.array(shape=shape), d.array(shape=shape)])  # type: ignore[no-any-return]


row(
    "layer_norm",
    lambda d: call(d.array(shape=d.pick((4,), (2, 4), (2, 1, 4), (0, 4))), (4,), *_affine(d, (4,))),
    exact=False,
)
row(
    "layer_norm:two",
    lambda d: call(d.array(shape=(2, 3, 4)), (3, 4), *_affine(d, (3, 4))),
    exact=False,
)
row(
    "rms_norm",
    lambda d: call(
        d.array(nonzero, shape=d.pick((4,), (2, 4), (2, 1, 4))),
        (4,),
        d.pick(None, d.array(shape=(4,))),
    ),
    exact=False,
)
row(
    "normalize",
    lambda d: call(d.array(nonzero, shape=d.pick((2, 3), (3, 2, 2))), d.pick(2.0, 1.0, 3.0)),
    exact=False,
)
row(
    "group_norm",
    lambda d: call(
        d.array(shape=d.pick((2, 4, 3), (1, 4, 2, 2), (3, 4))), d.pick(1, 2), *_affine(d, (4,))
    ),
    exact=False,
)
row(
    "instance_norm",
    lambda d: call(d.array(shape=d.pick((2, 3, 4), (1, 3, 2, 2))), None, None, *_affine(d, (3,))),
    exact=False,
)


def _batch_norm(library: Any, x: Any, weight: Any, bias: Any, training: bool, f: Any) -> Any:
    at = {"dtype": x.dtype, "device": x.device}
    mean, var = library.zeros(3, **at), library.ones(3, **at)
    y = f(x, mean, var, weight, bias, training=training)
    return y, mean, var


def _batches(d: Draw) -> Call:
    return call(d.array(shape=d.pick((4, 3), (2, 3, 3), (2, 3, 2, 2))), *_affine(d, (3,)), d.flag())


row(
    "batch_norm",
    _batches,
    lambda *a: _batch_norm(mg, *a, F.batch_norm)[0],
    lambda torch, *a: _batch_norm(torch, *a, torch.nn.functional.batch_norm)[0],
    exact=False,
)
row(
    "batch_norm:running",
    _batches,
    lambda *a: _batch_norm(mg, *a, F.batch_norm),
    lambda torch, *a: _batch_norm(torch, *a, torch.nn.functional.batch_norm),
    smooth=False,
)


def _grn(torch: Any, x: Any, gamma: Any, beta: Any) -> Any:
    size = torch.linalg.vector_norm(x, dim=tuple(range(1, x.ndim - 1)), keepdim=True)
    return x + gamma * (x * (size / (size.mean(-1, keepdim=True) + 1e-6))) + beta


row(
    "global_response_norm",
    lambda d: call(
        d.array(shape=d.pick((2, 3, 4), (1, 2, 2, 4))), d.array(shape=(4,)), d.array(shape=(4,))
    ),
    theirs=_grn,
    exact=False,
)

# ---- losses ---------------------------------------------------------------------------------

REDUCTIONS = ("none", "mean", "sum")
rows(
    "mse_loss smooth_l1_loss huber_loss l1_loss kl_div",
    lambda d: call(
        x := d.array(between, filled=True), d.same(x, probability), reduction=d.pick(*REDUCTIONS)
    ),
    exact=False,
)
row(
    "smooth_l1_loss:beta",
    lambda d: call(
        x := d.array(between, filled=True), d.same(x, probability), beta=d.pick(0.0, 0.5)
    ),
    exact=False,
)
row(
    "huber_loss:delta",
    lambda d: call(x := d.array(between, filled=True), d.same(x, probability), delta=0.5),
    exact=False,
)
row(
    "kl_div:log",
    lambda d: call(x := d.array(shape=(2, 3)), d.same(x), reduction="batchmean", log_target=True),
    exact=False,
)
row(
    "binary_cross_entropy",
    lambda d: call(
        x := d.array(probability, filled=True),
        d.same(x, probability),
        reduction=d.pick(*REDUCTIONS),
    ),
    exact=False,
)
row(
    "binary_cross_entropy_with_logits",
    lambda d: call(
        x := d.array(filled=True), d.same(x, probability), reduction=d.pick(*REDUCTIONS)
    ),
    exact=False,
)


def _classes(d: Draw) -> tuple[Array, Array]:
    shape, labels = d.pick(((4, 3), (4,)), ((2, 3, 2), (2, 2)), ((3,), ()), ((1, 3), (1,)))
    return d.array(shape=shape), d.integers(3, labels)


row(
    "cross_entropy",
    lambda d: call(
        *_classes(d),
        reduction=d.pick(*REDUCTIONS),
        label_smoothing=d.pick(0.0, 0.1),
        ignore_index=d.pick(-100, 7),
    ),
    exact=False,
)
row(
    "cross_entropy:probabilities",
    lambda d: call(
        x := d.array(shape=d.pick((4, 3), (2, 3, 2))),
        d.same(x, probability),
        reduction=d.pick(*REDUCTIONS),
    ),
    exact=False,
)
row("nll_loss", lambda d: call(*_classes(d), reduction=d.pick(*REDUCTIONS)), exact=False)
row(
    "dice_loss",
    lambda d: call(d.array(shape=(2, 3, 4)), d.integers(3, (2, 4)), reduction=d.pick(*REDUCTIONS)),
    theirs=lambda torch, x, t, reduction: _dice(torch, x, t, reduction),
    exact=False,
)


row(
    "dice_loss:options",
    lambda d: call(
        d.array(shape=(2, 3, 4)),
        d.array(probability, shape=(2, 3, 4)),
        reduction=d.pick(*REDUCTIONS),
        include_background=d.flag(),
        multilabel=d.flag(),
        batch=d.flag(),
        squared=d.flag(),
    ),
    theirs=None,
    exact=False,
)
row(
    "generalized_dice_loss",
    lambda d: call(
        d.array(shape=(2, 3, 4)),
        d.integers(3, (2, 4)),
        d.pick("square", "simple", "uniform"),
        reduction=d.pick(*REDUCTIONS),
    ),
    theirs=None,
    exact=False,
)
row(
    "dice_ce_loss",
    lambda d: call(
        d.array(shape=(2, 3, 4)), d.integers(3, (2, 4)), label_smoothing=d.pick(0.0, 0.1)
    ),
    theirs=lambda torch, x, t, label_smoothing: (
        _dice(torch, x, t, "mean")
        + torch.nn.functional.cross_entropy(x, t, label_smoothing=label_smoothing)
    ),
    exact=False,
)
row(
    "dice_ce_loss:one",
    lambda d: call(d.array(shape=(2, 1, 4)), d.integers(2, (2, 4)), batch=d.flag()),
    theirs=None,
    exact=False,
)


def _dice(torch: Any, x: Any, t: Any, reduction: str) -> Any:
    p = torch.softmax(x, 1)
    hot = torch.nn.functional.one_hot(t, 3).movedim(-1, 1).to(x.dtype)
    loss = 1 - (2 * (p * hot).sum(2) + 1) / (p.sum(2) + hot.sum(2) + 1)
    return {"none": loss, "mean": loss.mean(), "sum": loss.sum()}[reduction]


# ---- noise ----------------------------------------------------------------------------------


def _seeded(function: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any, **options: Any) -> Any:
        mg.manual_seed(0)
        return function(*args, **options)

    return run


row("dropout", lambda d: call(d.array(), p=d.pick(0.0, 0.5, 1.0)), _seeded(F.dropout), None)
row(
    "drop_path",
    lambda d: call(d.array(least=1), 0.5, training=d.flag()),
    _seeded(F.drop_path),
    None,
)

# ---- attention, and pixels from channels ----------------------------------------------------


def _attention(d: Draw) -> Call:
    lead = d.pick((), (2,), (1, 2))
    mask = d.pick(None, np.array([[True, False, True], [True, True, False]]))
    options = {"is_causal": True} if mask is None and d.flag() else {}
    shapes = ((*lead, 2, 4), (*lead, 3, 4), (*lead, 3, 5))
    return call(*[d.array(shape=s) for s in shapes], mask, scale=d.pick(None, 0.3), **options)


row("scaled_dot_product_attention", _attention, exact=False)
row("pixel_shuffle", lambda d: call(d.array(shape=d.pick((4, 2, 3), (2, 8, 1, 2))), 2))
row("pixel_unshuffle", lambda d: call(d.array(shape=d.pick((1, 2, 4), (2, 2, 2, 2))), 2))
row("view_as", lambda d: call(np.ascontiguousarray(d.array(shape=(2, 3))), d.array(shape=(3, 2))))
