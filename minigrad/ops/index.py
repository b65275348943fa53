"""Reading, writing, choosing and ordering elements by index.

An index expression has a basic part (integers, slices, ``None``, ``...``), which makes a view, and
an advanced part (integer or boolean arrays), which copies. The basic part is applied first, as in
PyTorch; NumPy would also move the axes of ``x[0, :, [1, 2]]``.
"""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from minigrad import dtypes
from minigrad.autograd.node import Function, sum_to
from minigrad.backend import get_xp
from minigrad.construct import as_tensor, tensor
from minigrad.errors import DTypeError, OptionError, RangeError, ShapeError
from minigrad.kernels.namespaces import namespace
from minigrad.modes import state
from minigrad.ops.arguments import check_dim, check_tensor, constant
from minigrad.ops.declare import operation
from minigrad.ops.elementwise import where
from minigrad.ops.operands import cast
from minigrad.ops.precision import WIDEST, obey
from minigrad.ops.reduce import ValuesIndices
from minigrad.ops.shape import Reshape, broadcast_tensors, flatten, meeting_shape
from minigrad.tensor import Tensor

Index = tuple[Any, ...]
FULL = slice(None)

# ---- the four Functions: two adjoint pairs ---------------------------------------------------


class Slice(Function):
    """Basic indexing: a view."""

    view = True

    def __init__(self, index: Index) -> None:
        self.index = index

    def forward(self, x: Any) -> Any:
        self.source = x.shape
        return x[self.index]

    def backward(self, g: Any) -> Any:
        return Unslice(self.index, self.source)(g)


class Unslice(Function):
    """Zeros with the given values at a basic index: the adjoint of `Slice`."""

    fresh = False

    def __init__(self, index: Index, shape: tuple[int, ...]) -> None:
        self.index, self.shape = index, shape

    def forward(self, g: Any) -> Any:
        out = get_xp(g).zeros(self.shape, g.dtype)
        out[self.index] = g
        return out

    def backward(self, g: Any) -> Any:
        return Slice(self.index)(g)


class Take(Function):
    """Advanced indexing: a copy."""

    def __init__(self, index: Index) -> None:
        self.index = index

    def forward(self, x: Any) -> Any:
        self.source = x.shape
        return x[self.index]

    def backward(self, g: Any) -> Any:
        return Put(self.index, self.source)(g)


class Put(Function):
    """Zeros with the given values added up at an advanced index: the adjoint of `Take`."""

    def __init__(self, index: Index, shape: tuple[int, ...]) -> None:
        self.index, self.shape = index, shape

    def forward(self, g: Any) -> Any:
        xp = get_xp(g)
        if not dtypes.is_floating(g.dtype):
            wide = g.dtype if g.dtype.itemsize >= 4 else dtypes.int64  # CuPy adds no smaller ones
            out = xp.zeros(self.shape, wide)
            xp.add.at(out, self.index, g.astype(wide))
            return out.astype(g.dtype, copy=False)
        # number the places, then count with weights: several times faster than add.at
        size = math.prod(self.shape)
        place = xp.arange(size).reshape(self.shape)[self.index]
        total = namespace(xp).add_up(place.ravel(), g.ravel().astype(dtypes.float64), size)
        return total.reshape(self.shape).astype(g.dtype, copy=False)

    def backward(self, g: Any) -> Any:
        return Take(self.index)(g)


class IndexPut(Function):
    """A copy of x with `value` written to an index (last writer wins)."""

    def __init__(self, basic: Index, advanced: Index) -> None:
        self.basic, self.advanced = basic, advanced

    def forward(self, x: Any, value: Any) -> Any:
        self.value_shape = getattr(value, "shape", ())
        out = get_xp(x).array(x, copy=True)
        assign(out, self.basic, self.advanced, value)
        return out

    def backward(self, g: Any) -> Any:
        gx = gvalue = None
        if self.needs[0]:
            gx = IndexPut(self.basic, self.advanced)(g, 0.0)
        if self.needs[1]:
            part = Slice(self.basic)(g)
            part = Take(self.advanced)(part) if self.advanced else part
            gvalue = sum_to(part, self.value_shape)
        return gx, gvalue


