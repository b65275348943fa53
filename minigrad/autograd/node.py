"""Function: an operation and its node in the graph, one object.

Calling a Function on tensors runs `forward` on their arrays and, while recording, keeps the
object as the node that `backward` will visit. Calling it on plain arrays just runs `forward`: so
one formula, written once, serves the ordinary backward pass (arrays) and the differentiable one
(tensors). Edges run from a node to the nodes of its inputs; nothing points back, hence a graph
nobody needs any more is freed by reference counting.
"""

from __future__ import annotations

import os
import traceback
import weakref
from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
from typing import Any, ClassVar

import numpy as np

from minigrad import backend, dtypes
from minigrad.dtypes import DType
from minigrad.errors import DeviceError, DTypeError, GraphError, MinigradError, ShapeError
from minigrad.modes import ANOMALY, GRAD, INFERENCE, current
from minigrad.tensor import LeafNode, Tensor, wrap

__all__ = ["Cast", "Function", "HookHandle", "LeafNode", "register_hook", "sum_to"]

next_seq = count(1).__next__
_new_tensor = Tensor.__new__
_generic = np.generic
_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep


class Function:
    """A differentiable operation; a subclass gives `forward` and `backward`.

    `forward` takes arrays and returns one array. `backward` takes the gradient of the result and
    the saved values, and returns one gradient per input: plain arrays in an ordinary pass, tensors
    under ``create_graph=True``. It must work for both: operators, other Functions, and
    ``xp = get_xp(g)``. Parameters that are no tensors go to ``__init__``.

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
    gpu_bfloat16 : bool
        `forward` takes bfloat16 as it is on the GPU, where a kernel knows it.
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
        "__dict__", "__weakref__", "arrays", "next", "out_dtype", "out_shape", "saved",
        "versions",
    )  # fmt: skip

    saves: tuple[int, ...] = ()
    saves_for: ClassVar[tuple[int | None, ...]] = ()
    saves_output: ClassVar[bool] = False
    view: ClassVar[bool] = False
    any_dtype: ClassVar[bool] = False
    gpu_bfloat16: ClassVar[bool] = False
    several_steps: ClassVar[bool] = False
    is_leaf: ClassVar[bool] = False
    bare: ClassVar[bool] = False  # keeps no arrays beside those of `saves`
    foreign: ClassVar[bool] = True  # not one of ours: what it returns is looked at more closely
    name: ClassVar[str] = "function"

    next: tuple[Any, ...]  # the node of every input, None where no gradient is needed
    saved: Sequence[Any] | None  # the inputs that backward needs, as they came
    arrays: Sequence[Any]  # their arrays, then the result's
    versions: Sequence[tuple[list[Any], int]]  # what their version cells held
    seq: int = 0  # 0 until the object is a node
    out_shape: tuple[int, ...]
    out_dtype: DType
    hooks: list[Callable[[Tensor], Tensor | None]] | None = None
    trace: Any = None

    def __init_subclass__(cls) -> None:
        cls.foreign = not cls.__module__.startswith("minigrad.")
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
        arrays = []
        tensors = recording = False
        for value in inputs:
            if isinstance(value, Tensor):
                tensors = True
                if value._node is not None:
                    recording = True
                value = value.array
                if value.dtype.itemsize == 2 and self._widens(value):
                    return self._in_float32(inputs)
            arrays.append(value)
        try:
            out = self.forward(*arrays)
        except (ValueError, TypeError, IndexError) as error:
            raise explain(self, arrays, error) from None
        if not tensors:
            return out  # type: ignore[no-any-return]
        if out.__class__ is not np.ndarray or self.foreign:
            out = self._own(out, arrays)
        result = _new_tensor(Tensor)
        result.array = out
        result._grad = None
        result._node = None
        result._view = None
        result._version = [0, None]
        flags = current().flags
        if recording and flags & GRAD:
            self.next = tuple([v._node if isinstance(v, Tensor) else None for v in inputs])
            self.saved = saved = [inputs[i] for i in self.saves]
            self.arrays = kept = [arrays[i] for i in self.saves]
            cells = [v._version for v in saved if isinstance(v, Tensor)]
            if self.saves_output:  # the array alone: the tensor would make a reference cycle
                kept.append(out)
                cells.append(result._version)
            self.versions = [(cell, cell[0]) for cell in cells]
            if self.saves_for and None in self.next:
                self.forget()
            self.out_shape = out.shape
            self.out_dtype = out.dtype
            self.seq = next_seq()
            result._node = self
        if self.view:
            _link_view(self, inputs[0], result)
        if flags > GRAD:
            watch(self, result, flags)
        return result

    def _own(self, out: Any, arrays: list[Any]) -> Any:
        """Return the result of `forward` as an array that shares no memory it should not share."""
        if isinstance(out, _generic):
            return np.asarray(out)
        if isinstance(out, Tensor) or not (hasattr(out, "dtype") and hasattr(out, "strides")):
            raise GraphError(
                f"{self.name}: forward gets arrays and must return one array, not "
                f"{type(out).__name__}"
            )
        if self.foreign and not self.view:
            xp, kind = backend.get_xp(out), type(out)
            if any(isinstance(a, kind) and xp.may_share_memory(out, a) for a in arrays):
                return out.copy()  # a change of one would go unnoticed in the other
        return out

    def _widens(self, x: Any) -> bool:
        """Return True if a two-byte array has to be computed with in float32."""
        if x.dtype.kind != "V":
            return self.several_steps and x.dtype.kind == "f"
        on_gpu = x.__class__ is not np.ndarray
        return not (self.any_dtype or self.view or (self.gpu_bfloat16 and on_gpu))

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
            raise GraphError(
                f"{self.name}: a second backward through this operation, whose saved values were "
                "freed by the first; pass retain_graph=True to the first backward"
            )
        for cell, version in self.versions:
            if cell[0] != version:
                raise self._changed(cell, version)
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
        cells = [v._version for v in self.saved if isinstance(v, Tensor)]
        self.versions = [(cell, cell[0]) for cell in cells]

    def guard(self, *tensors: Any) -> None:
        """Refuse backward once one of `tensors` has changed: indices that it holds as arrays."""
        if self.seq:  # else nothing was recorded
            cells = [t._version for t in tensors if isinstance(t, Tensor)]
            self.versions = [*self.versions, *[(cell, cell[0]) for cell in cells]]

    def release(self) -> None:
        """Drop the saved values, and what `forward` kept on the object, after their last use.

        An operation that keeps no array has nothing to drop, and its backward can run again.
        """
        kept = self.__dict__
        if self.arrays or any(map(_is_or_holds_array, kept.values())):
            self.saved, self.arrays = None, ()
            stays: dict[str, Any] = {key: kept[key] for key in ("hooks", "seq") if key in kept}
            kept.clear()
            kept.update(stays)

    def _changed(self, cell: list[Any], version: int) -> GraphError:
        assert self.saved is not None
        of_tensors = (v.shape for v in self.saved if isinstance(v, Tensor) and v._version is cell)
        shape = next(of_tensors, self.out_shape if self.saves_output else None)
        what = "an index" if shape is None else f"a tensor of shape {shape}"
        return GraphError(
            f"{self.name}: {what} that its backward needs was changed in place "
            f"(version {cell[0]}, expected {version}); use the out-of-place method, or clone() it "
            "before"
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class Cast(Function):
    """Change of dtype; the gradient is cast back."""

    any_dtype = True

    def __init__(self, dtype: DType) -> None:
        self.dtype = dtype

    def forward(self, x: Any) -> Any:
        self.source = x.dtype
        if self.dtype.itemsize == 2:  # what is too large for half precision becomes infinite
            return backend.quiet(backend.astype, x, self.dtype)
        return backend.astype(x, self.dtype)

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
    axes = tuple(range(lead)) + tuple(
        i for i, n in enumerate(shape, lead) if n == 1 and g.shape[i] != 1
    )
    return g.sum(axes).reshape(shape)


def register_hook(tensor: Tensor, hook: Callable[[Tensor], Tensor | None]) -> HookHandle:
    """Call ``hook(grad)`` when the gradient of `tensor` is known.

    A hook that returns a tensor replaces the gradient.

    Returns
    -------
    HookHandle
        Its method ``remove`` takes the hook away.

    Raises
    ------
    GraphError
        If the tensor does not require a gradient.

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> handle = x.register_hook(lambda grad: grad * 10)
    >>> x.sum().backward()
    >>> x.grad
    tensor([10., 10.])
    """
    if not tensor.requires_grad:
        raise GraphError(
            "register_hook: the tensor does not require grad; call x.requires_grad_() first"
        )
    node = tensor._node
    if node.hooks is None:
        node.hooks = []
    own = hook if hasattr(hook, "keeps_grad_of") else partial(hook)  # one may be there twice
    node.hooks.append(own)
    return HookHandle(node.hooks, own)


def _link_view(node: Function, source: Tensor, result: Tensor) -> None:
    """Tie a view to its base: they share a version, and a change of one reaches the other."""
    owner = result.array.base
    if owner is None or not (owner is source.array or owner is source.array.base):
        return  # the operation had to copy
    cell = source._version
    if type(cell) is not list:  # an inference tensor: never recorded, needs no ties
        result._version = cell
        return
    base, steps = source._view or (source, ())
    result._view = (base, (*steps, node))
    result._version = cell
    if cell[1] is None:
        cell[1] = {}
    views, key = cell[1], id(result)
    views[key] = weakref.ref(result, lambda _: views.pop(key, None))


class HookHandle:
    """Removes a hook when called, by ``remove()``, or at the end of a ``with`` block."""

    def __init__(self, hooks: list[Any], hook: Any) -> None:
        self._hooks, self._hook = hooks, hook

    def remove(self) -> None:
        """Take the hook away; a second call does nothing."""
        hooks, self._hooks = self._hooks, []
        for i, hook in enumerate(hooks):
            if hook is self._hook:
                del hooks[i]
                break

    __call__ = remove

    def __enter__(self) -> HookHandle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


def explain(node: Function, arrays: list[Any], error: Exception) -> Exception:
    """Turn NumPy's complaint into one that names the operation, the shapes and the mend."""
    if isinstance(error, MinigradError):
        return error
    known = [a for a in arrays if hasattr(a, "shape") and hasattr(a, "dtype")]
    devices = {str(backend.device_of(a)) for a in known if not isinstance(a, _generic)}
    if len(devices) > 1:
        return DeviceError(
            f"{node.name}: the tensors are on different devices ({', '.join(sorted(devices))}); "
            "move them to one with x.to(device)"
        )
    shapes = " and ".join(str(a.shape) for a in known)
    if "broadcast" in str(error):
        return ShapeError(
            f"{node.name}: shapes {shapes} do not broadcast; aligned from the right, two lengths "
            "must be equal or one of them 1"
        )
    kind = DTypeError if isinstance(error, TypeError) else ShapeError
    return kind(f"{node.name}: {error} (inputs of shape {shapes})")


