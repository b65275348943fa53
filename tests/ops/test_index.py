from __future__ import annotations

import math
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

import minigrad as mg
import minigrad.ops.index as ops
from minigrad.errors import DTypeError, ShapeError
from tests.ops.parity import agree, arrays, broadcastable, same_values

torch = pytest.importorskip("torch")
nn = pytest.importorskip("torch.nn.functional")

# ---- index expressions ----------------------------------------------------------------------


@st.composite
def indices(draw: Any, shape: tuple[int, ...]) -> Any:
    """Draw an index expression for `shape`: a list of parts in neutral form."""
    parts: list[Any] = []
    axis = 0
    meet = draw(st.sampled_from([(), (2,), (3, 2), (0,)]))  # where the integer arrays meet
    dots = draw(st.integers(0, len(shape)))
    while axis < len(shape):
        if axis == dots and not any(p is Ellipsis for p in parts) and draw(st.booleans()):
            parts.append(Ellipsis)
            axis += draw(st.integers(0, len(shape) - axis))
            continue
        if not any(p is Ellipsis for p in parts) and draw(st.integers(0, 5)) == 0:
            break
        n = shape[axis]
        kinds = ["slice", "none", "mask"] + (["int", "array", "list"] if n else [])
        kind = draw(st.sampled_from(kinds))
        if kind == "none":
            parts.append(None)
            continue
        if kind == "slice":
            a, b = (draw(st.one_of(st.none(), st.integers(-n - 1, n + 1))) for _ in "ab")
            parts.append(slice(a, b, draw(st.sampled_from([None, 1, 2]))))
        elif kind == "int":
            parts.append(draw(st.integers(-n, n - 1)))
        elif kind == "array":
            part = broadcastable(draw, meet)
            size = math.prod(part)
            flat = draw(st.lists(st.integers(-n, n - 1), min_size=size, max_size=size))
            parts.append(np.array(flat, np.int64).reshape(part))
        elif kind == "list":
            parts.append([draw(st.integers(-n, n - 1))])
        else:
            wide = 2 if axis + 1 < len(shape) and draw(st.booleans()) else 1
            part = shape[axis : axis + wide]
            mask = np.zeros(part, bool)
            if mask.size:  # one True: it then broadcasts with any other array
                mask.flat[draw(st.integers(0, mask.size - 1))] = True
            else:
                continue
            parts.append(mask)
            axis += wide
            continue
        axis += 1
    return parts


def speak(parts: Any, make: Any) -> Any:
    """Turn neutral parts into an index with the tensors of one library."""
    return tuple(make(p) if isinstance(p, np.ndarray) else p for p in parts)


@given(x=arrays(), data=st.data())
def test_getitem(x: Any, data: Any) -> None:
    parts = data.draw(indices(x.shape))
    agree(lambda t: t[speak(parts, mg.Tensor)], lambda t: t[speak(parts, torch.from_numpy)], x)


@given(x=arrays(), data=st.data())
def test_index_put(x: Any, data: Any) -> None:
    parts = data.draw(indices(x.shape))
    shape = torch.from_numpy(x.copy())[speak(parts, torch.from_numpy)].shape
    value = data.draw(arrays(shape=broadcastable(data.draw, shape)))
    place, places = speak(parts, mg.Tensor), speak(parts, torch.from_numpy)
    if any(isinstance(p, (np.ndarray, list)) for p in parts):
        value = np.full_like(value, 1.5)  # which writer wins is open where places repeat

    def put(t: Any, v: Any) -> Any:
        out = t.clone()
        out[places] = v
        return out

    def put_in_place(t: Any, v: Any) -> Any:
        out = t.clone()
        out[place] = v
        return out

    repeated = any(isinstance(p, np.ndarray) and p.dtype != bool for p in parts)
    if repeated:
        same_values(
            ops.index_put(mg.Tensor(x), place, mg.Tensor(value)), put(*map(_torch, (x, value)))
        )
        return
    agree(lambda t, v: ops.index_put(t, place, v), put, x, value)
    agree(put_in_place, put, x, value)


