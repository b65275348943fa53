"""Attach the operations to `Tensor`: Python's operators, and what was declared a method."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad import backend, dtypes, modes, random
from minigrad.autograd import engine, hooks
from minigrad.autograd.node import Function
from minigrad.errors import DTypeError, OptionError
from minigrad.ops import (
    arithmetic,
    compare,
    create,
    elementwise,
    index,
    inplace,
    linalg,
    precision,
    shape,
)
from minigrad.ops.declare import NAMES, operation
from minigrad.ops.operands import cast
from minigrad.tensor import Tensor, wrap

__all__ = ["bind", "bound"]

# ---- operators ------------------------------------------------------------------------------


def _swapped(function: Any) -> Any:
    def method(self: Tensor, other: Any) -> Any:
        return function(other, self)

    return method


def _rtruediv(self: Tensor, other: Any) -> Any:
    if modes.state.autocast is not None:
        (self,) = precision.obey("reciprocal", self)
    return arithmetic.div(other, self)


def _or_not_implemented(function: Any) -> Any:
    """Leave ``x == None`` and ``x == "text"`` to Python, which answers False."""

    def method(self: Tensor, other: Any) -> Any:
        if isinstance(other, (Tensor, int, float, np.ndarray)) or hasattr(other, "dtype"):
            return function(self, other)
        return NotImplemented

    return method


_OPERATORS = {
    "__add__": lambda self, other: arithmetic.Add().of(self, other),
    "__radd__": lambda self, other: arithmetic.Add().of(other, self),
    "__sub__": lambda self, other: arithmetic.sub(self, other),
    "__rsub__": lambda self, other: arithmetic.sub(other, self),
    "__mul__": lambda self, other: arithmetic.Mul().of(self, other),
    "__rmul__": lambda self, other: arithmetic.Mul().of(other, self),
    "__truediv__": arithmetic.div,
    "__rtruediv__": _rtruediv,
    "__floordiv__": arithmetic.floor_divide,
    "__rfloordiv__": _swapped(arithmetic.floor_divide),
    "__mod__": arithmetic.remainder,
    "__rmod__": _swapped(arithmetic.remainder),
    "__pow__": elementwise.pow,
    "__rpow__": _swapped(elementwise.pow),
    "__matmul__": linalg.matmul,
    "__rmatmul__": _swapped(linalg.matmul),
    "__neg__": arithmetic.neg,
    "__pos__": arithmetic.positive,
    "__abs__": elementwise.abs,
    "__invert__": compare.bitwise_not,
    "__and__": compare.bitwise_and,
    "__rand__": compare.bitwise_and,
    "__or__": compare.bitwise_or,
    "__ror__": compare.bitwise_or,
    "__xor__": compare.bitwise_xor,
    "__rxor__": compare.bitwise_xor,
    "__eq__": _or_not_implemented(compare.eq),
    "__ne__": _or_not_implemented(compare.ne),
    "__lt__": compare.lt,
    "__le__": compare.le,
    "__gt__": compare.gt,
    "__ge__": compare.ge,
    "__getitem__": index.getitem,
    "__setitem__": inplace.setitem,
    "__iter__": lambda self: iter(shape.unbind(self)),
    "__hash__": object.__hash__,
}

_INPLACE_OPERATORS = {
    "__iadd__": "add_", "__isub__": "sub_", "__imul__": "mul_", "__itruediv__": "div_",
    "__ifloordiv__": "floor_divide_", "__imod__": "remainder_", "__ipow__": "pow_",
    "__iand__": "bitwise_and_", "__ior__": "bitwise_or_", "__ixor__": "bitwise_xor_",
}  # fmt: skip

# ---- methods of their own -------------------------------------------------------------------

operation("Tensor")(hooks.register_hook)


@operation("Tensor")
def to(
    self: Tensor, *args: Any, dtype: Any = None, device: Any = None, non_blocking: bool = False,
    copy: bool = False, memory_format: str = "preserve_format",
) -> Tensor:  # fmt: skip
    """Return the tensor with another dtype, on another device, or like another tensor.

    ``x.to("cuda")``, ``x.to(mg.float64)``, ``x.to("cpu", "float16")``, ``x.to(other)``; the
    tensor itself where nothing changes, unless `copy`. `memory_format` and `non_blocking` are
    accepted for programs written for PyTorch: minigrad chooses the layout itself.

    Raises
    ------
    OptionError
        If an argument is neither a device, a dtype nor a tensor.
    """
    shape.check_memory_format("to", memory_format)
    for value in args:
        if isinstance(value, Tensor):
            dtype, device = value.dtype, value.device
        elif isinstance(value, str) and value.partition(":")[0] in ("cpu", "cuda"):
            device = value
        elif value is not None:
            try:
                dtype = dtypes.to_dtype(value)
            except DTypeError:
                raise OptionError(
                    f"to: {value!r} is neither a device, a dtype nor a tensor; use 'cpu', "
                    "'cuda:0', a dtype such as mg.float32, or another tensor"
                ) from None
    result = self if dtype is None else cast(self, dtypes.to_dtype(dtype))
    if device is not None and backend.Device(device) != result.device:
        result = Move(backend.Device(device))(result)
    return shape.clone(result) if copy and result is self else result


class Move(Function):
    """Copy to another device; the gradient travels back."""

    any_dtype = True

    def __init__(self, device: backend.Device) -> None:
        self.device = device

    def forward(self, x: Any) -> Any:
        self.source = backend.device_of(x)
        return backend.to_device(x, self.device)

    def backward(self, g: Any) -> Any:
        return Move(self.source)(g)


@operation("Tensor")
def backward(
    self: Tensor,
    gradient: Tensor | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Add the gradient of this tensor to the ``grad`` of every leaf it depends on.

    Parameters
    ----------
    gradient : Tensor, optional
        The vector of the vector-Jacobian product; may be left out for a scalar.
    retain_graph, create_graph, inputs
        As in `minigrad.autograd.backward`.

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> x.square().sum().backward()
    >>> x.grad
    tensor([2., 4.])
    """
    engine.backward(self, gradient, retain_graph, create_graph, inputs)


