"""Batches have the structure of samples and PyTorch's element types; misfits are named."""

from __future__ import annotations

from collections import OrderedDict, namedtuple
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.data import DataLoader, default_collate
from minigrad.errors import DataError, MinigradError

Point = namedtuple("Point", "x y")


def plain(batch: Any) -> Any:
    """Return a batch with every tensor (ours or PyTorch's) as its dtype's name and its values."""
    if hasattr(batch, "dtype"):
        return str(batch.dtype).replace("torch.", ""), batch.tolist()
    if isinstance(batch, dict):
        return {key: plain(value) for key, value in batch.items()}
    if isinstance(batch, list | tuple):
        return [plain(value) for value in batch]
    return batch


NUMBERS = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.floats(-1e6, 1e6),
    st.booleans(),
    st.sampled_from(["f2", "f4", "f8", "u1", "i1", "i2", "i4", "i8", "?"]).flatmap(
        lambda t: st.sampled_from([(), (2,), (2, 1)]).map(
            lambda shape: np.arange(np.prod(shape), dtype="i1").reshape(shape).astype(t)
        )
    ),
    st.sampled_from(["f4", "f8", "u1", "i4", "i8"]).map(lambda t: np.dtype(t).type(3)),
)
LEAVES = NUMBERS | st.text(max_size=3)
SAMPLES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3),
        st.tuples(inner, inner),
        st.builds(Point, inner, inner),
        st.dictionaries(st.sampled_from("abc"), inner, min_size=1),
    ),
    max_leaves=6,
)


@settings(deadline=None, max_examples=200)
@given(sample=SAMPLES, count=st.integers(1, 3))
def test_batches_are_pytorchs(sample: Any, count: int) -> None:
    """Structure, element types and values, for samples of any depth."""
    torch = pytest.importorskip("torch")
    theirs = torch.utils.data.default_collate([sample] * count)
    assert plain(default_collate([sample] * count)) == plain(theirs)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([0.25, 0.75, 1.5], "float64"),
        ([1, 2], "int64"),
        ([True, False], "bool"),
        ([1, 2.5], "float64"),
        ([0.5, 1], "float64"),
        ([True, 2], "int64"),
        ([np.float32(0.5), np.float32(1)], "float32"),
        ([np.float16(0.5), 1], "float16"),
        ([np.uint16(65535), np.uint16(1)], "int64"),
        ([np.uint64(7)], "int64"),
        ([np.ones(2, np.uint8), np.ones(2, np.float32)], "float32"),
        ([np.ones(2, ">f4"), np.ones(2, ">f4")], "float32"),
        ([mg.ones(2), mg.zeros(2)], "float32"),
        ([mg.ones(2), np.ones(2)], "float64"),
    ],
)
def test_numbers_keep_their_values(values: list[Any], dtype: str) -> None:
    batch = default_collate(values)
    assert str(batch.dtype) == dtype
    expected = [v.numpy() if isinstance(v, mg.Tensor) else v for v in values]
    np.testing.assert_array_equal(batch.numpy(), expected)


def test_arrays_of_other_libraries_are_arrays() -> None:
    class Theirs:
        dtype, shape = np.dtype("f4"), (2,)

        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            return np.array([1, 2], np.float32)

    batch = next(iter(DataLoader([(Theirs(), 1)] * 2, 2, transform=lambda x, rng: x * 2)))
    assert batch[0].tolist() == [[2, 4], [2, 4]]
    assert default_collate([Theirs()]).dtype == np.float32
    torch = pytest.importorskip("torch")
    assert default_collate([torch.ones(2, dtype=torch.float16)]).dtype == np.float16


def test_structures_stay() -> None:
    image = np.zeros((1, 2, 2), np.float32)
    batch = default_collate([(image, {"name": "a", "box": Point(1, 2.5)}, [3, 4])] * 2)
    assert isinstance(batch, tuple)
    assert batch[0].shape == (2, 1, 2, 2)
    assert batch[1]["name"] == ["a", "a"]
    assert batch[1]["box"].y.tolist() == [2.5, 2.5]
    assert [t.tolist() for t in batch[2]] == [[3, 3], [4, 4]]
    assert default_collate([OrderedDict(a=1)])["a"].tolist() == [1]


