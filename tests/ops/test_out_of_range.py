"""What does not fit is refused everywhere alike: integers into dtypes, indices into axes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

import minigrad as mg
from minigrad.errors import DTypeError, MinigradError, RangeError
from minigrad.nn import functional as F

Op = Callable[[Any, int], Any]

MASK = mg.tensor([True, False])
FIRST = mg.tensor([0])

# Every way a Python number gets into a tensor, or meets one.
STORED: dict[str, Op] = {
    "tensor": lambda x, n: mg.tensor(n, dtype=x.dtype),
    "tensor of a list": lambda x, n: mg.tensor([[1, n]], dtype=x.dtype),
    "as_tensor": lambda x, n: mg.as_tensor([n], dtype=x.dtype),
    "full": lambda x, n: mg.full((2,), n, dtype=x.dtype),
    "full_like": mg.full_like,
    "arange": lambda x, n: mg.arange(n, n + 1, dtype=x.dtype),
    "arange, last": lambda x, n: mg.arange(0, n + (n > 0) - (n < 0), n, dtype=x.dtype),
    "linspace": lambda x, n: mg.linspace(0, n, 2, dtype=x.dtype),
    "fill_": lambda x, n: x.fill_(n),
    "masked_fill": lambda x, n: x.masked_fill(MASK, n),
    "masked_fill, 0-d": lambda x, n: x.masked_fill(MASK, mg.tensor(n)),
    "masked_fill_": lambda x, n: x.masked_fill_(MASK, n),
    "index_fill": lambda x, n: mg.index_fill(x, 0, FIRST, n),
    "index_fill_": lambda x, n: x.index_fill_(0, FIRST, n),
    "scatter": lambda x, n: mg.scatter(x, 0, FIRST, n),
    "scatter, value": lambda x, n: mg.scatter(x, 0, FIRST, value=n),
    "scatter, add": lambda x, n: mg.scatter(x, 0, FIRST, n, reduce="add"),
    "scatter_": lambda x, n: x.scatter_(0, FIRST, n),
    "setitem": lambda x, n: x.__setitem__(0, n),
    "setitem, mask": lambda x, n: x.__setitem__(MASK, n),
    "setitem, index": lambda x, n: x.__setitem__(FIRST, n),
    "pad": lambda x, n: F.pad(x, (1, 1), value=n),
    "where": lambda x, n: mg.where(MASK, x, n),
    "clamp, min": lambda x, n: x.clamp(n, None),
    "clamp, max": lambda x, n: x.clamp(None, n),
    "clamp_": lambda x, n: x.clamp_(min=n),
}
MET: dict[str, Op] = {
    "add": lambda x, n: x + n,
    "radd": lambda x, n: n + x,
    "add, alpha": lambda x, n: mg.add(x, x, alpha=n),
    "sub": lambda x, n: x - n,
    "sub, alpha": lambda x, n: mg.sub(x, x, alpha=n),
    "mul": lambda x, n: x * n,
    "floor_divide": lambda x, n: x // n,
    "remainder": lambda x, n: x % n,
    "rpow": lambda x, n: n ** (x * 0),
    "maximum": lambda x, n: mg.maximum(x, n),
    "minimum": lambda x, n: mg.minimum(n, x),
    "addcmul": lambda x, n: mg.addcmul(x, x, x, value=n),
    "and": lambda x, n: x & n,
    "or": lambda x, n: n | x,
    "xor": lambda x, n: x ^ n,
    "add_": lambda x, n: x.add_(n),
    "sub_": lambda x, n: x.sub_(n),
    "mul_": lambda x, n: x.mul_(n),
    "floor_divide_": lambda x, n: x.floor_divide_(n),
    "remainder_": lambda x, n: x.remainder_(n),
    "bitwise_or_": lambda x, n: x.bitwise_or_(n),
}

integers = st.sampled_from([mg.uint8, mg.int8, mg.int16, mg.int32, mg.int64])


@pytest.mark.parametrize("name", STORED | MET)
@given(dtype=integers, excess=st.integers(1, 1 << 80), below=st.booleans())
@settings(max_examples=40, deadline=None)
def test_integers_outside_a_dtype_are_refused(
    name: str, dtype: Any, excess: int, below: bool
) -> None:
    """The error names number, dtype and limits, and nothing has changed."""
    limits = np.iinfo(dtype)
    number = int(limits.min) - excess if below else int(limits.max) + excess
    x = mg.tensor([1, 2], dtype=dtype)
    with pytest.raises(DTypeError) as caught:
        (STORED | MET)[name](x, number)
    if abs(number) < 2**63:
        for part in (str(dtype), str(limits.min), str(limits.max)):
            assert part in str(caught.value)
    assert x.tolist() == [1, 2]


@pytest.mark.parametrize("name", STORED | MET)
@given(dtype=integers, at=st.integers(0, 5), low=st.booleans())
@settings(max_examples=20, deadline=None)
def test_integers_inside_are_taken(name: str, dtype: Any, at: int, low: bool) -> None:
    limits = np.iinfo(dtype)
    number = int(limits.min) + at + 1 if low else int(limits.max) - at
    if name == "linspace" and dtype == mg.int64:
        return  # computed in float64
    (STORED | MET)[name](mg.tensor([1, 2], dtype=dtype), number)


@pytest.mark.parametrize("name", STORED | MET)
def test_integers_beyond_every_float_are_refused(name: str) -> None:
    """In arithmetic with floats and in comparisons too: no raw OverflowError."""
    if name in ("and", "or", "xor", "bitwise_or_"):
        return
    for dtype in (mg.float16, mg.float32, mg.float64):
        with pytest.raises(MinigradError):
            (STORED | MET)[name](mg.tensor([1, 2], dtype=dtype), 10**400)
    for compare in ("eq", "ne", "lt", "le", "gt", "ge"):
        with pytest.raises(DTypeError, match="does not fit into float64"):
            getattr(mg.ones(2), compare)(-(10**400))


def test_comparisons_know_the_answer() -> None:
    small = mg.tensor([0, 255], dtype=mg.uint8)
    assert (small < 256).tolist() == (small > -1).tolist() == (small != 511).tolist() == [True] * 2
    assert not (small == 256).any()


INDEXED: dict[str, Callable[[Any, Any], Any]] = {
    "gather": lambda x, i: mg.gather(x, 0, i),
    "index_select": lambda x, i: mg.index_select(x, 0, i),
    "scatter": lambda x, i: mg.scatter(x, 0, i, 1.0),
    "scatter_add": lambda x, i: mg.scatter_add(x, 0, i, mg.ones(len(i))),
    "index_fill": lambda x, i: mg.index_fill(x, 0, i, 1.0),
    "index_add": lambda x, i: mg.index_add(x, 0, i, mg.ones(len(i))),
    "index_copy": lambda x, i: mg.index_copy(x, 0, i, mg.ones(len(i))),
    "embedding": lambda x, i: _embedding(len(x))(i),
    "one_hot": lambda x, i: F.one_hot(i, len(x)),
    "cross_entropy": lambda x, i: F.cross_entropy(mg.zeros(len(i), len(x)), i),
    "nll_loss": lambda x, i: F.nll_loss(mg.zeros(len(i), len(x)), i),
    "dice_loss": lambda x, i: F.dice_loss(mg.zeros(1, len(x), len(i)), i[None]),
    "bincount": lambda x, i: mg.bincount(i) if (i.array < 0).any() else mg.gather(x, 0, i),
    "take_along_dim": lambda x, i: mg.take_along_dim(x, i, 0),
}


def _embedding(rows: int) -> Any:
    return mg.nn.Embedding(rows, 2)


@pytest.mark.parametrize("name", INDEXED)
@given(n=st.integers(2, 5), outside=st.integers(0, 3), below=st.booleans(), after=st.booleans())
@settings(max_examples=20, deadline=None)
def test_indices_outside_an_axis_are_refused(
    name: str, n: int, outside: int, below: bool, after: bool
) -> None:
    """Negative ones too, as in PyTorch: only ``x[i]`` counts from the end."""
    bad = -1 - outside if below else n + outside
    index = mg.tensor([0, bad] if after else [bad, 0])
    losses = ("cross_entropy", "nll_loss", "dice_loss")
    error = MinigradError if name in losses else IndexError
    with pytest.raises(error) as caught:
        INDEXED[name](mg.zeros(n), index)
    assert isinstance(caught.value, MinigradError)
    assert str(bad) in str(caught.value)


@pytest.mark.parametrize("name", ["getitem", "setitem", *INDEXED])
def test_bytes_are_no_index(name: str) -> None:
    """uint8 was PyTorch's mask once; whoever means one says bool, and an index says long."""
    index = mg.tensor([1, 0], dtype=mg.uint8)
    x = mg.zeros(2)
    calls: dict[str, Callable[[], Any]] = {
        "getitem": lambda: x[index],
        "setitem": lambda: x.__setitem__(index, 1.0),
    }
    call = calls.get(name, lambda: INDEXED[name](x, index))
    if name in ("one_hot", "cross_entropy", "nll_loss", "dice_loss"):
        call()  # labels are often kept as bytes
        return
    if name == "bincount":
        assert mg.bincount(index).tolist() == [1, 1]
        return
    with pytest.raises(DTypeError, match=r"uint8.*x\.bool\(\).*x\.long\(\)"):
        call()
    assert x.tolist() == [0.0, 0.0]


def test_numpys_byte_scalars_are_numbers() -> None:
    """A label from an array of bytes looks up a name."""
    assert mg.arange(3)[np.uint8(2)].item() == 2
    with pytest.raises(RangeError):
        mg.arange(3)[np.uint8(3)]


def test_counts_have_64_bits_where_an_index_has_fewer() -> None:
    """In a browser's Python NumPy counts in 32 bits."""
    counts = mg.tensor([2, 0, 1], dtype=mg.int64)
    assert mg.repeat_interleave(mg.tensor([5, 6, 7]), counts).tolist() == [5, 5, 7]
    with pytest.raises(DTypeError, match="repeats must be integers, not float32"):
        mg.repeat_interleave(mg.tensor([5, 6, 7]), counts.float())
