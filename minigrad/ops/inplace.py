"""In-place methods: check, compute, change, bump the version, and re-route the graph.

A recorded in-place change is the out-of-place operation followed by a copy into the old memory;
the tensor then continues from the new node. When the tensor is a view, its base changes too: the
base's new node is `PutView`, and every live view is derived from it again, so gradients follow
the memory exactly as in PyTorch.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

from minigrad import dtypes, modes
from minigrad.autograd.hooks import register_hook
from minigrad.autograd.node import Function
from minigrad.backend import get_xp, is_writeable
from minigrad.construct import as_tensor
from minigrad.errors import DTypeError, GraphError, ShapeError
from minigrad.ops import arithmetic, create
from minigrad.ops.declare import operation
from minigrad.ops.index import IndexPut, Slice, assign, fit, parse
from minigrad.ops.operands import cast
from minigrad.tensor import Tensor, is_recording, wrap


def _replay(steps: tuple[Function, ...], x: Any) -> Any:
    """Take the view that `steps` describe, of an array or of a tensor."""
    for step in steps:
        again = step.__class__.__new__(step.__class__)  # the old one may be a node already
        kept = {k: v for k, v in step.__dict__.items() if k not in ("seq", "trace")}
        again.__dict__.update(kept)
        x = again(x)
    return x


class PutView(Function):
    """`base` with the view that `steps` describe replaced by `value`."""

    fresh = False

    def __init__(self, steps: tuple[Function, ...]) -> None:
        self.steps = steps

    def forward(self, base: Any, value: Any) -> Any:
        out = get_xp(base).array(base, copy=True)
        _replay(self.steps, out)[...] = value
        return out

    def backward(self, g: Any) -> Any:
        part = _replay(self.steps, g)
        return PutView(self.steps)(g, part * 0.0), part


class KeepGrad:
    """The hook of ``retain_grad``: it stays with its tensor when that changes in place."""

    def __init__(self, tensor: Tensor) -> None:
        self.keeps_grad_of = weakref.ref(tensor)  # the tensor owns the node that owns the hook

    def __call__(self, g: Tensor) -> None:
        tensor = self.keeps_grad_of()
        if tensor is not None:
            kept = g.clone()
            tensor.grad = kept if tensor.grad is None else tensor.grad + kept

    @classmethod
    def on(cls, tensor: Tensor) -> None:
        """Keep the gradient of `tensor`, once."""
        if not cls.of(tensor, tensor._node):
            register_hook(tensor, cls(tensor))

    @classmethod
    def of(cls, tensor: Tensor, node: Any) -> list[KeepGrad]:
        """Return the hooks of `node` that belong to `tensor`: one, or none."""
        hooks = getattr(node, "hooks", None) or ()
        return [h for h in hooks if isinstance(h, cls) and h.keeps_grad_of() is tensor]


def _continue_from(tensor: Tensor, node: Any) -> None:
    """Let a changed tensor continue from its new node."""
    old, tensor._node = tensor._node, node
    for hook in KeepGrad.of(tensor, old):
        old.hooks.remove(hook)
        register_hook(tensor, hook)


def _check(x: Tensor, name: str) -> None:
    """Refuse a change that PyTorch refuses too, before anything happens."""
    x._version[0]  # raises for a tensor made in inference mode
    if not is_writeable(x.array):
        raise GraphError(
            f"{name}: the tensor's memory is read-only (several elements may be one, as after "
            "expand, or the array came that way); change a copy: x.clone()"
        )
    if not modes.is_grad_enabled():
        return
    base = x._view[0] if x._view else x
    if base.requires_grad and base.is_leaf:
        what = "a leaf" if base is x else "a view of a leaf"
        raise GraphError(
            f"{name}: {what} that requires grad cannot be changed in place while recording; wrap "
            "the change in `with mg.no_grad():`, or use the out-of-place operation"
        )


def _rank(dtype: dtypes.DType) -> int:
    """Order booleans, integers and floating types."""
    return 2 if dtypes.is_floating(dtype) else int(dtype != dtypes.bool_)


def _store(x: Tensor, value: Any, name: str) -> None:
    """Copy `value` into the memory of `x`."""
    if value.shape != x.shape:
        raise ShapeError(
            f"{name}: the result has shape {value.shape}, which does not fit into the tensor's "
            f"shape {x.shape}; use the out-of-place operation"
        )
    if _rank(value.dtype) > _rank(x.dtype):
        raise DTypeError(
            f"{name}: a {value.dtype} result cannot be stored in a tensor of {x.dtype}; "
            "convert the tensor first, e.g. x.float()"
        )
    x.array[...] = value
    x._version[0] += 1


def change(x: Tensor, name: str, compute: Callable[..., Tensor], *operands: Any) -> Tensor:
    """Set `x` to ``compute(x, *operands)`` in place and return it."""
    _check(x, name)
    if not is_recording(x, *operands):
        _store(x, modes.no_grad().run(compute, x.detach(), *operands).array, name)
        return x
    before = wrap(x.array.copy())  # what backward may need of the old values
    before._node = x._node
    result = cast(compute(before, *operands), x.dtype)
    _store(x, result.array, name)
    base, steps = x._view or (x, ())
    if steps:
        old = wrap(base.array)
        old._node = base._node
        result = PutView(steps)(old, result)
    _continue_from(base, result._node)
    for reference in list((x._version[1] or {}).values()):
        view = reference()
        if view is not None and view._view[0] is base:  # not one of x.detach()
            _continue_from(view, _replay(view._view[1], _alias(base))._node)
    return x


def _alias(base: Tensor) -> Tensor:
    """Return a tensor on the memory and at the place of `base`, untied from its views."""
    result = wrap(base.array)
    result._node = base._node
    return result


def inplace(name: str, compute: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Make the in-place method ``x.name(…)`` of an out-of-place function."""

    def method(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if kwargs:
            return change(self, name, lambda x, *a: compute(x, *a, **kwargs), *args)
        return change(self, name, compute, *args)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"""In-place version of `{name.rstrip("_")}`: changes and returns the tensor.

    Raises
    ------
    GraphError
        If the tensor is a leaf that requires grad and recording is on.
    ShapeError, DTypeError
        If the result does not fit into the tensor; nothing has changed then.
    """
    return method


def _ufunc(name: str, ufunc: str, compute: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """As `inplace`, but writing straight into the memory where nothing is recorded."""
    general = inplace(name, compute)

    def method(self: Tensor, other: Any, **kwargs: Any) -> Tensor:
        value = other.array if isinstance(other, Tensor) else other
        if not kwargs and not is_recording(self, other) and dtypes.is_floating(self.array.dtype):
            shape = getattr(value, "shape", ())
            alike = getattr(value, "dtype", None) == self.dtype
            number = value.__class__ in (int, float) and not dtypes.is_narrow(self.array.dtype)
            if shape in ((), self.shape) and (alike or number):
                _check(self, name)
                dtypes.check_operand(name, value, self.array.dtype)
                getattr(get_xp(self.array), ufunc)(self.array, value, out=self.array)
                self._version[0] += 1
                return self
        return general(self, other, **kwargs)

    method.__name__ = method.__qualname__ = name
    method.__doc__ = general.__doc__
    return operation("Tensor")(method)


add_ = _ufunc("add_", "add", arithmetic.add)
sub_ = _ufunc("sub_", "subtract", arithmetic.sub)
mul_ = _ufunc("mul_", "multiply", arithmetic.mul)
div_ = _ufunc("div_", "divide", arithmetic.div)


@operation("Tensor")
def copy_(self: Tensor, source: Any) -> Tensor:
    """Copy the values of `source`, broadcast and cast, into the tensor; returns it."""
    source = source if isinstance(source, Tensor) else as_tensor(source)

    def compute(x: Tensor, value: Tensor) -> Tensor:
        return cast(value, x.dtype).to(x.device).expand(x.shape)

    return change(self, "copy_", compute, source)


@operation("Tensor")
def fill_(self: Tensor, value: Any) -> Tensor:
    """Set every element to `value`; returns the tensor."""

    def compute(x: Tensor) -> Tensor:
        return create.full_like(x, value)

    return change(self, "fill_", compute)


@operation("Tensor")
def zero_(self: Tensor) -> Tensor:
    """Set every element to zero; returns the tensor."""
    return fill_(self, 0)


def setitem(self: Tensor, index: Any, value: Any) -> None:
    """Write `value`, broadcast and cast, to ``self[index]``: the statement ``x[index] = value``."""
    _check(self, "setitem")
    basic, advanced = parse(index, self.shape)
    value = fit(self, basic, advanced, value)
    if not is_recording(self, value):
        assign(self.array, basic, advanced, value.array if isinstance(value, Tensor) else value)
        self._version[0] += 1
    elif advanced:
        put = IndexPut(basic, advanced)
        change(self, "setitem", put, value)
        put.guard(*index if isinstance(index, tuple) else (index,))
    else:
        copy_(Slice(basic)(self), value)