@pytest.mark.parametrize(
    ("samples", "words"),
    [
        ([1, None], "sample 1 is None; a batch is made of numbers"),
        ([(1, None), (1, 2)], r"sample 0\[1\] is None"),
        ([{"a": {1}}], r"sample 0\['a'\] is of type set"),
        ([1j], "of type complex"),
        ([np.array([1j])], "sample 0 is of complex128"),
        ([np.array(["a"])], "sample 0 is of <U1"),
        ([np.array([None])], "sample 0 is of object"),
        ([np.datetime64("2020-01-01")], "sample 0 is of datetime64"),
        ([1, 2**63], "sample 1 is a number beyond 64 bits"),
        ([-(10**5000)], "sample 0 is a number beyond 64 bits"),
        ([np.uint64(2**63)], "sample 0 .*beyond int64"),
        ([1, "a"], "sample 1 is of type str, but sample 0 of type int"),
        ([(1,), 1], "sample 1 is of type int, but sample 0 of type tuple"),
        ([(1, 2), (1, 2, 3)], "sample 1 has 3 fields, but sample 0 has 2"),
        ([{"a": 1}, {"b": 1}], r"sample 1 has the keys \[\"'b'\"\], but sample 0 has \[\"'a'\"\]"),
        ([{"a": 1}, {"a": 1, "b": 1}], "sample 1 has the keys"),
        (
            [{"a": np.zeros((2, 3))}, {"a": np.zeros((2, 4))}],
            r"sample 1\['a'\] has \(2, 4\), sample 0\['a'\] has \(2, 3\)",
        ),
        ([mg.ones(1), mg.ones(2)], r"sample 1 has \(2,\), sample 0 has \(1,\)"),
        ([1, np.zeros(2)], r"sample 1 has \(2,\), sample 0 has \(\)"),
    ],
)
def test_what_does_not_fit_is_named(samples: list[Any], words: str) -> None:
    with pytest.raises(DataError, match=words):
        default_collate(samples)


def test_a_loader_names_samples_by_their_number_in_the_data_set() -> None:
    data = [np.zeros(2), np.zeros(2), np.zeros(2), np.zeros(3)]
    with pytest.raises(DataError, match=r"batch 1 of the list: .*sample 3 has \(3,\)"):
        list(DataLoader(data, 2))


def test_a_name_as_a_target_is_refused_but_goes_along_elsewhere() -> None:
    pair = (np.zeros((1, 2)), "cat")
    with pytest.raises(DataError, match=r"sample 0 has the target 'cat'.*classes\.index"):
        next(iter(DataLoader([pair, pair], 2)))
    assert next(iter(DataLoader([(*pair, 3)] * 2, 2)))[1] == ["cat", "cat"]
    assert next(iter(DataLoader([{"x": 1, "name": "cat"}], 1)))["name"] == ["cat"]
    batch = next(iter(DataLoader([pair], 1, collate_fn=lambda s: [t for _, t in s])))
    assert batch == ["cat"]


def test_arrays_of_an_own_collate_fn_become_tensors() -> None:
    def own(samples: list[Any]) -> Any:
        return {"x": np.stack(samples), "more": (np.ones(1), "text", Point(np.zeros(1), 2))}

    batch = next(iter(DataLoader(np.eye(3), 2, collate_fn=own)))
    assert isinstance(batch["x"], mg.Tensor)
    assert isinstance(batch["more"][2].x, mg.Tensor)
    assert batch["more"][1:] == ("text", batch["more"][2])


@settings(deadline=None)
@given(samples=st.lists(SAMPLES | st.none() | st.complex_numbers(), min_size=1, max_size=3))
def test_any_samples_make_a_batch_or_a_clear_error(samples: list[Any]) -> None:
    with suppress(MinigradError):
        default_collate(samples)


def test_nothing_makes_no_batch() -> None:
    with pytest.raises(DataError, match="no sample"):
        default_collate([])