@operation("Tensor")
def retain_grad(self: Tensor) -> None:
    """Keep the gradient of this inner tensor in ``grad`` during backward."""
    if not self.is_leaf:
        inplace.KeepGrad.on(self)


@operation("Tensor")
def normal_(self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Any = None) -> Tensor:
    """Fill the tensor with normal random numbers, in place; returns it."""
    stream = generator or random.default_generator()
    return inplace.copy_(self, wrap(stream.normal(self.shape, self.dtype) * std + mean))


@operation("Tensor")
def uniform_(self: Tensor, low: float = 0.0, high: float = 1.0, *, generator: Any = None) -> Tensor:
    """Fill the tensor with uniform random numbers in [low, high), in place; returns it."""
    stream = generator or random.default_generator()
    return inplace.copy_(self, wrap(stream.random(self.shape, self.dtype) * (high - low) + low))


@operation("Tensor")
def detach_(self: Tensor) -> Tensor:
    """Take this tensor out of the graph; returns it."""
    self._node = None
    return self


@operation("Tensor")
def astype(self: Tensor, dtype: Any, copy: bool = False) -> Tensor:
    """Return the tensor in another dtype: NumPy's spelling of `to`."""
    result = cast(self, dtypes.to_dtype(dtype))
    return shape.clone(result) if copy and result is self else result


@operation("Tensor")
def type_as(self: Tensor, other: Tensor) -> Tensor:
    """Return the tensor in the dtype of `other`."""
    return cast(self, other.dtype)


@operation("Tensor")
def cpu(self: Tensor) -> Tensor:
    """Return the tensor on the CPU; itself where it is there already."""
    return to(self, device="cpu")


@operation("Tensor")
def cuda(self: Tensor, index: int = 0) -> Tensor:
    """Return the tensor on GPU `index`; itself where it is there already."""
    return to(self, device=f"cuda:{index}")


@operation("Tensor")
def new_zeros(self: Tensor, *size: Any) -> Tensor:
    """Return zeros of another size in the dtype and on the device of the tensor."""
    return create.zeros(*size, dtype=self.dtype, device=self.device)


@operation("Tensor")
def new_ones(self: Tensor, *size: Any) -> Tensor:
    """Return ones of another size in the dtype and on the device of the tensor."""
    return create.ones(*size, dtype=self.dtype, device=self.device)


@operation("Tensor")
def new_empty(self: Tensor, *size: Any) -> Tensor:
    """Return uninitialised memory of another size in the dtype and on the device of the tensor."""
    return create.empty(*size, dtype=self.dtype, device=self.device)