def assign(array: Any, basic: Index, advanced: Index, value: Any) -> None:
    """Write `value` into an array at a parsed index."""
    part = array[basic]
    part[advanced or ...] = value


# ---- index expressions ----------------------------------------------------------------------


def parse(index: Any, shape: tuple[int, ...]) -> tuple[Index, Index]:
    """Check an index expression against `shape` and split it into its basic and advanced part.

    The basic part always holds an Ellipsis, so that NumPy gives a view even of one element. The
    advanced part, for the view that the basic part makes, is empty if there is none.
    """
    items = [_item(i) for i in (index if isinstance(index, tuple) else (index,))]
    used = sum([_axes(i) for i in items])
    dots = sum([i is Ellipsis for i in items])
    if dots > 1:
        raise ShapeError("getitem: an index holds one '...' at most")
    if used > len(shape):
        raise ShapeError(
            f"getitem: {used} indices for a tensor of shape {shape}; use at most {len(shape)}"
        )
    if not dots:
        items.append(Ellipsis)
    basic: list[Any] = []
    advanced: list[Any] = []
    axis = 0
    for item in items:
        if item is Ellipsis:
            advanced += [FULL] * (len(shape) - used)
            axis += len(shape) - used
            basic.append(item)
        elif item is None:
            advanced.append(FULL)
            basic.append(None)
        elif isinstance(item, slice):
            advanced.append(FULL)
            basic.append(item)
            axis += 1
        elif isinstance(item, int):
            _check_range("getitem", item, item, shape, axis, negative=True)
            basic.append(item)
            axis += 1
        elif item.dtype.kind == "b":
            _check_mask(item, shape, axis)
            # a 0-d mask chooses all or nothing of a new axis
            basic += [FULL] * item.ndim if item.ndim else [None]
            advanced += item.nonzero() if item.ndim else item.reshape(1).nonzero()
            axis += item.ndim
        else:
            if item.size:
                _check_range(
                    "getitem", int(item.min()), int(item.max()), shape, axis, negative=True
                )
            basic.append(FULL)
            advanced.append(item)
            axis += 1
    return tuple(basic), tuple(advanced) if any(i is not FULL for i in advanced) else ()


def _item(item: Any) -> Any:
    """Turn one part of an index into None, Ellipsis, an int, a slice or an array."""
    if item is None or item is Ellipsis or isinstance(item, slice):
        return item
    if isinstance(item, (bool, np.bool_)):
        return np.asarray(item)
    if isinstance(item, (list, range)):
        item = tensor(list(item))
        item = cast(item, dtypes.int64) if not item.array.size else item
    if isinstance(item, Tensor):
        item = item.array
    if not hasattr(item, "dtype") or isinstance(item, np.generic):
        try:
            return operator.index(item)
        except TypeError:
            pass
    elif item.dtype.kind in "iub":
        _refuse_bytes("getitem", item)
        return item if item.ndim or item.dtype.kind == "b" else int(item)
    kind = getattr(item, "dtype", type(item).__name__)
    raise DTypeError(
        f"getitem: {kind} is no index; use int, slice, None, '...', or integer or boolean tensors"
    )


def _refuse_bytes(name: str, index: Any) -> None:
    """Refuse uint8, which was once PyTorch's mask and can mean either."""
    if index.dtype == dtypes.uint8:
        raise DTypeError(
            f"{name}: uint8 is no index, it could mean a mask; write x.bool() for a mask, x.long() "
            "for positions"
        )


def _axes(item: Any) -> int:
    """Return how many axes of the tensor a part of the index uses up."""
    if item is None or item is Ellipsis:
        return 0
    return int(item.ndim) if getattr(item, "dtype", None) == dtypes.bool_ else 1


def _check_range(
    name: str, low: int, high: int, shape: tuple[int, ...], axis: int, negative: bool = False
) -> None:
    n = shape[axis] if shape else 1
    first = -n if negative else 0
    if low < first or high >= n:
        bad = low if low < first else high
        reach = f"use {first} to {n - 1}" if n else "the axis is empty"
        raise RangeError(
            f"{name}: index {bad} is out of range for axis {axis} of length {n} (shape {shape}); "
            f"{reach}"
        )