def _torch(a: Any) -> Any:
    return torch.from_numpy(a.copy())


def test_integers_are_applied_before_arrays() -> None:
    """NumPy would put the axis of the array first."""
    x = mg.zeros(2, 3, 4)
    assert x[0, :, [1, 2]].shape == (3, 2)


def test_index_kinds() -> None:
    x = mg.arange(6).reshape(2, 3)
    assert x[mg.tensor(1)].tolist() == [3, 4, 5]
    assert np.shares_memory(x[mg.tensor(1)].array, x.array)
    assert x[True].shape == (1, 2, 3)
    assert x[False].shape == (0, 2, 3)
    assert x[[]].shape == (0, 3)
    assert x[[[0, 1], [1, 0]]].shape == (2, 2, 3)
    assert x[np.array([1])].tolist() == [[3, 4, 5]]
    assert x[range(2)].tolist() == x.tolist()
    assert x[mg.tensor([1], dtype="int32")].tolist() == [[3, 4, 5]]
    assert x[1, 2].item() == 5
    assert x[..., None].shape == (2, 3, 1)
    assert x[::-1].tolist() == [[3, 4, 5], [0, 1, 2]]
    assert [row.tolist() for row in x] == [[0, 1, 2], [3, 4, 5]]


def test_assignment_casts_and_accepts_numbers_lists_and_leading_ones() -> None:
    x = mg.zeros(2, 3)
    x[0] = 1
    x[1, :2] = [2, 3]
    x[:, 2:] = mg.tensor([[[7], [8]]])
    assert x.tolist() == [[1, 1, 7], [2, 3, 8]]
    x[x > 2] = 0.0
    assert x.tolist() == [[1, 1, 0], [2, 0, 0]]


def test_repeated_places_add_up() -> None:
    x = mg.zeros(3, requires_grad=True)
    x[mg.tensor([0, 0, 2])].backward(mg.tensor([1.0, 2.0, 4.0]))
    assert x.grad.tolist() == [3, 0, 4]


# ---- along one axis -------------------------------------------------------------------------


@st.composite
def gathers(draw: Any, repeat: bool = True) -> Any:
    """Draw (x, dim, index) for gather and scatter."""
    x = draw(arrays(min_side=1, max_dims=3))
    dim = draw(st.integers(-x.ndim, x.ndim - 1) if x.ndim else st.sampled_from([0, -1]))
    axis = dim % x.ndim if x.ndim else 0
    shape = [draw(st.integers(0, n)) for n in x.shape]
    if x.ndim and repeat:
        shape[axis] = draw(st.integers(0, 5))
    seed = draw(st.integers(0, 2**32 - 1))
    n = x.shape[axis] if x.ndim else 1
    rng = np.random.default_rng(seed)
    index = rng.integers(0, n, shape)
    if not repeat and x.ndim:
        order = rng.permuted(
            np.broadcast_to(np.arange(n), (*x.shape[:axis], *x.shape[axis + 1 :], n)), axis=-1
        )
        index = np.moveaxis(order, -1, axis)[tuple(slice(m) for m in shape)].copy()
    return x, dim, index


@given(case=gathers())
def test_gather(case: Any) -> None:
    x, dim, index = case
    agree(
        lambda t: mg.gather(t, dim, mg.Tensor(index)),
        lambda t: torch.gather(t, dim, torch.as_tensor(index)),
        x,
    )


@given(case=gathers(), data=st.data())
def test_scatter_add(case: Any, data: Any) -> None:
    x, dim, index = case
    src = data.draw(arrays(shape=np.shape(index)))
    agree(
        lambda t, s: mg.scatter_add(t, dim, mg.Tensor(index), s),
        lambda t, s: torch.scatter_add(t, dim, torch.as_tensor(index), s),
        x,
        src,
    )


