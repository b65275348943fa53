"""Tensor: an array, its gradient, and its place in the graph.

The class holds what every tensor has. Arithmetic and the PyTorch-named methods are defined by the
operations in `minigrad.ops`, which attach them here, so that imports run one way.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from minigrad import backend, dtypes, modes
from minigrad.convert import as_array, from_arguments
from minigrad.dtypes import DType
from minigrad.errors import DTypeError, GraphError, RangeError, ShapeError, unknown
from minigrad.showing import matrix

if TYPE_CHECKING:
    from minigrad._methods import TensorMethods
else:
    TensorMethods = object

__all__ = ["LeafNode", "Tensor", "is_recording", "wrap"]


class Tensor(TensorMethods):
    """An n-dimensional array that remembers how it was computed.

    Parameters
    ----------
    array : numpy.ndarray or cupy.ndarray
        The values; kept as they are, not copied. `minigrad.tensor` builds one from Python data.
        As in PyTorch, a list becomes floats of the default dtype, and integers are a shape:
        ``Tensor(2, 3)`` (zeros here), ``Tensor(3)``, ``Tensor()``.
    requires_grad : bool, default False
        Record the operations on this tensor, so that `backward` can fill `grad`.

    Attributes
    ----------
    array : numpy.ndarray or cupy.ndarray
        The array underneath.
    grad : Tensor or None
        Gradient of the last `backward`, summed over calls until set to None. What is assigned has
        the shape, dtype and device of the tensor.
    requires_grad : bool
        True if operations on the tensor are recorded; can be set on a leaf.

    Raises
    ------
    DTypeError
        If minigrad has no such dtype, or an integer or boolean tensor is asked to require a
        gradient.

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([2., 4.])
    """

    # `_node` is the graph node that made the tensor, a LeafNode for a leaf that requires grad, and
    # None outside the graph. `_version` is [number of in-place changes, live views], one cell for
    # all tensors on the same memory. `_view` is (base, operations that lead from it to here).
    __slots__ = ("__weakref__", "_grad", "_node", "_version", "_view", "array")

    array: Any
    _grad: Tensor | None
    _node: Any
    _version: list[Any]
    _view: tuple[Tensor, tuple[Any, ...]] | None

    __array_priority__ = 1000  # ndarray + Tensor reaches Tensor.__radd__
    __array_ufunc__ = None

    def __init__(self, *values: Any, requires_grad: bool = False) -> None:
        version: list[Any] = [0, None]
        array, requires_grad = from_arguments(values, requires_grad)
        if isinstance(array, Tensor):  # two tensors on one memory see each other's changes
            array, version = array.array, array._version
        else:
            array = as_array(array)
        dtypes.to_dtype(array.dtype)
        if not array.dtype.isnative:
            raise DTypeError(
                f"the array's {array.dtype} is in foreign byte order; copy it: mg.tensor(array)"
            )
        self.array = array
        self._grad = None
        self._node = None
        self._version = version
        self._view = None
        if requires_grad:
            self.requires_grad_()

    # ---- what it is -------------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """Lengths of the axes, a tuple of int."""
        return self.array.shape  # type: ignore[no-any-return]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.array.ndim  # type: ignore[no-any-return]

    @property
    def dtype(self) -> DType:
        """Element type, a ``numpy.dtype``."""
        return self.array.dtype  # type: ignore[no-any-return]

    @property
    def device(self) -> backend.Device:
        """Where the array lives: ``"cpu"`` or ``"cuda:i"``."""
        return backend.device_of(self.array)

    @property
    def itemsize(self) -> int:
        """Bytes of one element."""
        return self.array.itemsize  # type: ignore[no-any-return]

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.array.nbytes  # type: ignore[no-any-return]

    def size(self, dim: int | None = None) -> Any:
        """Return the shape, or the length of axis `dim`."""
        return self.array.shape if dim is None else self.array.shape[self._axis("size", dim)]

    def dim(self) -> int:
        """Return the number of axes."""
        return self.array.ndim  # type: ignore[no-any-return]

    def numel(self) -> int:
        """Return the number of elements."""
        return self.array.size  # type: ignore[no-any-return]

    def stride(self, dim: int | None = None) -> Any:
        """Return the steps between neighbours of each axis, in elements."""
        strides = tuple(s // self.array.itemsize for s in self.array.strides)
        return strides if dim is None else strides[self._axis("stride", dim)]

    def _axis(self, what: str, dim: int) -> int:
        if not -self.array.ndim <= dim < self.array.ndim:
            raise RangeError(f"{what}: there is no axis {dim} in a tensor of shape {self.shape}")
        return dim

    def is_contiguous(self, memory_format: str = "contiguous_format") -> bool:
        """Return True if the elements lie in memory in C order, or as `memory_format` says."""
        array = self.array
        if memory_format in ("channels_last", "channels_last_3d"):
            if array.ndim != (4 if memory_format == "channels_last" else 5):
                return False
            array = array.transpose(0, *range(2, array.ndim), 1)
        elif memory_format != "contiguous_format":
            raise unknown(
                "memory format", str(memory_format), ["contiguous_format", "channels_last"]
            )
        return array.flags.c_contiguous  # type: ignore[no-any-return]

    def is_floating_point(self) -> bool:
        """Return True for floating types."""
        return dtypes.is_floating(self.array.dtype)

    def element_size(self) -> int:
        """Return the bytes of one element."""
        return self.array.itemsize  # type: ignore[no-any-return]

    # ---- its place in the graph ------------------------------------------------------------

    @property
    def grad_fn(self) -> Any:
        """The operation that made the tensor; None for a leaf."""
        node = self._node
        return None if node is None or node.is_leaf else node

    @property
    def is_leaf(self) -> bool:
        """True unless a recorded operation made the tensor."""
        return self._node is None or self._node.is_leaf

    @property
    def requires_grad(self) -> bool:
        """True if operations on the tensor are recorded; can be set on a leaf."""
        return self._node is not None

    @requires_grad.setter
    def requires_grad(self, requires_grad: bool) -> None:
        self.requires_grad_(requires_grad)

    @property
    def grad(self) -> Tensor | None:
        """What `backward` has added up; None before the first."""
        return self._grad

    @grad.setter
    def grad(self, grad: Tensor | None) -> None:
        if grad is not None:
            if not isinstance(grad, Tensor):
                raise DTypeError(
                    f"x.grad takes a Tensor or None, not {type(grad).__name__}: mg.tensor(…)"
                )
            if grad is self:
                raise GraphError("x.grad: a tensor is not its own gradient; assign a clone")
            if grad.shape != self.shape:
                raise ShapeError(f"x.grad: x has shape {self.shape}, but the gradient {grad.shape}")
            if grad.dtype != self.dtype:
                raise GraphError(
                    f"x.grad: x is {self.dtype}, but the gradient {grad.dtype}; convert it: "
                    "g.to(x.dtype)"
                )
            if grad.device != self.device:
                raise GraphError(
                    f"x.grad: x is on {self.device}, but the gradient on {grad.device}; move it: "
                    "g.to(x.device)"
                )
        self._grad = grad

    @grad.deleter
    def grad(self) -> None:
        self._grad = None

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Start (or stop) recording operations on this leaf; returns the tensor itself.

        Raises
        ------
        DTypeError
            If the tensor is not floating.
        GraphError
            If an operation made the tensor and recording is to stop.
        """
        if requires_grad:
            if not dtypes.is_floating(self.array.dtype):
                raise DTypeError(
                    f"only floating tensors can require a gradient, this one is {self.dtype}; "
                    "convert it first: x.float().requires_grad_()"
                )
            if self._node is None:
                self._node = LeafNode(self)
        elif self.is_leaf:
            self._node = None
        else:
            raise GraphError(
                "requires_grad_(False) works on leaves only, and this tensor was made by "
                f"{self._node.name}; use x.detach() for a tensor outside the graph"
            )
        return self

    def detach(self) -> Tensor:
        """Return a tensor on the same memory that is not part of the graph."""
        return wrap(self.array, self._version)

    @property
    def data(self) -> Tensor:
        """The values as a tensor outside the graph (PyTorch's ``.data``); can be assigned."""
        return self.detach()

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise DTypeError(
                f"x.data takes a Tensor, not {type(value).__name__}; wrap it: mg.tensor(…)"
            )
        if self._node is not None:
            if not dtypes.is_floating(value.dtype):
                raise DTypeError(
                    f"x.data: x requires grad, which {value.dtype} cannot; convert: value.float()"
                )
            if not self.is_leaf and (value.shape, value.dtype) != (self.shape, self.dtype):
                raise GraphError(
                    f"x.data: {self._node.name} made x, {self.dtype} of shape {self.shape}, and "
                    f"{value.dtype} of shape {value.shape} does not fit; take x.detach() first"
                )
        self._version[0] += 1  # whoever saved the old values finds out
        self.array, self._version, self._view = value.array, value._version, None
        if self._node is not None and self._node.is_leaf:
            self._node.describe(self)

    # ---- leaving for Python and NumPy -------------------------------------------------------

    def numpy(self, *, force: bool = False) -> np.ndarray[Any, Any]:
        """Return the NumPy array underneath (shared memory).

        Raises
        ------
        GraphError
            If the tensor requires a gradient (write ``x.detach().numpy()``) or lives on a GPU
            (write ``x.cpu().numpy()``), unless `force`.
        """
        if self.requires_grad and not force:
            raise GraphError("numpy(): the tensor requires grad; write x.detach().numpy()")
        if not isinstance(self.array, np.ndarray):
            if not force:
                raise GraphError(f"numpy(): the tensor is on {self.device}; write x.cpu().numpy()")
            return backend.to_device(self.array, "cpu")  # type: ignore[no-any-return]
        return self._lent()  # type: ignore[no-any-return]

    def _lent(self) -> Any:
        """Return the array to somebody who may change it unseen: no cast of it is kept."""
        if type(self._version) is list and not self._is_lent:
            self._version.append(True)
        return self.array

    @property
    def _is_lent(self) -> bool:
        """True once the memory was handed out, as by `numpy`: changes there go uncounted."""
        return type(self._version) is list and len(self._version) > 2

    def item(self) -> Any:
        """Return the only element as a Python number."""
        if self.array.size != 1:
            raise ShapeError(f"item(): one element is needed, the tensor has shape {self.shape}")
        return self.array.item()

    def tolist(self) -> Any:
        """Return nested Python lists."""
        return self.array.tolist()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        return np.array(self.numpy(), dtype, copy=copy)

    @property
    def __cuda_array_interface__(self) -> Any:
        """Where a tensor on a GPU has its memory, for CuPy, Numba, PyTorch …; none on the CPU."""
        interface = self.array.__cuda_array_interface__  # NumPy's has none: an AttributeError
        if self.requires_grad:
            raise GraphError("__cuda_array_interface__: the tensor requires grad; use x.detach()")
        return interface

    def __dlpack__(self, **kwargs: Any) -> Any:
        if self.requires_grad:
            raise GraphError("__dlpack__: the tensor requires grad; write x.detach()")
        return self._lent().__dlpack__(**kwargs)

    def __dlpack_device__(self) -> Any:
        return self.array.__dlpack_device__()

    def __len__(self) -> int:
        if not self.array.ndim:
            raise ShapeError("len(): a 0-d tensor has no length")
        return int(self.array.shape[0])

    def __contains__(self, value: Any) -> bool:
        return bool((self.array == (value.array if isinstance(value, Tensor) else value)).any())

    def __bool__(self) -> bool:
        return bool(self._only("bool"))

    def __int__(self) -> int:
        return int(self._only("int"))

    def __float__(self) -> float:
        return float(self._only("float"))

    def __index__(self) -> int:
        if dtypes.is_floating(self.array.dtype):
            raise DTypeError(f"a {self.dtype} tensor is no index; convert it: x.long()")
        return int(self._only("index"))

    def _only(self, what: str) -> Any:
        if self.array.size != 1:
            raise ShapeError(
                f"{what}(): a tensor of shape {self.shape} has no single value; "
                "reduce it first, e.g. x.any(), x.all() or x.sum()"
            )
        return self.array.item()

    def __format__(self, spec: str) -> str:
        return format(self.array.item(), spec) if spec and self.array.size == 1 else str(self)

    def __repr__(self) -> str:
        values = np.array2string(
            backend.to_device(self.array, "cpu"), separator=", ", precision=4, prefix="tensor("
        )
        notes = []
        if self.array.size == 0:
            values = "[]"
            notes.append(f"shape={self.shape}")
        if self.dtype not in (dtypes.default_dtype[0], dtypes.int64, dtypes.bool_):
            notes.append(f"dtype={self.dtype}")
        return f"tensor({', '.join([values, *notes, *self._place()])})"

    def _place(self) -> list[str]:
        """Say where the tensor lives and what made it, as far as that is not the usual."""
        notes = [] if self.device == "cpu" else [f"device='{self.device}'"]
        if self.grad_fn is not None:
            notes.append(f"grad_fn=<{self._node.name}>")
        elif self.requires_grad:
            notes.append("requires_grad=True")
        return notes

    def _repr_html_(self) -> str:
        """Return the table that notebooks show."""
        shape = " × ".join(map(str, self.shape)) or "scalar"
        return matrix(self.array, ", ".join([f"{shape} {self.dtype}", *self._place()]))

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        if not self.is_leaf:
            raise GraphError(
                f"deepcopy works on leaves only, and this tensor was made by {self._node.name}; "
                "use x.detach().clone()"
            )
        copy = self.__class__.__new__(self.__class__)
        memo[id(self)] = copy
        Tensor.__init__(copy, self.array.copy(), self.requires_grad)
        if self.grad is not None:
            copy.grad = Tensor(self.grad.array.copy())
        return copy

    def __copy__(self) -> Tensor:
        """Share the memory, as PyTorch does; the two see each other's in-place changes."""
        copy = self.__class__.__new__(self.__class__)
        Tensor.__init__(copy, self)
        copy._node, copy.grad = (LeafNode(copy) if self.requires_grad else None), self.grad
        return copy

    def __reduce__(self) -> Any:
        if not self.is_leaf:
            raise GraphError("pickle works on leaves only; use x.detach()")
        return _rebuild, (self.__class__, self.array, self.requires_grad)