def _check_mask(mask: Any, shape: tuple[int, ...], axis: int) -> None:
    part = shape[axis : axis + mask.ndim]
    if mask.shape != part:
        raise ShapeError(
            f"getitem: a mask of shape {mask.shape} stands for axes of shape {part} of a tensor "
            f"{shape}; both must be equal"
        )


def getitem(x: Tensor, index: Any) -> Tensor:
    """Return ``x[index]``.

    Parameters
    ----------
    x : Tensor
        Any shape.
    index : int, slice, None, Ellipsis, integer or boolean tensor, array or list, or tuple of them
        Integers and slices give a view, arrays a copy.

    Raises
    ------
    ShapeError
        If an index is out of range, there are too many, or a mask has another shape.

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.tensor([[1, 2, 3], [4, 5, 6]])
    >>> x[1, :2], x[:, [0, 2]], x[x > 4]
    (tensor([4, 5]), tensor([[1, 3], [4, 6]]), tensor([5, 6]))
    """
    basic, advanced = parse(index, x.array.shape)
    if not advanced:
        return Slice(basic)(x)
    if any(i is not Ellipsis and i is not FULL for i in basic):
        x = Slice(basic)(x)
    meeting_shape("getitem", *[i.shape for i in advanced if i is not FULL])
    take = Take(advanced)
    out = take(x)
    take.guard(*index if isinstance(index, tuple) else (index,))
    return out


@operation("", autocast=WIDEST)
def index_put(x: Tensor, index: Any, value: Any) -> Tensor:
    """Return a copy of `x` with ``result[index] = value``; the differentiable assignment.

    Examples
    --------
    >>> import minigrad as mg
    >>> from minigrad.ops.index import index_put
    >>> index_put(mg.zeros(3), slice(1, None), 7.0)
    tensor([0., 7., 7.])
    """
    if state.autocast is not None:
        x, value = obey("index_put", x, value)
    basic, advanced = parse(index, x.array.shape)
    put = IndexPut(basic, advanced)
    out = put(x, fit(x, basic, advanced, value))
    put.guard(*index if isinstance(index, tuple) else (index,))
    return out


def fit(x: Tensor, basic: Index, advanced: Index, value: Any) -> Any:
    """Return `value` in the dtype of `x`, after checking that it broadcasts to the place."""
    if not isinstance(value, Tensor):
        if isinstance(value, (bool, int, float)):
            # what is too large for a floating type becomes infinite, as in arithmetic
            kind = dtypes.float64 if dtypes.is_floating(x.dtype) else x.dtype
            dtypes.check_fits("setitem", value, kind)
            return value
        value = value if hasattr(value, "dtype") else tensor(value)
        value = value if isinstance(value, Tensor) else as_tensor(value)
    xp = get_xp(x.array)
    place = xp.broadcast_to(xp.zeros(()), x.shape)[basic]
    shape = place[advanced].shape if advanced else place.shape
    while value.ndim > len(shape) and value.shape[0] == 1:
        value = Reshape(value.shape[1:])(value)
    if value.ndim > len(shape) or any(
        n not in (1, m) for n, m in zip(value.shape[::-1], shape[::-1], strict=False)
    ):
        raise ShapeError(
            f"setitem: a value of shape {value.shape} does not fit into x[index] of shape {shape}"
        )
    return cast(value, x.dtype)


# ---- along one axis -------------------------------------------------------------------------


def check_index(name: str, index: Any, shape: tuple[int, ...], dim: int) -> Any:
    """Return the array of an index tensor after checking its type and range: none is negative."""
    index = check_tensor(name, index).array
    if index.dtype.kind not in "iu":
        raise DTypeError(
            f"{name}: the index must be an integer tensor, not {index.dtype}; use x.long()"
        )
    _refuse_bytes(name, index)
    if index.size:
        _check_range(name, int(index.min()), int(index.max()), shape, dim)
    return index