@given(case=gathers(repeat=False), data=st.data())
def test_scatter(case: Any, data: Any) -> None:
    x, dim, index = case
    src = data.draw(arrays(shape=np.shape(index)))
    i, j = mg.Tensor(index), torch.as_tensor(index)
    agree(lambda t, s: mg.scatter(t, dim, i, s), lambda t, s: torch.scatter(t, dim, j, s), x, src)
    agree(lambda t: mg.scatter(t, dim, i, 2.5), lambda t: torch.scatter(t, dim, j, 2.5), x)
    agree(
        lambda t, s: mg.scatter(t, dim, i, s, reduce="add"),
        lambda t, s: torch.scatter_add(t, dim, j, s),
        x,
        src,
    )


def test_scatter_add_takes_as_much_of_src_as_it_needs() -> None:
    src = mg.ones(2, 4, requires_grad=True)
    out = mg.scatter_add(mg.zeros(2, 2), 1, mg.tensor([[0, 0, 1]]), src)
    assert out.tolist() == [[2, 1], [0, 0]]
    out.sum().backward()
    assert src.grad.tolist() == [[1, 1, 1, 0], [0, 0, 0, 0]]


def test_scatter_add_of_integers_is_exact() -> None:
    big = 2**60 + 1
    x = mg.scatter_add(mg.tensor([0]), 0, mg.tensor([0, 0]), mg.tensor([big, big]))
    assert x.item() == 2 * big


@given(x=arrays(min_dims=1, min_side=1), data=st.data())
def test_take_along_dim(x: Any, data: Any) -> None:
    dim = data.draw(st.integers(-x.ndim, x.ndim - 1))
    n = x.shape[dim]
    shape = [m if data.draw(st.booleans()) else 1 for m in x.shape]
    shape[dim] = data.draw(st.integers(0, 4))
    index = np.random.default_rng(0).integers(0, n, shape)
    f = lambda t: mg.take_along_dim(t, mg.Tensor(index), dim)  # noqa: E731
    agree(f, lambda t: torch.take_along_dim(t, torch.from_numpy(index), dim), x)
    order = np.random.default_rng(1).integers(0, x.size, 3)
    agree(
        lambda t: mg.take_along_dim(t, mg.Tensor(order)),
        lambda t: torch.take_along_dim(t, torch.from_numpy(order)),
        x,
    )


@given(x=arrays(min_side=1), data=st.data())
def test_entries_along_an_axis(x: Any, data: Any) -> None:
    dim = data.draw(st.integers(-x.ndim, x.ndim - 1) if x.ndim else st.sampled_from([0, -1]))
    n = x.shape[dim] if x.ndim else 1
    k = data.draw(st.integers(0, 4)) if x.ndim else 1
    index = np.array(data.draw(st.lists(st.integers(0, n - 1), min_size=k, max_size=k)), np.int64)
    i, j = mg.Tensor(index), torch.from_numpy(index)
    agree(lambda t: mg.index_select(t, dim, i), lambda t: torch.index_select(t, dim, j), x)
    agree(lambda t: ops.index_fill(t, dim, i, 2.0), lambda t: torch.index_fill(t, dim, j, 2.0), x)
    if not x.ndim:
        return
    shape = list(x.shape)
    shape[dim] = k
    source = data.draw(arrays(shape=tuple(shape)))
    agree(
        lambda t, s: ops.index_add(t, dim, i, s, alpha=2),
        lambda t, s: torch.index_add(t, dim, j, s, alpha=2),
        x,
        source,
    )
    if len(set(index.tolist())) == k:
        agree(
            lambda t, s: ops.index_copy(t, dim, i, s),
            lambda t, s: torch.index_copy(t, dim, j, s),
            x,
            source,
        )


# ---- masks ----------------------------------------------------------------------------------


@given(x=arrays(), data=st.data())
def test_masks(x: Any, data: Any) -> None:
    mask = data.draw(arrays(shape=broadcastable(data.draw, x.shape), ties=True)) > 0
    mask = np.asarray(mask)
    m, n = mg.Tensor(mask), torch.from_numpy(mask.copy())
    agree(lambda t: mg.masked_fill(t, m, 2.0), lambda t: torch.masked_fill(t, n, 2.0), x)
    agree(lambda t: mg.masked_select(t, m), lambda t: torch.masked_select(t, n), x)
    value = np.array(3.0)
    agree(lambda t, v: mg.masked_fill(t, m, v), lambda t, v: torch.masked_fill(t, n, v), x, value)