class LeafNode:
    """The end of the graph: the place where a leaf tensor receives its gradient."""

    __slots__ = ("__weakref__", "hooks", "out_dtype", "out_shape", "tensor")

    is_leaf = True
    name = "leaf"

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = weakref.ref(tensor)  # weak: the tensor owns the node
        self.hooks: list[Callable[[Tensor], Tensor | None]] | None = None
        self.describe(tensor)

    def describe(self, tensor: Tensor) -> None:
        """Record what a gradient of `tensor` must look like."""
        self.out_shape = tensor.array.shape
        self.out_dtype = tensor.array.dtype


def _rebuild(cls: type[Tensor], array: Any, requires_grad: bool) -> Tensor:
    result = cls.__new__(cls)
    Tensor.__init__(result, array, requires_grad)
    return result


_new = Tensor.__new__


def wrap(array: Any, version: list[Any] | None = None) -> Tensor:
    """Make a tensor around `array` without any check: the short way in for operations."""
    result = _new(Tensor)
    result.array = array
    result._grad = None
    result._node = None
    result._version = [0, None] if version is None else version
    result._view = None
    return result


def is_recording(*tensors: Any) -> bool:
    """Return True if an operation on `tensors` would be recorded now."""
    return modes.is_grad_enabled() and any(
        isinstance(t, Tensor) and t.requires_grad for t in tensors
    )