def serves_once(node: Function) -> GraphError:
    """Return the error for the second call of a node."""
    kind = type(node).__name__
    return GraphError(
        f"{node.name}: this {kind} object is a node of a graph already; make one for every call: "
        f"{kind}(…)(x)"
    )


def _is_or_holds_array(value: Any) -> bool:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (tuple, list)):
        return any(map(_is_or_holds_array, value))
    return backend.is_array(value)


def watch(node: Function, result: Tensor, flags: int) -> None:
    """Do what inference mode and anomaly mode ask of a fresh result."""
    if flags & INFERENCE:
        result._version = _InferenceVersion()
    if flags & ANOMALY:
        node.trace = traceback.extract_stack()[:-2]
        bad = count_nan(result.array)
        if bad:
            raise GraphError(
                f"{node.name}: the result has {bad} NaN among {result.array.size} elements, made "
                f"at {user_line(node)}"
            )


class _InferenceVersion(list[Any]):
    """The version cell of a tensor born in inference mode: it can be read only there."""

    def __init__(self) -> None:
        super().__init__([0, None])

    def __getitem__(self, index: Any) -> Any:
        if current().flags & INFERENCE:
            return super().__getitem__(index)
        raise GraphError(
            "a tensor made in inference_mode cannot be saved for backward or changed in place; "
            "make a normal one with x.clone() outside inference_mode, or use no_grad instead"
        )


def count_nan(array: Any) -> int:
    """Return how many elements of a floating array are NaN."""
    return int((array != array).sum()) if array.dtype.kind in "fV" else 0


def user_line(node: Function) -> str:
    """Return the source line outside minigrad that called `node`."""
    for frame in reversed(node.trace or []):
        if not frame.filename.startswith(_PACKAGE):
            return f"{frame.filename}:{frame.lineno}: {frame.line}"
    return "an unknown line (run the forward pass inside detect_anomaly too)"
