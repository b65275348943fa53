from __future__ import annotations

import math
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import assume, given

import minigrad as mg
import minigrad.ops.shape as S
from minigrad.errors import DTypeError, OptionError, ShapeError
from tests.ops.parity import agree, arrays, broadcastable, same_values

torch = pytest.importorskip("torch")
nn = pytest.importorskip("torch.nn.functional")


def pick_dim(draw: Any, ndim: int) -> int:
    return draw(st.integers(-ndim, ndim - 1) if ndim else st.sampled_from([0, -1]))


@st.composite
def with_dim(draw: Any, **options: Any) -> Any:
    x = draw(arrays(**options))
    return x, pick_dim(draw, x.ndim)


@st.composite
def with_order(draw: Any) -> Any:
    x = draw(arrays())
    return x, draw(st.permutations(range(x.ndim)))


# ---- views ----------------------------------------------------------------------------------


@given(x=arrays(), data=st.data())
def test_reshape(x: Any, data: Any) -> None:
    shape = data.draw(st.permutations(x.shape))
    cut = data.draw(st.integers(0, len(shape)))
    merged = [*shape[:cut], math.prod(shape[cut:])]
    agree(lambda t: mg.reshape(t, *merged), lambda t: torch.reshape(t, merged), x)
    if x.size:
        merged[data.draw(st.integers(0, cut))] = -1
        agree(lambda t: mg.reshape(t, merged), lambda t: torch.reshape(t, merged), x)


@given(x=arrays(), data=st.data())
def test_flatten(x: Any, data: Any) -> None:
    a, b = sorted(data.draw(st.integers(0, max(x.ndim - 1, 0))) for _ in "ab")
    agree(lambda t: mg.flatten(t, a, b), lambda t: torch.flatten(t, a, b), x)
    agree(mg.ravel, torch.ravel, x)


@given(x=arrays(min_dims=1), data=st.data())
def test_unflatten(x: Any, data: Any) -> None:
    dim = pick_dim(data.draw, x.ndim)
    sizes = data.draw(st.sampled_from([(1, -1), (-1, 1, 1)]))
    assume(x.shape[dim])
    agree(lambda t: mg.unflatten(t, dim, sizes), lambda t: torch.unflatten(t, dim, sizes), x)


@given(case=with_dim())
def test_squeeze_and_unsqueeze(case: Any) -> None:
    x, dim = case
    agree(mg.squeeze, torch.squeeze, x)
    agree(lambda t: mg.squeeze(t, dim), lambda t: torch.squeeze(t, dim), x)
    agree(lambda t: mg.unsqueeze(t, dim), lambda t: torch.unsqueeze(t, dim), x)
    both = tuple(range(x.ndim))
    agree(lambda t: mg.squeeze(t, both), lambda t: torch.squeeze(t, both), x)


@given(case=with_order())
def test_permute(case: Any) -> None:
    x, order = case
    agree(lambda t: mg.permute(t, order), lambda t: torch.permute(t, order), x)
    agree(lambda t: t.permute(*order), lambda t: t.permute(*order), x) if order else None


@given(case=with_dim(), data=st.data())
def test_transpose(case: Any, data: Any) -> None:
    x, a = case
    b = pick_dim(data.draw, x.ndim)
    for name in ("transpose", "swapaxes", "swapdims"):
        f, g = getattr(mg, name), getattr(torch, name)
        agree(lambda t, f=f: f(t, a, b), lambda t, g=g: g(t, a, b), x)
    if x.ndim <= 2:
        agree(mg.t, torch.t, x)


@given(case=with_order(), data=st.data())
def test_movedim(case: Any, data: Any) -> None:
    x, order = case
    n = data.draw(st.integers(0, x.ndim))
    source, target = order[:n], data.draw(st.permutations(range(x.ndim)))[:n]
    agree(
        lambda t: mg.movedim(t, tuple(source), tuple(target)),
        lambda t: torch.movedim(t, tuple(source), tuple(target)),
        x,
    )
    if n:
        a, b = source[0], target[0] - x.ndim
        agree(lambda t: mg.moveaxis(t, a, b), lambda t: torch.moveaxis(t, a, b), x)


