"""Operations that move elements without changing them.

Reshaping, permuting, slicing and expanding return views where NumPy can make one, and a view
shares memory with its base as in PyTorch. Joining, repeating, flipping and padding copy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from minigrad import dtypes
from minigrad.autograd.node import Function, sum_to
from minigrad.backend import get_xp
from minigrad.errors import DTypeError, OptionError, ShapeError, unknown
from minigrad.ops.arguments import (
    Dim,
    check_dim,
    check_dims,
    check_tensor,
    check_tensors,
    infer_shape,
    sizes,
)
from minigrad.ops.declare import operation
from minigrad.ops.operands import cast
from minigrad.tensor import Tensor

Shape = tuple[int, ...]

# ---- another shape --------------------------------------------------------------------------


class Reshape(Function):
    """The same elements in row-major order under another shape; a view where that is possible."""

    view = True
    fresh = False

    def __init__(self, shape: Shape) -> None:
        self.shape = shape

    def forward(self, x: Any) -> Any:
        self.source = x.shape
        return x.reshape(self.shape)

    def backward(self, g: Any) -> Any:
        return g.reshape(self.source)


@operation("minigrad Tensor numpy")
def reshape(x: Tensor, *shape: Any) -> Tensor:
    """Return the elements of `x` under another shape: a view where possible, else a copy.

    Parameters
    ----------
    x : Tensor
        Any shape.
    *shape : int
        The new lengths, as ``reshape(x, 2, 3)`` or ``reshape(x, (2, 3))``; one of them may be -1,
        which is worked out.

    Raises
    ------
    ShapeError
        If the number of elements differs.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.reshape(mg.arange(6), 2, -1)
    tensor([[0, 1, 2],
            [3, 4, 5]])
    """
    x = check_tensor("reshape", x)
    wanted = sizes("reshape", shape)
    return Reshape(infer_shape("reshape", wanted, x.array.size, x.shape))(x)


MEMORY_FORMATS = ("channels_last", "channels_last_3d", "contiguous_format", "preserve_format")


def check_memory_format(name: str, memory_format: Any) -> None:
    """Refuse what is not a layout of PyTorch's."""
    if memory_format not in MEMORY_FORMATS:
        raise unknown(f"{name} memory_format", memory_format, MEMORY_FORMATS)


@operation("Tensor")
def view_as(x: Tensor, other: Tensor) -> Tensor:
    """Return `x` under the shape of `other`; see `view`."""
    return view(x, other.shape)


@operation("Tensor")
def view(x: Tensor, *shape: Any) -> Tensor:
    """Return `x` under another shape on the same memory, or refuse where a copy would be needed.

    The results of convolutions and poolings lie channels-last in memory, which PyTorch's programs
    need not know: their view is a copy, and read-only, so that no change of it can be lost.

    Raises
    ------
    ShapeError
        If the number of elements differs, or the strides allow no view.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.arange(4).view(2, 2)
    tensor([[0, 1],
            [2, 3]])
    """
    x = check_tensor("view", x)
    wanted = infer_shape("view", sizes("view", shape), x.array.size, x.shape)
    out = Reshape(wanted)(x)
    if x.array.size and not get_xp(x.array).may_share_memory(out.array, x.array):
        if isinstance(out.array, np.ndarray) and _is_channels_last(x.array):
            out.array.flags.writeable = False
            return out
        raise ShapeError(
            f"view: shape {wanted} needs a copy of this tensor of shape {x.shape} and strides "
            f"{x.stride()}; use reshape, or contiguous() first"
        )
    return out


def _is_channels_last(array: Any) -> bool:
    order = (0, *range(2, array.ndim), 1)
    return array.ndim > 2 and bool(array.transpose(order).flags.c_contiguous)


@operation()
def flatten(x: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """Merge the axes `start_dim` to `end_dim` (inclusive) into one.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.flatten(mg.zeros(2, 3, 4), 1).shape
    (2, 12)
    """
    x = check_tensor("flatten", x)
    start = check_dim("flatten", start_dim, x.ndim)
    end = check_dim("flatten", end_dim, x.ndim)
    if start > end:
        raise ShapeError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim}")
    if start == end and x.ndim:
        return x
    merged = math.prod(x.shape[start : end + 1])
    return Reshape((*x.shape[:start], merged, *x.shape[end + 1 :]))(x)


@operation()
def ravel(x: Tensor) -> Tensor:
    """Merge all axes into one.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.ravel(mg.tensor([[1, 2], [3, 4]]))
    tensor([1, 2, 3, 4])
    """
    return flatten(x)