def test_masked_fill_keeps_the_dtype() -> None:
    x, mask = mg.tensor([1, 2], dtype="int32"), mg.tensor([True, False])
    assert mg.masked_fill(x, mask, 5).dtype == mg.int32
    assert mg.masked_fill(x.half(), mask, -math.inf).dtype == mg.float16


@given(x=arrays(ties=True))
def test_nonzero(x: Any) -> None:
    t = torch.from_numpy(x.copy())
    same_values(mg.nonzero(mg.Tensor(x)), torch.nonzero(t))
    same_values(mg.nonzero(mg.Tensor(x), as_tuple=True), torch.nonzero(t, as_tuple=True))


# ---- order ----------------------------------------------------------------------------------


@given(x=arrays(), data=st.data(), descending=st.booleans())
def test_sort_is_stable(x: Any, data: Any, descending: bool) -> None:
    dim = data.draw(st.integers(-x.ndim, x.ndim - 1) if x.ndim else st.sampled_from([0, -1]))
    agree(
        lambda t: mg.sort(t, dim, descending),
        lambda t: torch.sort(t, dim=dim, descending=descending, stable=True),
        x,
    )
    same_values(
        mg.argsort(mg.Tensor(x), dim, descending),
        torch.argsort(torch.from_numpy(x.copy()), dim=dim, descending=descending, stable=True),
    )


@given(x=arrays(ties=False), data=st.data(), largest=st.booleans())
def test_topk(x: Any, data: Any, largest: bool) -> None:
    dim = data.draw(st.integers(-x.ndim, x.ndim - 1) if x.ndim else st.sampled_from([0, -1]))
    k = data.draw(st.integers(0, x.shape[dim])) if x.ndim else 1
    agree(lambda t: mg.topk(t, k, dim, largest), lambda t: torch.topk(t, k, dim, largest), x)


def test_nan_sorts_last() -> None:
    values = np.array([1.0, math.nan, 3.0])
    x, t = mg.Tensor(values), torch.from_numpy(values)
    same_values(mg.sort(x), torch.sort(t))
    same_values(mg.sort(x, descending=True), torch.sort(t, descending=True))
    same_values(mg.topk(x, 2), torch.topk(t, 2))


@given(x=arrays(ties=True, max_dims=3), data=st.data())
def test_unique(x: Any, data: Any) -> None:
    for values in (x, x.astype(np.int64)):
        options = {"return_inverse": True, "return_counts": True}
        t = torch.from_numpy(values.copy())
        same_values(mg.unique(mg.Tensor(values), **options), torch.unique(t, **options))
        if x.ndim and x.size:
            dim = data.draw(st.integers(-x.ndim, x.ndim - 1))
            same_values(
                mg.unique(mg.Tensor(values), dim=dim, **options),
                torch.unique(t, dim=dim, **options),
            )


def test_searchsorted_bincount_one_hot() -> None:
    row, values = np.array([1.0, 3.0, 3.0, 5.0]), np.array([[0.0, 3.0], [4.0, 9.0]])
    for right in (False, True):
        same_values(
            ops.searchsorted(mg.Tensor(row), mg.Tensor(values), right=right),
            torch.searchsorted(torch.from_numpy(row), torch.from_numpy(values), right=right),
        )
    counts = np.array([0, 2, 2])
    same_values(
        ops.bincount(mg.Tensor(counts), minlength=5),
        torch.bincount(torch.from_numpy(counts), minlength=5),
    )
    weights = np.array([0.5, 1.0, 2.0], np.float32)
    same_values(
        ops.bincount(mg.Tensor(counts), mg.Tensor(weights)),
        torch.bincount(torch.from_numpy(counts), torch.from_numpy(weights)),
    )
    for classes in (-1, 4):
        same_values(
            ops.one_hot(mg.Tensor(counts), classes), nn.one_hot(torch.from_numpy(counts), classes)
        )