@given(big=arrays(), data=st.data())
def test_expand(big: Any, data: Any) -> None:
    small = data.draw(arrays(shape=broadcastable(data.draw, big.shape)))
    agree(lambda t: t.expand(big.shape), lambda t: t.expand(big.shape), small)
    agree(
        lambda t: mg.broadcast_to(t, big.shape), lambda t: torch.broadcast_to(t, big.shape), small
    )
    agree(mg.broadcast_tensors, torch.broadcast_tensors, small, big)
    lead = big.ndim - small.ndim
    kept = [
        -1 if i >= lead and n == big.shape[i] else big.shape[i]
        for i, n in enumerate((1,) * lead + small.shape)
    ]
    agree(lambda t: t.expand(*kept), lambda t: t.expand(kept), small) if kept else None


@given(case=with_dim(min_dims=1), data=st.data())
def test_narrow_split_chunk_unbind(case: Any, data: Any) -> None:
    x, dim = case
    n = x.shape[dim]
    start = data.draw(st.integers(0, n))
    length = data.draw(st.integers(0, n - start))
    agree(
        lambda t: mg.narrow(t, dim, start, length), lambda t: torch.narrow(t, dim, start, length), x
    )
    size = data.draw(st.integers(1, 5))
    agree(lambda t: mg.split(t, size, dim), lambda t: torch.split(t, size, dim), x)
    agree(lambda t: mg.chunk(t, size, dim), lambda t: torch.chunk(t, size, dim), x)
    pieces = [start, n - start]
    agree(lambda t: mg.split(t, pieces, dim), lambda t: torch.split(t, pieces, dim), x)
    if n:
        agree(lambda t: mg.unbind(t, dim), lambda t: torch.unbind(t, dim), x)


def test_views_share_memory() -> None:
    x = mg.zeros(2, 3)
    for view in (
        x.view(3, 2),
        x.reshape(6),
        x.flatten(),
        x.T,
        x.transpose(0, 1),
        x.permute(1, 0),
        x.unsqueeze(0),
        x.unsqueeze(0).squeeze(),
        x.expand(4, 2, 3),
        x.narrow(0, 1, 1),
        x[0],
        x[0, 0],
        x.split(1)[0],
    ):
        assert np.shares_memory(view.array, x.array)
    for copy in (x.clone(), x.repeat(1, 1), x.tile(1), x.flip(0), S.pad(x, (0, 0)), x.T.reshape(6)):
        assert not np.shares_memory(copy.array, x.array)
    assert x.contiguous() is x
    assert x.T.contiguous().is_contiguous()


# ---- copies ---------------------------------------------------------------------------------


@given(x=arrays(max_dims=3), data=st.data())
def test_repeat(x: Any, data: Any) -> None:
    times = data.draw(st.lists(st.integers(0, 3), min_size=x.ndim, max_size=x.ndim + 1))
    agree(lambda t: t.repeat(times), lambda t: t.repeat(times), x)
    fewer = tuple(times[data.draw(st.integers(0, len(times))) :])
    agree(lambda t: mg.tile(t, fewer), lambda t: torch.tile(t, fewer), x)


@given(case=with_dim(max_dims=3), data=st.data())
def test_repeat_interleave(case: Any, data: Any) -> None:
    x, dim = case
    n = data.draw(st.integers(0, 3))
    agree(lambda t: mg.repeat_interleave(t, n), lambda t: torch.repeat_interleave(t, n), x)
    if not x.ndim:
        return
    agree(
        lambda t: mg.repeat_interleave(t, n, dim), lambda t: torch.repeat_interleave(t, n, dim), x
    )
    counts = data.draw(st.lists(st.integers(0, 3), min_size=x.shape[dim], max_size=x.shape[dim]))
    agree(
        lambda t: mg.repeat_interleave(t, mg.Tensor(np.array(counts, np.int64)), dim),
        lambda t: torch.repeat_interleave(t, torch.tensor(counts, dtype=torch.int64), dim),
        x,
    )


@given(case=with_dim(min_dims=1), data=st.data())
def test_cat(case: Any, data: Any) -> None:
    x, dim = case
    others = []
    for _ in range(data.draw(st.integers(0, 2))):
        shape = list(x.shape)
        shape[dim] = data.draw(st.integers(0, 3))
        others.append(data.draw(arrays(shape=tuple(shape))))
    agree(lambda *ts: mg.cat(ts, dim), lambda *ts: torch.cat(ts, dim), x, *others)