def _grid(index: Any, dim: int) -> Index:
    """Return the advanced index that reads at `index` along `dim` and in place elsewhere."""
    if not index.ndim:
        return (index.reshape(1),)
    xp, n = get_xp(index), index.ndim
    return tuple(
        [
            index if i == dim else xp.arange(m).reshape((m,) + (1,) * (n - 1 - i))
            for i, m in enumerate(index.shape)
        ]
    )


def _guarded(op: Function, index: Tensor, *inputs: Any) -> Tensor:
    """Apply an operation that holds the array of `index`, which must stay as it is."""
    out = op(*inputs)
    op.guard(index)
    return out


def _at_least_1d(x: Tensor) -> Tensor:
    return x if x.ndim else Reshape((1,))(x)


@operation()
def gather(x: Tensor, dim: int, index: Tensor) -> Tensor:
    """Read along `dim`: ``out[i, j] = x[index[i, j], j]`` for ``dim=0``.

    Parameters
    ----------
    x : Tensor
        The source.
    dim : int
        The axis that `index` addresses.
    index : Tensor of integers
        As many axes as `x`, none longer than that of `x` except `dim`; also the result's shape.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.gather(mg.tensor([[1, 2], [3, 4]]), 1, mg.tensor([[0], [1]]))
    tensor([[1],
            [4]])
    """
    x = check_tensor("gather", x)
    dim, array = _check_along("gather", x, dim, index)
    return Reshape(array.shape)(_guarded(Take(_grid(array, dim)), index, _at_least_1d(x)))


def _check_along(name: str, x: Tensor, dim: int, index: Tensor) -> tuple[int, Any]:
    """Check the arguments that gather and scatter share."""
    dim = check_dim(name, dim, x.ndim)
    array = check_index(name, index, x.shape, dim)
    if array.ndim != x.ndim and array.size:
        raise ShapeError(
            f"{name}: index {array.shape} and tensor {x.shape} must have equally many dimensions"
        )
    if any(i != dim and m > n for i, (m, n) in enumerate(zip(array.shape, x.shape, strict=False))):
        raise ShapeError(
            f"{name}: index {array.shape} is longer than tensor {x.shape} in an axis other than "
            f"{dim}; crop it"
        )
    return dim, array