@operation()
def unflatten(x: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """Split axis `dim` into axes of the lengths `sizes`, one of which may be -1.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.unflatten(mg.zeros(2, 12), 1, (3, -1)).shape
    (2, 3, 4)
    """
    x = check_tensor("unflatten", x)
    dim = check_dim("unflatten", dim, x.ndim)
    length = x.shape[dim] if x.ndim else 1
    parts = infer_shape("unflatten", tuple(sizes), length, (length,))
    return Reshape((*x.shape[:dim], *parts, *x.shape[dim + 1 :]))(x)


@operation()
def squeeze(x: Tensor, dim: Dim = None) -> Tensor:
    """Drop the axes of length 1, or those among `dim`; an axis of another length stays.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.squeeze(mg.zeros(1, 3, 1)).shape, mg.squeeze(mg.zeros(1, 3, 1), 0).shape
    ((3,), (3, 1))
    """
    x = check_tensor("squeeze", x)
    dims = check_dims("squeeze", dim, x.ndim)
    return Reshape(tuple([n for i, n in enumerate(x.shape) if n != 1 or i not in dims]))(x)


@operation()
def unsqueeze(x: Tensor, dim: int) -> Tensor:
    """Insert an axis of length 1 before `dim`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.unsqueeze(mg.zeros(2, 3), -1).shape
    (2, 3, 1)
    """
    x = check_tensor("unsqueeze", x)
    dim = check_dim("unsqueeze", dim, x.ndim + 1)
    return Reshape((*x.shape[:dim], 1, *x.shape[dim:]))(x)


# ---- another order of axes ------------------------------------------------------------------


class Permute(Function):
    """Reorder the axes; always a view."""

    view = True
    fresh = False

    def __init__(self, dims: Shape) -> None:
        self.dims = dims

    def forward(self, x: Any) -> Any:
        return x.transpose(self.dims)

    def backward(self, g: Any) -> Any:
        inverse = sorted(range(len(self.dims)), key=self.dims.__getitem__)
        return Permute(tuple(inverse))(g)


@operation()
def permute(x: Tensor, *dims: Any) -> Tensor:
    """Reorder the axes: axis ``i`` of the result is axis ``dims[i]`` of `x`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.permute(mg.zeros(2, 3, 4), (0, 2, 1)).shape
    (2, 4, 3)
    """
    x = check_tensor("permute", x)
    wanted = sizes("permute", dims)
    if len(wanted) != x.ndim:
        raise ShapeError(f"permute: dims {wanted} must name each of the {x.ndim} axes of {x.shape}")
    return Permute(check_dims("permute", wanted, x.ndim))(x)


@operation(numpy="swapaxes", also="swapaxes swapdims")
def transpose(x: Tensor, dim0: int, dim1: int) -> Tensor:
    """Exchange two axes.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.transpose(mg.zeros(2, 3, 4), 0, 2).shape
    (4, 3, 2)
    """
    x = check_tensor("transpose", x)
    a, b = check_dim("transpose", dim0, x.ndim), check_dim("transpose", dim1, x.ndim)
    order = list(range(x.ndim))
    if order:
        order[a], order[b] = b, a
    return Permute(tuple(order))(x)


@operation()
def t(x: Tensor) -> Tensor:
    """Transpose a matrix; tensors of fewer axes stay as they are.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.t(mg.tensor([[1, 2], [3, 4]]))
    tensor([[1, 3],
            [2, 4]])
    """
    x = check_tensor("t", x)
    if x.ndim > 2:
        raise ShapeError(
            f"t: at most 2 axes, the tensor has shape {x.shape}; use transpose(dim0, dim1) or mT"
        )
    return Permute(tuple(reversed(range(x.ndim))))(x)


@operation(numpy="moveaxis", also="moveaxis")
def movedim(x: Tensor, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """Move the axes `source` to the places `destination`; the others keep their order.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.movedim(mg.zeros(2, 3, 4), 1, -1).shape
    (2, 4, 3)
    """
    x = check_tensor("movedim", x)
    come, go = (d if isinstance(d, int) else tuple(d) for d in (source, destination))
    return Permute(_moved(x.ndim, come, go))(x)


@cache
def _moved(ndim: int, source: int | Shape, destination: int | Shape) -> Shape:
    """Return the order of axes that `movedim` makes."""
    come = () if source == () else check_dims("movedim", source, ndim)
    go = () if destination == () else check_dims("movedim", destination, ndim)
    if len(come) != len(go):
        raise ShapeError(f"movedim: source {source} and destination {destination} differ in length")
    order = [i for i in range(ndim) if i not in come]
    for place, axis in sorted(zip(go, come, strict=True)):
        order.insert(place, axis)
    return tuple(order)


# ---- repetition -----------------------------------------------------------------------------


class Expand(Function):
    """Repeat axes of length 1 without copying; the result is a read-only view."""

    view = True

    def __init__(self, shape: Shape) -> None:
        self.shape = shape

    def forward(self, x: Any) -> Any:
        self.source = x.shape
        return get_xp(x).broadcast_to(x, self.shape)

    def backward(self, g: Any) -> Any:
        return sum_to(g, self.source)


@operation("Tensor")
def expand(x: Tensor, *shape: Any) -> Tensor:
    """Repeat axes of length 1 up to `shape` without copying; -1 keeps a length.

    Raises
    ------
    ShapeError
        If an axis that is not of length 1 would have to change.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.tensor([[1], [2]]).expand(-1, 3)
    tensor([[1, 1, 1],
            [2, 2, 2]])
    """
    x = check_tensor("expand", x)
    return _expand("expand", x, sizes("expand", shape))


@operation("minigrad Tensor numpy")
def broadcast_to(x: Tensor, shape: Sequence[int]) -> Tensor:
    """Repeat axes of length 1 up to `shape` without copying; see `expand`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.broadcast_to(mg.tensor([1.0, 2.0]), (2, 2))
    tensor([[1., 2.],
            [1., 2.]])
    """
    return _expand("broadcast_to", check_tensor("broadcast_to", x), sizes("broadcast_to", [shape]))


@operation("Tensor")
def expand_as(x: Tensor, other: Tensor) -> Tensor:
    """Expand `x` to the shape of `other`."""
    return _expand("expand_as", check_tensor("expand_as", x), other.shape)


def _expand(name: str, x: Tensor, shape: Shape) -> Tensor:
    lead = len(shape) - x.ndim
    if lead >= 0:
        old = (1,) * lead + x.shape
        kept = x.shape if -1 in shape else ()
        wanted = tuple(
            [old[i] if n == -1 and i - lead in range(len(kept)) else n for i, n in enumerate(shape)]
        )
        if all(n >= 0 and m in (1, n) for m, n in zip(old, wanted, strict=True)):
            return Expand(wanted)(x)
    raise ShapeError(
        f"{name}: shape {x.shape} does not expand to {shape}; aligned from the right, a length "
        "must be 1, equal, or -1 (kept)"
    )


@operation("minigrad")
def broadcast_tensors(*tensors: Tensor) -> tuple[Tensor, ...]:
    """Expand all tensors to the shape in which they meet.

    Examples
    --------
    >>> import minigrad as mg
    >>> a, b = mg.broadcast_tensors(mg.zeros(2, 1), mg.zeros(3))
    >>> a.shape, b.shape
    ((2, 3), (2, 3))
    """
    found = check_tensors("broadcast_tensors", tensors)
    shape = meeting_shape("broadcast_tensors", *[x.shape for x in found])
    return tuple([_expand("broadcast_tensors", x, shape) for x in found])


def meeting_shape(name: str, *shapes: Shape) -> Shape:
    """Return the shape to which `shapes` broadcast."""
    try:
        return np.broadcast_shapes(*shapes)
    except ValueError:
        listed = " and ".join(map(str, shapes))
        raise ShapeError(
            f"{name}: shapes {listed} do not broadcast; aligned from the right, two lengths must "
            "be equal or one of them 1"
        ) from None


@operation("Tensor")
def repeat(x: Tensor, *repeats: Any) -> Tensor:
    """Lay copies of `x` side by side, ``repeats[i]`` of them along axis ``i``.

    Surplus entries of `repeats` add axes in front.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.tensor([1, 2]).repeat(2, 2)
    tensor([[1, 2, 1, 2],
            [1, 2, 1, 2]])
    """
    x = check_tensor("repeat", x)
    return _repeat("repeat", x, sizes("repeat", repeats))


@operation("minigrad Tensor numpy")
def tile(x: Tensor, *repeats: Any) -> Tensor:
    """Lay copies of `x` side by side; unlike `repeat`, missing entries count as leading ones.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.tile(mg.tensor([[1, 2]]), (2,))
    tensor([[1, 2, 1, 2]])
    """
    x = check_tensor("tile", x)
    times = sizes("tile", repeats)
    return _repeat("tile", x, (1,) * (x.ndim - len(times)) + times)


def _repeat(name: str, x: Tensor, times: Shape) -> Tensor:
    lead = len(times) - x.ndim
    if lead < 0 or any(n < 0 for n in times):
        raise ShapeError(
            f"{name}: repeats {times} must be at least {x.ndim} numbers >= 0 for shape {x.shape}"
        )
    shape = (1,) * lead + x.shape
    between = tuple([n for pair in zip((1,) * len(shape), shape, strict=True) for n in pair])
    spaced = tuple([n for pair in zip(times, shape, strict=True) for n in pair])
    out = Expand(spaced)(Reshape(between)(x))
    result = Reshape(tuple([a * b for a, b in zip(times, shape, strict=True)]))(out)
    return clone(result) if result._view is not None else result


@operation()
def repeat_interleave(
    x: Tensor, repeats: int | Tensor, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Repeat every element along `dim` (the flattened tensor by default) before the next one.

    Parameters
    ----------
    x : Tensor
        Any shape.
    repeats : int or Tensor
        How often; a tensor has one count per element of the axis.
    dim : int, optional
        The axis; None flattens first.
    output_size : int, optional
        The length that the axis will have; only checked.

    Raises
    ------
    DTypeError
        If `repeats` is a tensor of other numbers than integers.
    ShapeError
        If there is not one count for each element, or the axis does not get `output_size`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.repeat_interleave(mg.tensor([1, 2]), mg.tensor([3, 1]))
    tensor([1, 1, 1, 2])
    """
    x = check_tensor("repeat_interleave", x)
    if dim is None:
        x, dim = flatten(x), 0
    dim = check_dim("repeat_interleave", dim, x.ndim)
    x = x if x.ndim else Reshape((1,))(x)
    times: Any = repeats.array if isinstance(repeats, Tensor) else repeats
    if hasattr(times, "dtype"):
        if times.dtype.kind not in "iu":
            raise DTypeError(
                f"repeat_interleave: repeats must be integers, not {times.dtype}; use .long()"
            )
        times = times.astype("intp", copy=False)  # a browser's has 32 bits
    xp = get_xp(x.array)
    if xp.size(times) not in (1, x.shape[dim]) or xp.any(xp.less(times, 0)):
        raise ShapeError(
            f"repeat_interleave: repeats must be a count >= 0 or {x.shape[dim]} of them for axis "
            f"{dim} of shape {x.shape}"
        )
    index = xp.repeat(xp.arange(x.shape[dim]), times)
    if output_size is not None and output_size != len(index):
        raise ShapeError(
            f"repeat_interleave: the result has {len(index)} entries along axis {dim}, not "
            f"output_size={output_size}"
        )
    out: Tensor = x[(slice(None),) * dim + (index,)]
    return out


@operation("minigrad")
def meshgrid(*tensors: Tensor, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Expand 1-D tensors to the grid they span.

    Parameters
    ----------
    *tensors : Tensor
        Coordinates along each axis, 0-d or 1-d.
    indexing : {"ij", "xy"}, default "ij"
        "xy" exchanges the first two axes of the results.

    Examples
    --------
    >>> import minigrad as mg
    >>> rows, columns = mg.meshgrid(mg.arange(2), mg.arange(3))
    >>> columns
    tensor([[0, 1, 2],
            [0, 1, 2]])
    """
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        tensors = tuple(tensors[0])
    axes = check_tensors("meshgrid", tensors)
    if indexing not in ("ij", "xy"):
        raise unknown("meshgrid indexing", indexing, ["ij", "xy"])
    if any(x.ndim > 1 for x in axes):
        raise ShapeError(f"meshgrid: tensors must be 0-d or 1-d, not {[x.shape for x in axes]}")
    n = len(axes)
    grids = broadcast_tensors(
        *[Reshape((1,) * i + (x.array.size,) + (1,) * (n - 1 - i))(x) for i, x in enumerate(axes)]
    )
    return tuple([transpose(g, 0, 1) for g in grids]) if indexing == "xy" and n > 1 else grids


# ---- joining --------------------------------------------------------------------------------


class Cat(Function):
    """Join arrays along an existing axis."""

    fresh = False

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def forward(self, *xs: Any) -> Any:
        self.ends = np.cumsum([x.shape[self.dim] for x in xs]).tolist()
        return get_xp(xs[0]).concatenate(xs, axis=self.dim)

    def backward(self, g: Any) -> Any:
        front = (slice(None),) * self.dim
        starts = [0, *self.ends[:-1]]
        return tuple(
            [
                g[(*front, slice(start, end))] if need else None
                for start, end, need in zip(starts, self.ends, self.needs, strict=True)
            ]
        )


class Stack(Function):
    """Join arrays of one shape along a new axis."""

    fresh = False

    def __init__(self, dim: int) -> None:
        self.dim = dim

    def forward(self, *xs: Any) -> Any:
        return get_xp(xs[0]).stack(xs, axis=self.dim)

    def backward(self, g: Any) -> Any:
        front = (slice(None),) * self.dim
        return tuple([g[(*front, i)] if need else None for i, need in enumerate(self.needs)])


def _joined(name: str, tensors: Sequence[Tensor]) -> list[Tensor]:
    """Bring tensors to the dtype in which they meet."""
    found = check_tensors(name, tensors)
    dtype = found[0].dtype
    for x in found[1:]:
        dtype = dtypes.promote_types(dtype, x.dtype)
    return [cast(x, dtype) for x in found]


@operation("minigrad", also="concat concatenate")
def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Join tensors along the existing axis `dim`; the other lengths must agree.

    Raises
    ------
    ShapeError
        If a length other than that of `dim` differs, or the list is empty.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.cat([mg.tensor([1, 2]), mg.tensor([3])])
    tensor([1, 2, 3])
    """
    found = _joined("cat", tensors)
    if any(x.ndim > 1 for x in found):  # as PyTorch does, skip empty lists among them
        found = [x for x in found if x.shape != (0,)]
    if not found[0].ndim:
        raise ShapeError("cat: a 0-d tensor has no axis to join along; use stack")
    dim = check_dim("cat", dim, found[0].ndim)
    rest = [x.shape[:dim] + x.shape[dim + 1 :] if x.ndim else None for x in found]
    if any(r != rest[0] for r in rest):
        raise ShapeError(
            f"cat: apart from axis {dim} the shapes must agree, got {[x.shape for x in found]}; "
            "crop or pad them, or choose another dim"
        )
    return Cat(dim)(*found)


@operation("minigrad")
def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Join tensors of one shape along a new axis `dim`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.stack([mg.tensor([1, 2]), mg.tensor([3, 4])], dim=1)
    tensor([[1, 3],
            [2, 4]])
    """
    found = _joined("stack", tensors)
    if any(x.shape != found[0].shape for x in found):
        raise ShapeError(
            f"stack: the shapes must be equal, got {[x.shape for x in found]}; crop or pad them, "
            "or use cat"
        )
    return Stack(check_dim("stack", dim, found[0].ndim + 1))(*found)


def _at_least(x: Tensor, ndim: int) -> Tensor:
    return x if x.ndim >= ndim else Reshape((1,) * (ndim - x.ndim) + x.shape)(x)


@operation("minigrad")
def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Join tensors side by side: along axis 1, or axis 0 for 1-D tensors.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.hstack([mg.zeros(2, 1), mg.ones(2, 1)])
    tensor([[0., 1.],
            [0., 1.]])
    """
    found = [_at_least(x, 1) for x in check_tensors("hstack", tensors)]
    return cat(found, 0 if found[0].ndim == 1 else 1)


@operation("minigrad")
def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """Join tensors on top of each other, along axis 0, after making them at least 2-D.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.vstack([mg.zeros(2), mg.ones(2)])
    tensor([[0., 0.],
            [1., 1.]])
    """
    return cat([_at_least(x, 2) for x in check_tensors("vstack", tensors)], 0)


# ---- cutting --------------------------------------------------------------------------------


@operation()
def narrow(x: Tensor, dim: int, start: int, length: int) -> Tensor:
    """Return the view of `length` entries from `start` along `dim`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.narrow(mg.arange(5), 0, 1, 3)
    tensor([1, 2, 3])
    """
    x = check_tensor("narrow", x)
    dim = check_dim("narrow", dim, x.ndim)
    n = x.shape[dim] if x.ndim else 0
    begin = start + n if start < 0 else start
    if not (0 <= begin <= n and 0 <= length <= n - begin):
        raise ShapeError(
            f"narrow: start {start} and length {length} leave axis {dim} of shape {x.shape}"
        )
    out: Tensor = x[(slice(None),) * dim + (slice(begin, begin + length),)]
    return out


@operation()
def split(x: Tensor, split_size: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Cut `x` along `dim` into views of `split_size` entries (the last may be shorter).

    Parameters
    ----------
    x : Tensor
        At least 1-D.
    split_size : int or sequence of int
        Length of every piece, or the lengths of all pieces, which must add up.
    dim : int, default 0
        The axis.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.split(mg.arange(5), 2)
    (tensor([0, 1]), tensor([2, 3]), tensor([4]))
    """
    x = check_tensor("split", x)
    dim = check_dim("split", dim, x.ndim)
    if not x.ndim:
        raise ShapeError("split: a 0-d tensor has no axis to cut")
    n = x.shape[dim]
    if isinstance(split_size, int):
        if split_size < 0 or (split_size == 0 and n):
            raise ShapeError(f"split: split_size must be positive, not {split_size}")
        pieces = [split_size] * (n // split_size) if split_size else [0]
        pieces += [n - sum(pieces)] if n > sum(pieces) or not pieces else []
    else:
        pieces = list(split_size)
        if sum(pieces) != n or any(p < 0 for p in pieces):
            raise ShapeError(
                f"split: the sizes {pieces} must be >= 0 and add up to {n}, the length of axis "
                f"{dim} of shape {x.shape}"
            )
    starts = np.cumsum([0, *pieces[:-1]]).tolist()
    return tuple([narrow(x, dim, s, p) for s, p in zip(starts, pieces, strict=True)])


@operation()
def chunk(x: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """Cut `x` along `dim` into at most `chunks` views of equal length (the last may be shorter).

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.chunk(mg.arange(5), 2)
    (tensor([0, 1, 2]), tensor([3, 4]))
    """
    x = check_tensor("chunk", x)
    dim = check_dim("chunk", dim, x.ndim)
    if chunks <= 0:
        raise ShapeError(f"chunk: the number of chunks must be positive, not {chunks}")
    if not x.ndim:
        raise ShapeError("chunk: a 0-d tensor has no axis to cut")
    if not x.shape[dim]:
        return split(x, [0] * chunks, dim)
    return split(x, -(-x.shape[dim] // chunks), dim)


@operation()
def unbind(x: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Return the views at every index of `dim`, which disappears.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.unbind(mg.tensor([[1, 2], [3, 4]]))
    (tensor([1, 2]), tensor([3, 4]))
    """
    x = check_tensor("unbind", x)
    dim = check_dim("unbind", dim, x.ndim)
    if not x.ndim:
        raise ShapeError("unbind: a 0-d tensor has no axis to take apart (nor can it be iterated)")
    return tuple([x[(slice(None),) * dim + (i,)] for i in range(x.shape[dim])])


@operation()
def diagonal(x: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """Return the diagonal of the axes `dim1` and `dim2` as the last axis (a copy).

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.diagonal(mg.tensor([[1, 2], [3, 4]]))
    tensor([1, 4])
    """
    x = check_tensor("diagonal", x)
    a, b = check_dim("diagonal", dim1, x.ndim), check_dim("diagonal", dim2, x.ndim)
    if x.ndim < 2 or a == b:
        raise ShapeError(
            f"diagonal: two different axes are needed, got {dim1} and {dim2} of {x.shape}"
        )
    xp = get_xp(x.array)
    first, second = max(0, -offset), max(0, offset)
    i = xp.arange(max(0, min(x.shape[a] - first, x.shape[b] - second)))
    out: Tensor = movedim(x, (a, b), (-2, -1))[..., i + first, i + second]
    return out


@operation("Tensor")
def unfold(x: Tensor, dimension: int, size: int, step: int) -> Tensor:
    """Return the windows of `size` entries, every `step`, as a new last axis (a copy).

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.arange(5).unfold(0, 3, 2)
    tensor([[0, 1, 2],
            [2, 3, 4]])
    """
    x = check_tensor("unfold", x)
    dim = check_dim("unfold", dimension, x.ndim)
    n = x.shape[dim] if x.ndim else 1
    if not 0 <= size <= n or step <= 0:
        raise ShapeError(
            f"unfold: windows of {size} every {step} do not fit axis {dim} of shape {x.shape}; "
            f"size is 0 to {n} and step at least 1"
        )
    if not x.ndim:
        return narrow(Reshape((1,))(x), 0, 0, size)
    xp = get_xp(x.array)
    index = xp.arange(0, n - size + 1, step)[:, None] + xp.arange(size)
    return movedim(movedim(x, dim, -1)[..., index], -2, dim)


# ---- copies ---------------------------------------------------------------------------------


class Clone(Function):
    """A copy in fresh memory, in the given order ("K" keeps the layout)."""

    def __init__(self, order: str) -> None:
        self.order = order

    def forward(self, x: Any) -> Any:
        return get_xp(x).array(x, order=self.order, copy=True)

    def backward(self, g: Any) -> Any:
        return g


@operation()
def clone(x: Tensor) -> Tensor:
    """Return a copy, through which gradients flow.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.clone(mg.tensor([1, 2]))
    tensor([1, 2])
    """
    return Clone("K")(check_tensor("clone", x))


@operation("Tensor")
def contiguous(x: Tensor, memory_format: str = "contiguous_format") -> Tensor:
    """Return `x` itself if its elements lie in row-major order, else a copy that does.

    In another `memory_format` (``mg.channels_last`` …) `x` stays as it is: minigrad keeps images
    channels-last by itself, and no result depends on the layout.
    """
    x = check_tensor("contiguous", x)
    check_memory_format("contiguous", memory_format)
    if memory_format != "contiguous_format":
        return x
    return x if x.is_contiguous() else Clone("C")(x)


@operation("functional")
def pixel_shuffle(input: Tensor, upscale_factor: int) -> Tensor:
    """Return (..., C·r², H, W) as (..., C, H·r, W·r): channels become pixels.

    Raises
    ------
    ShapeError
        If the channels do not divide by r².

    Notes
    -----
    Source: Shi et al., arXiv:1609.05158.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.pixel_shuffle(mg.arange(4).reshape(1, 4, 1, 1), 2)
    tensor([[[[0, 1],
              [2, 3]]]])
    """
    x, r = check_tensor("pixel_shuffle", input), upscale_factor
    if r < 1 or x.ndim < 3 or x.shape[-3] % (r * r):
        raise ShapeError(
            f"pixel_shuffle: the input must be (..., C·{r}², H, W), got shape {x.shape}; the "
            f"channels must divide by {r * r}"
        )
    *lead, channels, h, w = x.shape
    n = len(lead)
    x = reshape(x, (*lead, channels // (r * r), r, r, h, w))
    x = permute(x, (*range(n + 1), n + 3, n + 1, n + 4, n + 2))
    return reshape(x, (*lead, channels // (r * r), h * r, w * r))


@operation("functional")
def pixel_unshuffle(input: Tensor, downscale_factor: int) -> Tensor:
    """Return (..., C, H·r, W·r) as (..., C·r², H, W): the inverse of `pixel_shuffle`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.pixel_unshuffle(mg.ones(1, 3, 4, 4), 2).shape
    (1, 12, 2, 2)
    """
    x, r = check_tensor("pixel_unshuffle", input), downscale_factor
    if r < 1 or x.ndim < 3 or x.shape[-1] % r or x.shape[-2] % r:
        raise ShapeError(
            f"pixel_unshuffle: the sides of (..., C, H, W) must divide by {r}, got shape {x.shape}"
        )
    *lead, channels, h, w = x.shape
    n = len(lead)
    x = reshape(x, (*lead, channels, h // r, r, w // r, r))
    x = permute(x, (*range(n + 1), n + 2, n + 4, n + 1, n + 3))
    return reshape(x, (*lead, channels * r * r, h // r, w // r))


class Flip(Function):
    """Reverse axes; its own adjoint."""

    def __init__(self, dims: Shape) -> None:
        self.dims = dims

    def forward(self, x: Any) -> Any:
        turn = tuple([slice(None, None, -1 if i in self.dims else None) for i in range(x.ndim)])
        return x[turn].copy() if x.ndim else x.copy()

    def backward(self, g: Any) -> Any:
        return Flip(self.dims)(g)


@operation("minigrad Tensor numpy")
def flip(x: Tensor, *axes: Any, dims: Any = None) -> Tensor:
    """Reverse the order along the axes, ``flip(x, 0, 1)`` or ``dims=(0, 1)``; copies.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.flip(mg.tensor([1, 2, 3]), 0)
    tensor([3, 2, 1])
    """
    x = check_tensor("flip", x)
    wanted = sizes("flip", axes if dims is None else (*axes, dims))
    return Flip(check_dims("flip", wanted, x.ndim) if wanted else ())(x)


class Roll(Function):
    """Shift along axes, re-entering at the other end."""

    def __init__(self, shifts: Shape, dims: Shape) -> None:
        self.shifts, self.dims = shifts, dims

    def forward(self, x: Any) -> Any:
        return get_xp(x).roll(x, self.shifts, self.dims)

    def backward(self, g: Any) -> Any:
        return Roll(tuple([-s for s in self.shifts]), self.dims)(g)


@operation()
def roll(x: Tensor, shifts: int | Sequence[int], dims: int | Sequence[int] | None = None) -> Tensor:
    """Shift the elements along `dims`; what leaves at one end enters at the other.

    Without `dims` the flattened tensor is rolled.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.roll(mg.tensor([1, 2, 3, 4]), 1)
    tensor([4, 1, 2, 3])
    """
    x = check_tensor("roll", x)
    steps = (shifts,) if isinstance(shifts, int) else tuple(shifts)
    if dims is None:
        if len(steps) != 1:
            raise ShapeError(f"roll: {len(steps)} shifts need as many dims")
        return Reshape(x.shape)(Roll(steps, (0,))(flatten(x)))
    axes = (dims,) if isinstance(dims, int) else tuple(dims)
    if len(axes) != len(steps):
        raise ShapeError(f"roll: {len(steps)} shifts but {len(axes)} dims")
    return Roll(steps, tuple([check_dim("roll", d, x.ndim) for d in axes]))(x)


class Triangle(Function):
    """Keep one side of the diagonals of matrices and set the rest to zero."""

    def __init__(self, side: str, diagonal: int) -> None:
        self.side, self.diagonal = side, diagonal

    def forward(self, x: Any) -> Any:
        return getattr(get_xp(x), self.side)(x, self.diagonal)

    def backward(self, g: Any) -> Any:
        return Triangle(self.side, self.diagonal)(g)


@operation()
def tril(x: Tensor, diagonal: int = 0) -> Tensor:
    """Set the elements above the given diagonal of the last two axes to zero.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.tril(mg.tensor([[1, 2], [3, 4]]))
    tensor([[1, 0],
            [3, 4]])
    """
    return _triangle("tril", x, diagonal)


@operation()
def triu(x: Tensor, diagonal: int = 0) -> Tensor:
    """Set the elements below the given diagonal of the last two axes to zero.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.triu(mg.tensor([[1, 2], [3, 4]]))
    tensor([[1, 2],
            [0, 4]])
    """
    return _triangle("triu", x, diagonal)


def _triangle(name: str, x: Tensor, diagonal: int) -> Tensor:
    x = check_tensor(name, x)
    if x.ndim < 2:
        raise ShapeError(f"{name}: at least 2 axes are needed, the shape is {x.shape}")
    return Triangle(name, diagonal)(x)


# ---- padding --------------------------------------------------------------------------------


class Pad(Function):
    """Surround with a constant; `pads` gives (before, after) of every axis."""

    fresh = False

    def __init__(self, pads: tuple[tuple[int, int], ...], value: float) -> None:
        self.pads, self.value = pads, value

    def forward(self, x: Any) -> Any:
        shape = tuple([a + n + b for n, (a, b) in zip(x.shape, self.pads, strict=True)])
        out = get_xp(x).full_like(x, self.value, shape=shape)  # keeps the layout of x
        out[self.inside(shape)] = x
        return out

    def inside(self, shape: Shape) -> tuple[slice, ...]:
        """Return where the input is in the result."""
        return tuple([slice(a, n - b) for n, (a, b) in zip(shape, self.pads, strict=True)])

    def backward(self, g: Any) -> Any:
        return g[self.inside(g.shape)]


_PAD_MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}  # PyTorch: NumPy


@operation("functional")
def pad(
    x: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None
) -> Tensor:
    """Add entries around the last axes.

    Parameters
    ----------
    x : Tensor
        Any shape.
    pad : sequence of int
        Pairs (before, after), the last axis first: ``(left, right, top, bottom)``. A negative
        number cuts (constant mode only).
    mode : {"constant", "reflect", "replicate", "circular"}, default "constant"
        What to add: `value`; the mirror image without the border; the border; the other end.
    value : float, optional
        The constant; default 0.

    Returns
    -------
    Tensor

    Raises
    ------
    ShapeError
        If `pad` has an odd length, more pairs than `x` has axes, or more entries than the mode
        can take from `x`.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.functional.pad(mg.tensor([1, 2, 3]), (2, 1), mode="reflect")
    tensor([3, 2, 1, 2, 3, 2])
    """
    x = check_tensor("pad", x)
    flat = sizes("pad", [pad])
    if len(flat) % 2 or len(flat) > 2 * x.ndim:
        raise ShapeError(
            f"pad: {flat} must hold a pair (before, after) for each of at most {x.ndim} axes of "
            f"shape {x.shape}, the last axis first"
        )
    pairs = [(0, 0)] * (x.ndim - len(flat) // 2)
    pairs += [(flat[i], flat[i + 1]) for i in range(len(flat) - 2, -1, -2)]
    if mode == "constant":
        return _pad_constant(x, pairs, 0.0 if value is None else value)
    if mode not in _PAD_MODES:
        raise unknown("pad mode", mode, ["constant", *_PAD_MODES])
    if value:
        raise OptionError(f"pad: value={value} has a meaning in mode 'constant' only, not {mode!r}")
    return _pad_from_itself(x, pairs, mode)


def _pad_constant(x: Tensor, pairs: list[tuple[int, int]], value: float) -> Tensor:
    lengths = [n + a + b for n, (a, b) in zip(x.shape, pairs, strict=True)]
    if any(n < 0 for n in lengths):
        raise ShapeError(f"pad: cutting {pairs} leaves a negative length of shape {x.shape}")
    if any(a < 0 or b < 0 for a, b in pairs):
        cut = [slice(max(0, -a), n - max(0, -b)) for n, (a, b) in zip(x.shape, pairs, strict=True)]
        x = x[tuple(cut)]
        pairs = [(max(0, a), max(0, b)) for a, b in pairs]
    dtypes.check_fits("pad", value, x.dtype)
    return Pad(tuple(pairs), value)(x)


def _pad_from_itself(x: Tensor, pairs: list[tuple[int, int]], mode: str) -> Tensor:
    xp = get_xp(x.array)
    for dim, (before, after) in enumerate(pairs):
        n = x.shape[dim]
        most = {"reflect": n - 1, "circular": n}.get(mode, math.inf if n else 0)
        if not (before <= most and after <= most):
            raise ShapeError(
                f"pad: mode {mode!r} can add 0 to {most} entries to axis {dim} of shape {x.shape}, "
                f"not {(before, after)}"
            )
        if min(before, after) < 0 and n + before + after < 1:
            raise ShapeError(
                f"pad: cutting {(before, after)} leaves nothing of axis {dim} of shape {x.shape}"
            )
    for dim, pair in enumerate(pairs):
        if pair != (0, 0):
            grown, cut = [max(0, n) for n in pair], [max(0, -n) for n in pair]
            index = xp.arange(x.shape[dim])
            if mode == "circular":  # what is cut off does not come back at the other end
                index, cut = index[cut[0] : len(index) - cut[1]], [0, 0]
            index = xp.pad(index, grown, mode=_PAD_MODES[mode])
            x = x[(slice(None),) * dim + (index[cut[0] : len(index) - cut[1]],)]
    return clone(x) if not any(map(any, pairs)) else x