@given(x=arrays(max_dims=3), data=st.data())
def test_stack(x: Any, data: Any) -> None:
    dim = pick_dim(data.draw, x.ndim + 1)
    y = data.draw(arrays(shape=x.shape))
    agree(lambda *ts: mg.stack(ts, dim), lambda *ts: torch.stack(ts, dim), x, y, x)
    agree(lambda *ts: mg.hstack(ts), lambda *ts: torch.hstack(ts), x, y)
    agree(lambda *ts: mg.vstack(ts), lambda *ts: torch.vstack(ts), x, y)


def test_cat_meets_in_one_dtype_and_skips_empty_lists() -> None:
    a, b = np.array([1, 2]), np.array([0.5], np.float32)
    same_values(mg.cat([mg.Tensor(a), mg.Tensor(b)]), torch.cat([torch.tensor(a), torch.tensor(b)]))
    assert mg.cat([mg.zeros(0), mg.ones(2, 3)], 1).shape == (2, 3)
    assert mg.cat([mg.zeros(0), mg.zeros(0)]).shape == (0,)


@given(x=arrays(), data=st.data())
def test_flip_and_roll(x: Any, data: Any) -> None:
    axes = data.draw(st.lists(st.integers(0, x.ndim - 1), unique=True)) if x.ndim else []
    agree(lambda t: mg.flip(t, axes), lambda t: torch.flip(t, axes), x)
    steps = [data.draw(st.integers(-5, 5)) for _ in axes]
    if axes:
        agree(lambda t: mg.roll(t, steps, axes), lambda t: torch.roll(t, steps, axes), x)
    agree(lambda t: mg.roll(t, 2), lambda t: torch.roll(t, 2), x)


@given(x=arrays(min_dims=2), k=st.integers(-3, 3))
def test_triangles(x: Any, k: int) -> None:
    agree(lambda t: mg.tril(t, k), lambda t: torch.tril(t, k), x)
    agree(lambda t: mg.triu(t, k), lambda t: torch.triu(t, k), x)


@given(x=arrays(min_dims=2), k=st.integers(-3, 3), data=st.data())
def test_diagonal(x: Any, k: int, data: Any) -> None:
    a, b = data.draw(st.permutations(range(x.ndim)))[:2]
    agree(lambda t: mg.diagonal(t, k, a, b), lambda t: torch.diagonal(t, k, a, b), x)


@given(case=with_dim(), data=st.data())
def test_unfold(case: Any, data: Any) -> None:
    x, dim = case
    size = data.draw(st.integers(0, x.shape[dim] if x.ndim else 1))
    step = data.draw(st.integers(1, 3))
    agree(lambda t: mg.ops.shape.unfold(t, dim, size, step), lambda t: t.unfold(dim, size, step), x)


@given(data=st.data(), indexing=st.sampled_from(["ij", "xy"]))
def test_meshgrid(data: Any, indexing: str) -> None:
    axes = [data.draw(arrays(max_dims=1)) for _ in range(data.draw(st.integers(1, 3)))]
    agree(
        lambda *ts: mg.meshgrid(*ts, indexing=indexing),
        lambda *ts: torch.meshgrid(*ts, indexing=indexing),
        *axes,
    )


@given(x=arrays())
def test_copies(x: Any) -> None:
    agree(mg.clone, torch.clone, x)
    agree(lambda t: t.contiguous(), lambda t: t.contiguous() * 1, x)


# ---- padding --------------------------------------------------------------------------------


@given(x=arrays(min_dims=1), data=st.data())
def test_pad_with_a_constant(x: Any, data: Any) -> None:
    pads = []
    for n in x.shape[::-1][: data.draw(st.integers(0, x.ndim))]:
        before = data.draw(st.integers(-n, 3))
        pads += [before, data.draw(st.integers(-min(n, n + before), 3))]
    value = data.draw(st.sampled_from([None, 0.0, 2.5]))
    agree(lambda t: S.pad(t, pads, value=value), lambda t: nn.pad(t, pads, value=value), x)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize("spatial", [1, 2, 3])
@given(data=st.data())
def test_pad_from_itself(mode: str, spatial: int, data: Any) -> None:
    shape = tuple(data.draw(st.integers(1, 4)) for _ in range(spatial + 2))
    x = data.draw(arrays(shape=shape))
    pads = []
    for n in shape[::-1][:spatial]:
        most = {"reflect": n - 1, "circular": n, "replicate": 4}[mode]
        pads += [data.draw(st.integers(0, most)), data.draw(st.integers(0, most))]
    agree(lambda t: S.pad(t, pads, mode), lambda t: nn.pad(t, pads, mode), x)