@operation()
def take_along_dim(x: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """Read at `indices` along `dim`; the other axes broadcast. Without `dim`, in the flat tensor.

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.tensor([[3, 1, 2]])
    >>> mg.take_along_dim(x, mg.argsort(x, dim=1), dim=1)
    tensor([[1, 2, 3]])
    """
    x = check_tensor("take_along_dim", x)
    if dim is None:
        return gather(flatten(x), 0, flatten(check_tensor("take_along_dim", indices)))
    dim = check_dim("take_along_dim", dim, x.ndim)
    index = check_index("take_along_dim", indices, x.shape, dim)
    if index.ndim != x.ndim:
        raise ShapeError(
            f"take_along_dim: indices {index.shape} and tensor {x.shape} must have equally many "
            "dimensions"
        )
    if not x.ndim:
        return gather(x, 0, constant(index))
    shape = meeting_shape(
        "take_along_dim",
        x.shape[:dim] + (1,) + x.shape[dim + 1 :],
        index.shape[:dim] + (1,) + index.shape[dim + 1 :],
    )
    xp = get_xp(index)
    index = xp.broadcast_to(index, (*shape[:dim], index.shape[dim], *shape[dim + 1 :]))
    grid = list(_grid(index, dim))
    for i, n in enumerate(x.shape):  # an axis of length 1 is read over and over
        if i != dim and n == 1:
            grid[i] = xp.zeros_like(grid[i])
    return _guarded(Take(tuple(grid)), indices, x)


@operation()
def index_select(x: Tensor, dim: int, index: Tensor) -> Tensor:
    """Return the entries `index` (1-D) along `dim`, as a copy.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.index_select(mg.tensor([[1, 2, 3]]), 1, mg.tensor([2, 0]))
    tensor([[3, 1]])
    """
    x = check_tensor("index_select", x)
    dim = check_dim("index_select", dim, x.ndim)
    array = _check_vector("index_select", index, x, dim)
    out = _guarded(Take((FULL,) * dim + (array,)), index, _at_least_1d(x))
    return out if x.ndim else Reshape(())(out)


def _check_vector(name: str, index: Tensor, x: Tensor, dim: int) -> Any:
    array = check_index(name, index, x.shape, dim)
    if array.ndim > 1 or (not x.ndim and array.size != 1):
        raise ShapeError(
            f"{name}: index must be 1-D (of one element for a 0-d tensor), not {array.shape}"
        )
    return array.reshape(-1)


@operation(inplace=True)
def scatter(
    x: Tensor,
    dim: int,
    index: Tensor,
    src: Any = None,
    *,
    value: float | None = None,
    reduce: str | None = None,
) -> Tensor:
    """Write along `dim`: ``out[index[i, j], j] = src[i, j]`` for ``dim=0``, else a copy of `x`.

    Parameters
    ----------
    x : Tensor
        The destination, copied.
    dim : int
        The axis that `index` addresses.
    index : Tensor of integers
        As many axes as `x`. If a place comes up twice, the last entry counts.
    src : Tensor or number
        What to write; at least as long as `index` in every axis.
    value : float, optional
        A number to write instead of `src`.
    reduce : {"add"}, optional
        Add instead of writing; see `scatter_add`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.scatter(mg.zeros(1, 3), 1, mg.tensor([[2]]), 5.0)
    tensor([[0., 0., 5.]])
    """
    if reduce not in (None, "add"):
        raise OptionError(f"scatter: reduce is None or 'add', not {reduce!r}")
    x = check_tensor("scatter", x)
    dim, array = _check_along("scatter", x, dim, index)
    src = value if src is None else src
    if src is None:
        raise OptionError("scatter: give either src or value")
    if isinstance(src, Tensor) and (src.ndim or array.ndim == 0):
        src = _source("scatter", src, array, x)
    else:
        src = _element("scatter", src, x)
    flat = _at_least_1d(x)
    if reduce == "add":
        full = src if isinstance(src, Tensor) else tensor(np.full(array.shape, src, x.dtype))
        out = flat + _guarded(Put(_grid(array, dim), flat.shape), index, full)
    else:
        out = _guarded(IndexPut((...,), _grid(array, dim)), index, flat, src)
    return out if x.ndim else Reshape(())(out)


def _source(name: str, src: Tensor, index: Any, x: Tensor) -> Tensor:
    """Cut `src` to the shape of the index."""
    if src.dtype != x.dtype:
        raise DTypeError(f"{name}: src is {src.dtype}, the tensor {x.dtype}; use src.to(x.dtype)")
    short = any(n > m for n, m in zip(index.shape, src.shape, strict=False))
    if src.ndim != index.ndim or short:
        raise ShapeError(f"{name}: index {index.shape} reaches beyond src {src.shape}")
    if src.shape == index.shape:
        return _at_least_1d(src)
    return Slice((*[slice(n) for n in index.shape], ...))(src)


@operation(inplace=True, autocast=WIDEST)
def scatter_add(x: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """Add along `dim`: ``out[index[i, j], j] += src[i, j]`` for ``dim=0``; places may repeat.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.scatter_add(mg.zeros(2), 0, mg.tensor([1, 1, 0]), mg.tensor([1.0, 2.0, 4.0]))
    tensor([4., 3.])
    """
    x, src = check_tensor("scatter_add", x), check_tensor("scatter_add", src)
    if state.autocast is not None:
        x, src = obey("scatter_add", x, src)
    dim, array = _check_along("scatter_add", x, dim, index)
    src = _source("scatter_add", src, array, x)
    flat = _at_least_1d(x)
    out = flat + _guarded(Put(_grid(array, dim), flat.shape), index, src)
    return out if x.ndim else Reshape(())(out)


def _check_rows(name: str, x: Tensor, dim: int, index: Any, source: Tensor) -> None:
    if not x.ndim:
        raise ShapeError(f"{name}: a 0-d tensor has no axis to address")
    wanted = (*x.shape[:dim], len(index), *x.shape[dim + 1 :])
    if source.shape != wanted:
        raise ShapeError(f"{name}: source must have shape {wanted}, not {source.shape}")
    if source.dtype != x.dtype:
        raise DTypeError(f"{name}: source is {source.dtype}, the tensor {x.dtype}; convert it")


@operation()
def index_add(x: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Tensor:
    """Add ``alpha * source`` to the entries `index` along `dim`; entries may repeat.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.index_add(mg.zeros(3), 0, mg.tensor([2, 2]), mg.tensor([1.0, 4.0]))
    tensor([0., 0., 5.])
    """
    x, source = check_tensor("index_add", x), check_tensor("index_add", source)
    dim = check_dim("index_add", dim, x.ndim)
    array = _check_vector("index_add", index, x, dim)
    _check_rows("index_add", x, dim, array, source)
    added = _guarded(Put((FULL,) * dim + (array,), x.shape), index, source)
    return x + (added if alpha == 1 else added * alpha)


@operation()
def index_copy(x: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """Return a copy of `x` with the entries `index` along `dim` replaced by those of `source`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.index_copy(mg.zeros(3), 0, mg.tensor([2, 0]), mg.tensor([5.0, 7.0]))
    tensor([7., 0., 5.])
    """
    x, source = check_tensor("index_copy", x), check_tensor("index_copy", source)
    dim = check_dim("index_copy", dim, x.ndim)
    array = _check_vector("index_copy", index, x, dim)
    _check_rows("index_copy", x, dim, array, source)
    return _guarded(IndexPut((...,), (FULL,) * dim + (array,)), index, x, source)


@operation(inplace=True)
def index_fill(x: Tensor, dim: int, index: Tensor, value: float) -> Tensor:
    """Return a copy of `x` with the entries `index` along `dim` set to `value`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.index_fill(mg.zeros(3), 0, mg.tensor([2, 0]), 9.0)
    tensor([9., 0., 9.])
    """
    x = check_tensor("index_fill", x)
    dim = check_dim("index_fill", dim, x.ndim)
    array = _check_vector("index_fill", index, x, dim)
    value = _element("index_fill", value, x)
    put = IndexPut((...,), (FULL,) * dim + (array,))
    out = _guarded(put, index, _at_least_1d(x), value)
    return Reshape(x.shape)(out)


def _element(name: str, value: Any, x: Tensor) -> Any:
    """Return what is to be stored as an element of `x`: a number that fits, or a 0-d tensor."""
    if isinstance(value, Tensor):
        if value.ndim:
            raise ShapeError(f"{name}: value must be 0-d, not {value.shape}; use where")
        if value.requires_grad or not isinstance(value.array, np.ndarray):
            return cast(value, x.dtype)  # a GPU is not asked: it would have to be waited for
    value = value.item() if hasattr(value, "item") else value
    dtypes.check_fits(name, value, x.dtype)
    return value


# ---- masks ----------------------------------------------------------------------------------


def _check_bool(name: str, mask: Tensor) -> Tensor:
    mask = check_tensor(name, mask)
    if mask.dtype != dtypes.bool_:
        raise DTypeError(
            f"{name}: the mask must be a bool tensor, not {mask.dtype}; use mask.bool()"
        )
    return mask


@operation(inplace=True)
def masked_fill(x: Tensor, mask: Tensor, value: Any) -> Tensor:
    """Return `x` with `value` (a number or a 0-d tensor) where `mask` is True.

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.tensor([1.0, -2.0])
    >>> mg.masked_fill(x, x < 0, 0.0)
    tensor([1., 0.])
    """
    x, mask = check_tensor("masked_fill", x), _check_bool("masked_fill", mask)
    value = _element("masked_fill", value, x)
    if not isinstance(value, Tensor):
        if not dtypes.is_floating(x.dtype) and value != int(value):
            raise DTypeError(f"masked_fill: {value} cannot be stored in a tensor of {x.dtype}")
        value = constant(get_xp(x.array).full((), value, x.dtype))
    return where(mask, value, x)  # type: ignore[no-any-return]


@operation()
def masked_select(x: Tensor, mask: Tensor) -> Tensor:
    """Return the elements where `mask` is True, as a 1-D copy; both broadcast.

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.tensor([1, 2, 3])
    >>> mg.masked_select(x, x > 1)
    tensor([2, 3])
    """
    x, mask = check_tensor("masked_select", x), _check_bool("masked_select", mask)
    x, mask = broadcast_tensors(x, mask)
    return getitem(x, mask)


@operation()
def nonzero(x: Tensor, *, as_tuple: bool = False) -> Any:
    """Return the indices of the elements that are not zero, one row each.

    Parameters
    ----------
    x : Tensor
        Any shape.
    as_tuple : bool, default False
        Return one 1-D tensor per axis instead, ready for indexing.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nonzero(mg.tensor([[0, 3], [4, 0]]))
    tensor([[0, 1],
            [1, 0]])
    """
    array = check_tensor("nonzero", x).array
    if as_tuple:
        return tuple([constant(i) for i in (array if array.ndim else array.reshape(1)).nonzero()])
    return constant(get_xp(array).argwhere(array))


# ---- order ----------------------------------------------------------------------------------


def _order(array: Any, dim: int, descending: bool) -> Any:
    """Return the stable sorting order along `dim`; NaN counts as the largest value."""
    if not array.ndim:
        return get_xp(array).zeros((), dtypes.int64)
    argsort = get_xp(array).argsort
    if not descending:
        return argsort(array, dim, kind="stable")
    turn = (FULL,) * dim + (slice(None, None, -1),)
    return array.shape[dim] - 1 - argsort(array[turn], dim, kind="stable")[turn]


@operation()
def sort(x: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> ValuesIndices:
    """Sort along `dim`; return the values and where they came from.

    Parameters
    ----------
    x : Tensor
        Any shape.
    dim : int, default -1
        The axis.
    descending : bool, default False
        Largest first.
    stable : bool, default False
        Accepted for PyTorch's sake: equal elements always keep their order.

    Examples
    --------
    >>> import minigrad as mg
    >>> values, indices = mg.sort(mg.tensor([3.0, 1.0, 2.0]))
    >>> values, indices
    (tensor([1., 2., 3.]), tensor([1, 2, 0]))
    """
    x = check_tensor("sort", x)
    dim = check_dim("sort", dim, x.ndim)
    order = constant(_order(x.array, dim, descending))
    return ValuesIndices(gather(x, dim, order), order)


@operation()
def argsort(x: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """Return the indices that sort `x` along `dim`; see `sort`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.argsort(mg.tensor([3.0, 1.0, 2.0]))
    tensor([1, 2, 0])
    """
    x = check_tensor("argsort", x)
    return constant(_order(x.array, check_dim("argsort", dim, x.ndim), descending))


@operation()
def topk(
    x: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> ValuesIndices:
    """Return the `k` largest (or smallest) values along `dim` and their indices, best first.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.topk(mg.tensor([3.0, 1.0, 2.0]), 2).indices
    tensor([0, 2])
    """
    x = check_tensor("topk", x)
    dim = check_dim("topk", dim, x.ndim)
    n = x.shape[dim] if x.ndim else 1
    if not 0 <= k <= n:
        raise ShapeError(
            f"topk: k={k} is out of range for axis {dim} of shape {x.shape}; use 0 to {n}"
        )
    order = _order(x.array, dim, largest)
    order = constant(order[(FULL,) * dim + (slice(k),)] if x.ndim else order)
    return ValuesIndices(gather(x, dim, order), order)


@operation()
def unique(
    x: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """Return the different values, in ascending order.

    Parameters
    ----------
    x : Tensor
        Any shape and dtype.
    sorted : bool, default True
        Accepted for PyTorch's sake: the result is always sorted.
    return_inverse : bool, default False
        Also return where each element stands in the result.
    return_counts : bool, default False
        Also return how often each value occurs.
    dim : int, optional
        Compare the slices along this axis instead of elements.

    Returns
    -------
    Tensor, or tuple of Tensor (values[, inverse][, counts])

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.unique(mg.tensor([3, 1, 3]), return_counts=True)
    (tensor([1, 3]), tensor([1, 2]))
    """
    x = check_tensor("unique", x)
    if dim is not None:
        dim = check_dim("unique", dim, x.ndim)
    array = x.array
    values, inverse, counts = get_xp(array).unique(
        array, return_inverse=True, return_counts=True, axis=dim, equal_nan=False
    )
    found = [constant(values)]
    if return_inverse:
        found.append(constant(inverse.reshape(array.shape if dim is None else -1)))
    if return_counts:
        found.append(constant(counts))
    return tuple(found) if len(found) > 1 else found[0]


@operation("minigrad")
def searchsorted(sorted_sequence: Tensor, values: Tensor, *, right: bool = False) -> Tensor:
    """Return where each of `values` would have to go in an ascending 1-D tensor.

    Parameters
    ----------
    sorted_sequence : Tensor
        1-D, ascending.
    values : Tensor
        Any shape; also the result's.
    right : bool, default False
        Go after equal elements instead of before them.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.searchsorted(mg.tensor([1.0, 3.0]), mg.tensor([0.0, 3.0, 9.0]))
    tensor([0, 1, 2])
    """
    row = check_tensor("searchsorted", sorted_sequence).array
    if row.ndim != 1:
        raise ShapeError(f"searchsorted: the sorted sequence must be 1-D, not {row.shape}")
    wanted = check_tensor("searchsorted", values).array
    return constant(get_xp(row).searchsorted(row, wanted, side="right" if right else "left"))


@operation()
def bincount(x: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """Count how often each of 0, 1, 2, … occurs in a 1-D tensor of integers.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.bincount(mg.tensor([0, 2, 2]))
    tensor([1, 0, 2])
    """
    array = check_tensor("bincount", x).array
    if array.ndim != 1 or array.dtype.kind not in "iu":
        raise ShapeError(
            "bincount: needs a 1-D tensor of integers >= 0, got "
            f"{array.dtype} of shape {array.shape}"
        )
    if array.size and int(array.min()) < 0:
        raise RangeError(f"bincount: needs integers >= 0, found {int(array.min())}; shift them")
    array = array.astype("intp", copy=False)  # a browser's has 32 bits
    if weights is None:
        return constant(get_xp(array).bincount(array, minlength=minlength))
    total = get_xp(array).bincount(array, weights.array, minlength)
    return constant(total.astype(weights.dtype) if weights.dtype == dtypes.float32 else total)


@operation("functional")
def one_hot(x: Tensor, num_classes: int = -1) -> Tensor:
    """Return int64 vectors with a 1 at the class and 0 elsewhere, along a new last axis.

    Parameters
    ----------
    x : Tensor of integers
        Class numbers, any shape.
    num_classes : int, default -1
        Length of the new axis; -1 takes the largest class number plus one.

    Raises
    ------
    RangeError
        If a class number is negative or not below `num_classes`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.one_hot(mg.tensor([0, 2]))
    tensor([[1, 0, 0],
            [0, 0, 1]])
    """
    array = check_tensor("one_hot", x).array
    if array.dtype.kind not in "iu":
        raise DTypeError(f"one_hot: class numbers are integers, not {array.dtype}; use x.long()")
    if num_classes == -1:
        if not array.size:
            raise ShapeError("one_hot: no classes to count in an empty tensor; pass num_classes")
        num_classes = int(array.max()) + 1
    if array.size and (int(array.min()) < 0 or int(array.max()) >= num_classes):
        bad = int(array.min()) if int(array.min()) < 0 else int(array.max())
        raise RangeError(
            f"one_hot: class {bad} is out of range for {num_classes} classes; use 0 to "
            f"{num_classes - 1}"
        )
    return constant((array[..., None] == get_xp(array).arange(num_classes)).astype(dtypes.int64))