@operation("Tensor")
def new_full(self: Tensor, size: Any, fill_value: Any) -> Tensor:
    """Return `fill_value` in another size, in the dtype and on the device of the tensor."""
    return create.full(size, fill_value, dtype=self.dtype, device=self.device)


@operation("Tensor")
def bernoulli_(self: Tensor, p: float = 0.5, *, generator: Any = None) -> Tensor:
    """Fill the tensor with 1 with probability `p` and 0 otherwise, in place; returns it."""
    if not 0.0 <= p <= 1.0:
        raise OptionError(f"bernoulli_: p is a probability between 0 and 1, got {p}")
    stream = generator or random.default_generator()
    return inplace.copy_(self, wrap(stream.random(self.shape, dtypes.float64) < p))


@operation("Tensor")
def type(self: Tensor, dtype: Any = None) -> Any:
    """Return the tensor in another dtype (`to`); without one, the name of PyTorch's class for it.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.ones(2).type(), mg.ones(2).type(mg.int64).type()
    ('torch.FloatTensor', 'torch.LongTensor')
    """
    if dtype is None:
        place = "torch.cuda" if self.device != "cpu" else "torch"
        return f"{place}.{_CLASSES[self.dtype.name]}Tensor"
    if isinstance(dtype, str) and dtype.startswith("torch."):
        word = dtype.rpartition(".")[2].removesuffix("Tensor")
        named = {cls: name for name, cls in _CLASSES.items()}
        if word not in named:
            raise OptionError(f"type: there is no {dtype!r} here; use a dtype such as mg.float32")
        dtype = named[word]
    return to(self, dtype=dtype)


_CLASSES = {
    "float16": "Half", "bfloat16": "BFloat16", "float32": "Float", "float64": "Double",
    "uint8": "Byte", "int8": "Char", "int16": "Short", "int32": "Int", "int64": "Long",
    "bool": "Bool",
}  # fmt: skip


@operation("minigrad")
def is_tensor(x: Any) -> bool:
    """Return True if `x` is a Tensor.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.is_tensor(mg.zeros(1)), mg.is_tensor(np.zeros(1))
    (True, False)
    """
    return isinstance(x, Tensor)


@operation("minigrad")
def is_floating_point(x: Tensor) -> bool:
    """Return True if the elements of `x` are of a floating type.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.is_floating_point(mg.zeros(1)), mg.is_floating_point(mg.tensor([1]))
    (True, False)
    """
    return x.is_floating_point()


@operation("Tensor")
def where(self: Tensor, condition: Tensor, other: Any) -> Tensor:
    """Return the tensor where `condition` is true and `other` elsewhere."""
    result: Tensor = elementwise.where(condition, self, other)
    return result


def _transposed(self: Tensor) -> Tensor:
    """Return the tensor with its axes in reverse order."""
    return shape.permute(self, tuple(reversed(range(self.ndim))))


def _matrix_transposed(self: Tensor) -> Tensor:
    """Return the tensor with its last two axes exchanged."""
    return shape.transpose(self, -2, -1)


def _caster(name: str, dtype: Any) -> Any:
    def method(self: Tensor) -> Tensor:
        return cast(self, dtypes.to_dtype(dtype))

    method.__name__ = name
    method.__doc__ = f"Return the tensor as {dtype}; itself where it is that already."
    return method


_CASTS = {
    "half": "float16", "float": "float32", "double": "float64", "bfloat16": "bfloat16",
    "int": "int32", "long": "int64", "short": "int16", "bool": "bool",
}  # fmt: skip


def bound() -> dict[str, Any]:
    """Return every operator and method that the operations give to `Tensor`, by name."""
    changing = {name: inplace.inplace(name, f) for name, f in NAMES["inplace"].items()}
    casts = {name: _caster(name, dtype) for name, dtype in _CASTS.items()}
    turned = {"T": property(_transposed), "mT": property(_matrix_transposed)}
    named = {**_OPERATORS, **NAMES["Tensor"], **changing, **casts, **turned}
    return named | {operator: named[name] for operator, name in _INPLACE_OPERATORS.items()}


def bind() -> None:
    """Set them on `Tensor`."""
    for name, value in bound().items():
        setattr(Tensor, name, value)