# ---- errors ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: mg.zeros(3, 4)[5],
            ShapeError,
            "getitem: index 5 is out of range for axis 0 of length 3 (shape (3, 4)); use -3 to 2",
        ),
        (
            lambda: mg.zeros(3, 4)[:, [0, -5]],
            ShapeError,
            "getitem: index -5 is out of range for axis 1 of length 4 (shape (3, 4)); use -4 to 3",
        ),
        (
            lambda: mg.zeros(3)[0, 0],
            ShapeError,
            "getitem: 2 indices for a tensor of shape (3,); use at most 1",
        ),
        (
            lambda: mg.zeros(3)[1.0],
            DTypeError,
            "getitem: float is no index; use int, slice, None, '...', or integer or boolean "
            "tensors",
        ),
        (
            lambda: mg.zeros(3)[mg.zeros(2)],
            DTypeError,
            "getitem: float32 is no index; use int, slice, None, '...', or integer or boolean "
            "tensors",
        ),
        (
            lambda: mg.zeros(3)[mg.tensor([True, False])],
            ShapeError,
            "getitem: a mask of shape (2,) stands for axes of shape (3,) of a tensor (3,); both "
            "must be equal",
        ),
        (
            lambda: mg.zeros(3, 3)[[0, 1], [0, 1, 2]],
            ShapeError,
            "getitem: shapes (2,) and (3,) do not broadcast; aligned from the right, two lengths "
            "must be equal or one of them 1",
        ),
        (
            lambda: mg.zeros(3).__setitem__(slice(2), mg.zeros(3)),
            ShapeError,
            "setitem: a value of shape (3,) does not fit into x[index] of shape (2,)",
        ),
        (
            lambda: mg.gather(mg.zeros(2, 3), 1, mg.tensor([[-1]])),
            ShapeError,
            "gather: index -1 is out of range for axis 1 of length 3 (shape (2, 3)); use 0 to 2",
        ),
        (
            lambda: mg.gather(mg.zeros(2, 3), 1, mg.zeros(2, 3)),
            DTypeError,
            "gather: the index must be an integer tensor, not float32; use x.long()",
        ),
        (
            lambda: mg.gather(mg.zeros(2, 3), 1, mg.tensor([0])),
            ShapeError,
            "gather: index (1,) and tensor (2, 3) must have equally many dimensions",
        ),
        (
            lambda: mg.gather(mg.zeros(2, 3), 1, mg.tensor([[0], [0], [0]])),
            ShapeError,
            "gather: index (3, 1) is longer than tensor (2, 3) in an axis other than 1; crop it",
        ),
        (
            lambda: mg.scatter_add(mg.zeros(2), 0, mg.tensor([0, 1]), mg.zeros(1)),
            ShapeError,
            "scatter_add: index (2,) reaches beyond src (1,)",
        ),
        (
            lambda: mg.index_select(mg.zeros(2, 3), 0, mg.tensor([2])),
            ShapeError,
            "index_select: index 2 is out of range for axis 0 of length 2 (shape (2, 3)); "
            "use 0 to 1",
        ),
        (
            lambda: mg.masked_fill(mg.zeros(2), mg.tensor([0, 1]), 1.0),
            DTypeError,
            "masked_fill: the mask must be a bool tensor, not int64; use mask.bool()",
        ),
        (
            lambda: mg.masked_fill(mg.arange(2), mg.tensor([True, False]), 0.5),
            DTypeError,
            "masked_fill: 0.5 cannot be stored in a tensor of int64",
        ),
        (
            lambda: mg.topk(mg.zeros(2, 3), 4),
            ShapeError,
            "topk: k=4 is out of range for axis 1 of shape (2, 3); use 0 to 3",
        ),
        (
            lambda: ops.one_hot(mg.tensor([0, 3]), 3),
            ShapeError,
            "one_hot: class 3 is out of range for 3 classes; use 0 to 2",
        ),
        (
            lambda: ops.one_hot(mg.zeros(2)),
            DTypeError,
            "one_hot: class numbers are integers, not float32; use x.long()",
        ),
    ],
)
def test_messages(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message
