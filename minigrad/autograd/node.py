"""Function: an operation and its node in the graph, one object.

Calling a Function on tensors runs `forward` on their arrays and, while recording, keeps the
object as the node that `backward` will visit. Calling it on plain arrays just runs `forward`: so
one formula, written once, serves the ordinary backward pass (arrays) and the differentiable one
(tensors). Edges run from a node to the nodes of its inputs; nothing points back, hence a graph
nobody needs any more is freed by reference counting.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, ClassVar

import numpy as np

from minigrad import backend, dtypes
from minigrad.autograd.anomaly import check_result
from minigrad.autograd.foreign import checked_result
from minigrad.autograd.refusals import changed, explain, serves_once, spent
from minigrad.autograd.tracing import note
from minigrad.autograd.versions import InferenceVersion, link_view, versions_of
from minigrad.dtypes import DType
from minigrad.errors import ShapeError
from minigrad.kernels import pick
from minigrad.modes import ANOMALY, GRAD, INFERENCE, TRACE, current
from minigrad.tensor import LeafNode, Tensor, wrap

__all__ = ["Cast", "Function", "LeafNode", "next_seq", "record", "sum_to", "watch"]

next_seq = count(1).__next__
_ndarray = np.ndarray


class Function:
    """A differentiable operation; a subclass gives `forward` and `backward`.

    `forward` takes arrays and returns one array. `backward` takes the gradient of the result and
    the saved values, and returns one gradient per input: plain arrays in an ordinary pass, tensors
    under ``create_graph=True``. It must work for both: operators, other Functions, and
    ``xp = get_xp(g)``. Parameters that are not tensors go to ``__init__``.

    Attributes
    ----------
    saves : tuple of int
        Positions of the inputs that `backward` needs.
    saves_for : tuple of int or None
        For every entry of `saves`, the input whose gradient alone needs it (None: any of them). A
        value that only the gradient of a constant would need is not kept, and comes as None.
    saves_output : bool
        Pass the result to `backward`, after the saved inputs.
    view : bool
        The result may share memory with input 0.
    any_dtype : bool
        `forward` takes bfloat16 as it is; else such tensors are computed in float32 and rounded,
        because ``bfloat16 * 0.5`` is float32 for NumPy.
    fresh : bool
        Each array that `backward` returns is `g` itself or seen by nobody else, so that a leaf
        may keep it as its ``grad``; what may be a view is copied for it. An operation of yours has
        to say so, ours say where it is not so.
    bfloat16 : bool
        `forward` gives bfloat16 as it is to kernels that know it.
    several_steps : bool
        `forward` would round float16 more than once: it too is computed in float32 and rounded.
    needs : tuple of bool
        Which inputs require a gradient, once the operation is recorded.

    Examples
    --------
    >>> import minigrad as mg
    >>> class Cube(mg.autograd.Function):
    ...     saves = (0,)
    ...     def forward(self, x):
    ...         return x * x * x
    ...     def backward(self, g, x):
    ...         return g * (3.0 * x * x)
    >>> x = mg.tensor(2.0, requires_grad=True)
    >>> Cube()(x).backward()
    >>> x.grad
    tensor(12.)
    """

    __slots__ = (
        "__dict__", "__weakref__", "arrays", "hooks", "next", "out_dtype", "out_shape", "saved",
        "versions",
    )  # fmt: skip

    saves: tuple[int, ...] = ()
    saves_for: ClassVar[tuple[int | None, ...]] = ()
    saves_output: ClassVar[bool] = False
    view: ClassVar[bool] = False
    any_dtype: ClassVar[bool] = False
    bfloat16: ClassVar[bool] = False
    several_steps: ClassVar[bool] = False
    fresh: ClassVar[bool] = True
    is_leaf: ClassVar[bool] = False
    foreign: ClassVar[bool] = True  # not one of ours: what it returns is looked at more closely
    name: ClassVar[str] = "function"

    next: tuple[Any, ...]  # the node of every input, None where no gradient is needed
    saved: Sequence[Any] | None  # the inputs that backward needs, as they came
    arrays: Sequence[Any]  # their arrays, then the result's
    versions: Sequence[tuple[list[Any], int]]  # what their version cells held
    seq: int = 0  # 0 until the object is a node
    out_shape: tuple[int, ...]
    out_dtype: DType
    hooks: list[Callable[[Tensor], Tensor | None]] | None
    trace: Any = None

    def __init_subclass__(cls) -> None:
        cls.foreign = not cls.__module__.startswith("minigrad.")
        if cls.foreign:
            cls.fresh = cls.__dict__.get("fresh", False)
        if "name" not in cls.__dict__:
            words = "".join(f"_{c.lower()}" if c.isupper() else c for c in cls.__name__)
            cls.name = words.strip("_")

    def forward(self, *arrays: Any) -> Any:
        """Compute the result from arrays."""
        raise NotImplementedError(f"{type(self).__name__} defines no forward(self, *arrays)")

    def backward(self, g: Any, *saved: Any) -> Any:
        """Compute the gradient of every input from that of the result."""
        raise NotImplementedError(f"{type(self).__name__} defines no backward(self, g, *saved)")

    def __call__(self, *inputs: Any) -> Tensor:
        """Run the operation; record it if an input requires a gradient.

        Tensors in, a tensor out; plain arrays in, a plain array out.
        """
        if self.seq:
            raise serves_once(self)
        arrays, parents = [], []
        tensors = recording = False
        for value in inputs:
            node = None
            if isinstance(value, Tensor):
                tensors = True
                node = value._node
                if node is not None:
                    recording = True
                value = value.array
                if value.dtype.itemsize == 2 and self._widens(value):
                    return self._in_float32(inputs)
            arrays.append(value)
            parents.append(node)
        try:
            out = self.forward(*arrays)
        except (ValueError, TypeError, IndexError) as error:
            raise explain(self, arrays, error) from None
        if not tensors:
            return out  # type: ignore[no-any-return]
        if out.__class__ is not _ndarray or self.foreign:
            if isinstance(out, np.generic):
                out = np.asarray(out)
            elif self.foreign:
                out = checked_result(self, out, arrays)
        result = wrap(out)
        flags = current().flags
        if recording and flags & GRAD:
            saved = [inputs[i] for i in self.saves]
            kept = [arrays[i] for i in self.saves]
            record(self, result, tuple(parents), saved, kept, versions_of(saved))
            if self.saves_output:  # the array alone: the tensor would make a reference cycle
                kept.append(out)
                self.versions = [*self.versions, (result._version, 0)]
            if self.saves_for and None in parents:
                self.forget()
        if self.view:
            link_view(self, inputs[0], result)
        if flags > GRAD:
            watch(self, inputs, result, flags)
        return result

    def _widens(self, x: Any) -> bool:
        """Return True if a two-byte array has to be computed with in float32."""
        if x.dtype.kind != "V":
            return self.several_steps and x.dtype.kind == "f"
        return not (self.any_dtype or self.view or self.bfloat16)

    def _in_float32(self, inputs: tuple[Any, ...]) -> Tensor:
        """Compute with float32 copies of two-byte floats and round the result."""
        narrow = [isinstance(v, Tensor) and dtypes.is_narrow(v.array.dtype) for v in inputs]
        wide = [Cast(dtypes.float32)(v) if n else v for v, n in zip(inputs, narrow, strict=True)]
        result = self(*wide)
        dtype = inputs[narrow.index(True)].array.dtype
        return Cast(dtype)(result) if result.array.dtype == dtypes.float32 else result

    @property
    def needs(self) -> tuple[bool, ...]:
        """Which inputs require a gradient."""
        return tuple([node is not None for node in self.next])

    def unpack(self, differentiable: bool) -> Sequence[Any]:
        """Return the saved values: arrays, or tensors of the graph if `differentiable`."""
        if self.saved is None:
            raise spent(self)
        for cell, version in self.versions:
            if cell[0] != version:
                raise changed(self, cell, version)
        if not differentiable:
            return self.arrays
        if not self.saves_output:
            return self.saved
        output = wrap(self.arrays[-1], self.versions[-1][0])
        output._node = self
        return [*self.saved, output]

    def forget(self) -> None:
        """Drop the saved inputs that no gradient needs, as the other operand is a constant."""
        assert self.saved is not None
        wanted = [j is None or self.next[j] is not None for j in self.saves_for]
        self.saved = [v if w else None for v, w in zip(self.saved, wanted, strict=True)]
        self.arrays = [a if w else None for a, w in zip(self.arrays, wanted, strict=True)]
        self.versions = versions_of(self.saved)

    def guard(self, *tensors: Any) -> None:
        """Refuse backward once one of `tensors` has changed: indices that it holds as arrays."""
        if self.seq:  # else nothing was recorded
            self.versions = [*self.versions, *versions_of(tensors)]

    def release(self) -> None:
        """Drop the saved values, and what `forward` kept on the object, after their last use.

        An operation that keeps no array has nothing to drop, and its backward can run again.
        """
        kept = self.__dict__
        if self.arrays or any(map(_is_or_holds_array, kept.values())):
            self.saved, self.arrays = None, ()
            seq = self.seq
            kept.clear()
            self.seq = seq

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


def record(
    node: Function,
    result: Tensor,
    parents: tuple[Any, ...],
    saved: Sequence[Any] = (),
    arrays: Sequence[Any] = (),
    versions: Sequence[tuple[list[Any], int]] = (),
) -> None:
    """Make `node` the place of `result` in the graph, below the nodes of its inputs.

    Until its backward it keeps the inputs `saved`, their arrays, and the versions they have now.
    """
    node.next = parents
    node.hooks = None
    node.saved = saved
    node.arrays = arrays
    node.versions = versions
    node.out_shape = result.array.shape
    node.out_dtype = result.array.dtype
    node.seq = next_seq()
    result._node = node


def watch(node: Function, inputs: tuple[Any, ...], result: Tensor, flags: int) -> None:
    """Do what inference mode, anomaly mode and a trace ask of a fresh result."""
    if flags & INFERENCE:
        result._version = InferenceVersion()
    if flags & ANOMALY:
        check_result(node, result.array)
    if flags & TRACE:
        note(node, inputs, result)


class Cast(Function):
    """Change of dtype; the gradient is cast back."""

    any_dtype = True

    def __init__(self, dtype: DType) -> None:
        self.dtype = dtype

    def forward(self, x: Any) -> Any:
        self.source = x.dtype
        return pick("cast", x)(x, self.dtype)

    def backward(self, g: Any) -> Any:
        return Cast(self.source)(g)


def sum_to(g: Any, shape: tuple[int, ...]) -> Any:
    """Sum `g` down to `shape`: the gradient of broadcasting.

    Works on arrays and on tensors, so every order of derivative goes through it.

    Examples
    --------
    >>> import numpy as np
    >>> sum_to(np.ones((4, 3)), (3,))
    array([4., 4., 4.])
    """
    if g.shape == shape:
        return g
    lead = g.ndim - len(shape)
    if lead < 0 or any(n not in (1, m) for n, m in zip(shape, g.shape[lead:], strict=True)):
        raise ShapeError(f"sum_to: a gradient of shape {g.shape} was never broadcast from {shape}")
    axes = tuple(range(lead)) + tuple(
        i for i, n in enumerate(shape, lead) if n == 1 and g.shape[i] != 1
    )
    return g.sum(axes).reshape(shape)


def _is_or_holds_array(value: Any) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (tuple, list)):
        return any(map(_is_or_holds_array, value))
    return backend.is_array(value)