def test_padding_keeps_channels_last_memory() -> None:
    x = mg.zeros(2, 5, 6, 3).permute(0, 3, 1, 2)
    assert S.pad(x, (1, 1, 1, 1)).permute(0, 2, 3, 1).is_contiguous()


# ---- errors ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: mg.zeros(2, 3).reshape(4, -1),
            ShapeError,
            "reshape: shape (2, 3) has 6 elements, which do not fill shape (4, -1)",
        ),
        (
            lambda: mg.zeros(2, 3).reshape(-1, -1),
            ShapeError,
            "reshape: (-1, -1) is no shape; lengths are >= 0 and one of them may be -1",
        ),
        (
            lambda: mg.zeros(2, 3).T.view(6),
            ShapeError,
            "view: shape (6,) needs a copy of this tensor of shape (3, 2) and strides (1, 3); use "
            "reshape, or contiguous() first",
        ),
        (
            lambda: mg.zeros(2, 3).permute(0, 1, 2),
            ShapeError,
            "permute: dims (0, 1, 2) must name each of the 2 axes of (2, 3)",
        ),
        (
            lambda: mg.zeros(2, 3).transpose(0, 2),
            ShapeError,
            "transpose: dim 2 is out of range for a tensor with 2 dimensions; use -2 to 1",
        ),
        (
            lambda: mg.zeros(2, 3).expand(4, 3),
            ShapeError,
            "expand: shape (2, 3) does not expand to (4, 3); aligned from the right, a length must "
            "be 1, equal, or -1 (kept)",
        ),
        (
            lambda: mg.cat([mg.zeros(2, 3), mg.zeros(3, 3)], 1),
            ShapeError,
            "cat: apart from axis 1 the shapes must agree, got [(2, 3), (3, 3)]; crop or pad them, "
            "or choose another dim",
        ),
        (
            lambda: mg.cat([]),
            ShapeError,
            "cat: the list of tensors is empty; at least one is needed",
        ),
        (
            lambda: mg.stack([mg.zeros(2), mg.zeros(3)]),
            ShapeError,
            "stack: the shapes must be equal, got [(2,), (3,)]; crop or pad them, or use cat",
        ),
        (
            lambda: mg.cat(mg.zeros(2, 3)),
            DTypeError,
            "cat: expected a list or tuple of tensors, not Tensor",
        ),
        (
            lambda: mg.zeros(5).split([2, 2]),
            ShapeError,
            "split: the sizes [2, 2] must be >= 0 and add up to 5, the length of axis 0 of "
            "shape (5,)",
        ),
        (
            lambda: mg.narrow(mg.zeros(5), 0, 3, 4),
            ShapeError,
            "narrow: start 3 and length 4 leave axis 0 of shape (5,)",
        ),
        (
            lambda: S.pad(mg.zeros(3), (1, 2, 3)),
            ShapeError,
            "pad: (1, 2, 3) must hold a pair (before, after) for each of at most 1 axes of shape "
            "(3,), the last axis first",
        ),
        (
            lambda: S.pad(mg.zeros(1, 1, 3), (3, 0), "reflect"),
            ShapeError,
            "pad: mode 'reflect' can add 0 to 2 entries to axis 2 of shape (1, 1, 3), not (3, 0)",
        ),
        (
            lambda: S.pad(mg.zeros(3), (1, 1), "reflekt"),
            OptionError,
            "unknown pad mode 'reflekt'; did you mean 'reflect'? (choose from circular, constant, "
            "reflect, replicate)",
        ),
        (
            lambda: mg.zeros(2, 3).repeat(2),
            ShapeError,
            "repeat: repeats (2,) must be at least 2 numbers >= 0 for shape (2, 3)",
        ),
        (
            lambda: mg.zeros(2).reshape("ab"),
            DTypeError,
            "reshape: a shape is a sequence of ints, not 'ab'",
        ),
        (
            lambda: mg.broadcast_tensors(mg.zeros(2), mg.zeros(3)),
            ShapeError,
            "broadcast_tensors: shapes (2,) and (3,) do not broadcast; aligned from the right, two "
            "lengths must be equal or one of them 1",
        ),
        (
            lambda: list(mg.tensor(1.0)),
            ShapeError,
            "unbind: a 0-d tensor has no axis to take apart (nor can it be iterated)",
        ),
    ],
)
def test_messages(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message
