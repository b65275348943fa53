from __future__ import annotations

import math
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigrad as mg
from minigrad.errors import DataError, MissingExtra, missing_extra
from minigrad.io import building, load, load_file, load_weights, save, save_file
from minigrad.tensor import Tensor
from tests.fuzz.same import same


def nested(depth: int) -> Any:
    state: Any = []
    for _ in range(depth):
        state = [state]
    return state


def in_itself() -> Any:
    state: dict[str, Any] = {}
    state["self"] = state
    return state


ONE, TWO, THREE = (Tensor(np.full(2, float(n))) for n in (1, 2, 3))
STATES: list[Any] = [
    {"weight": Tensor(np.arange(6, dtype=np.float32).reshape(2, 3)), "a.b": Tensor(np.array(1))},
    {
        "model": {"w": Tensor(np.ones(2)), "note": "text", "none": None, "yes": True},
        "optimizer": {"state": {0: {"step": 3, "m": np.zeros(2)}, 7: {}}, "groups": [{"lr": 0.1}]},
        "rng": {"state": 2**127 + 3, "key": np.arange(3, dtype=np.uint64)},
        "betas": (0.9, 0.999),
        "odd": [math.inf, -0.0, math.nan, 1e-310, [], {}, ()],
        "$tensor": "a key that looks like ours",
        "nested": {"$x": {"$y": (1, [2, (3,)])}},
    },
    [1, "two", None],
    3.5,
    {},
    {0: ONE},
    {0: ONE, "0": TWO, "1": THREE},
    {True: ONE, 2: TWO, None: THREE, 0.5: [ONE]},
    {"__metadata__": ONE},
    {"__metadata__": ONE, "__metadata___": TWO},
    {"a": {"b": ONE}, "a.b": TWO, "a.b_": THREE},
    {"": ONE, "$map": TWO},
    ONE,
    [ONE, {"0": TWO}],
    {"caf\udce9": ONE, "caf\\udce9": TWO, "x": "\udce9"},
    {"minigrad": {"minigrad": ONE}},
    nested(50),
]


@pytest.mark.parametrize("state", STATES, ids=range(len(STATES)))
def test_round_trip(tmp_path: Path, state: Any) -> None:
    save(state, tmp_path / "a")
    assert same(load(tmp_path / "a"), state)


def test_a_state_dict_is_a_plain_safetensors_file(tmp_path: Path) -> None:
    save(OrderedDict({"stages.0.weight": Tensor(np.ones(2))}), tmp_path / "a")
    arrays, metadata = load_file(tmp_path / "a")
    assert list(arrays) == ["stages.0.weight"]
    assert metadata == {"format": "minigrad"}


def test_nested_tensors_bear_their_path(tmp_path: Path) -> None:
    save({"epoch": 1, "model": {"stem.0.weight": Tensor(np.ones(2))}}, tmp_path / "a")
    assert list(load_file(tmp_path / "a")[0]) == ["model.stem.0.weight"]


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"model": {"act": print}}, "model.act is of type builtin_function_or_method"),
        ({"a": {(1, 2): 3}}, r"a has the key \(1, 2\) of type tuple"),
        ({"z": 1j}, "z is of type complex"),
        ({"z": np.complex64(1)}, "z is of type complex64"),
        ({"z": np.datetime64("2020")}, "z is of type datetime64"),
        ({"z": np.longdouble(1)}, "z is of type longdouble"),
        ({"z": {1, 2}}, "z is of type set"),
        ({"z": 10**5000}, "a number that no file can hold"),
        ({10**5000: 1}, "a number that no file can hold"),
        (nested(100_000), "nested too deeply"),
        (in_itself(), "nested too deeply, or contains itself"),
        ({"z": np.array([None])}, "cannot store 'z' of dtype object"),
        ({"z": "x" * 100_000_000}, "readers of this format refuse more than 100,000,000"),
    ],
)
def test_what_cannot_be_saved_is_named_and_nothing_written(
    tmp_path: Path, state: Any, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        save(state, tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_truncated_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    save(STATES[1], path)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="not a whole safetensors file"):
        load(path)


def test_a_file_with_a_dtype_that_no_tensor_has_names_the_entry(tmp_path: Path) -> None:
    path = tmp_path / "ids.safetensors"
    save_file({"ids": np.arange(3, dtype=np.uint32)}, path)
    with pytest.raises(DataError, match=r"'ids' is uint32.*minigrad\.io\.load_file"):
        load(path)
    assert load_file(path)[0]["ids"].tolist() == [0, 1, 2]


def test_weights_are_found_in_files_of_every_kind(tmp_path: Path) -> None:
    bare = {"w": ONE}
    for state in (
        bare,
        {"kind": "trainer", "model": bare, "ema": None},
        {"model": {"w": TWO}, "ema": bare},
        {"kind": "keras model", "weights": bare},
    ):
        save(state, tmp_path / "a")
        assert same(load_weights(tmp_path / "a"), bare)
    for other in ([ONE], 3, {"w": 3}, {0: ONE}, {"model": ONE, "x": None}):
        save(other, tmp_path / "a")
        with pytest.raises(DataError, match="but not of a model's weights"):
            load_weights(tmp_path / "a")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: mg.nn.Linear(10**6, 10**6), "make the model larger than it may be"),
        (lambda: mg.models.ConvNeXt(depths=(10**12,), dims=(4,)), "make the model larger"),
        (lambda: mg.models.ConvNeXt(depth=1), "unknown ConvNeXt option"),
        (lambda: mg.models.create_model("convnext_giant"), "unknown model"),
        (lambda: {}["about"], "KeyError"),
        (lambda: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_what_a_file_says_of_its_model_is_not_believed(build: Any, message: str) -> None:
    with (
        pytest.raises(DataError, match=f"a.safetensors: the file is whole, but .*{message}"),
        building("a.safetensors", {"w": ONE}),
    ):
        build()


def test_a_missing_extra_is_not_the_files_fault() -> None:
    with pytest.raises(MissingExtra), building("a", {}):
        raise missing_extra("Pillow", "images")


KEYS = st.one_of(
    st.text(st.characters(), max_size=3),
    st.sampled_from(["__metadata__", "$tensor", "$map", "a.b", "a", "b", "0", "minigrad"]),
    st.integers(-2, 2),
    st.booleans(),
    st.none(),
    st.floats(allow_nan=False),
)
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(st.characters(), max_size=3),
    st.integers(0, 3).map(lambda n: Tensor(np.arange(float(n)))),
    st.sampled_from(["?", "u1", "<i8", "<f2"]).map(lambda code: np.ones((2, 0, 1), code)),
)
NESTED = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(KEYS, inner, max_size=4),
    ),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(state=NESTED)
def test_whatever_is_saved_comes_back(tmp_path_factory: pytest.TempPathFactory, state: Any) -> None:
    """Types of keys and values, nesting and order too; the file is one that others read."""
    path = tmp_path_factory.getbasetemp() / "drawn.safetensors"
    save(state, path)
    assert same(load(path), state)
    try:
        from safetensors.numpy import load_file as reference
    except ImportError:
        return
    assert set(reference(path)) == set(load_file(path)[0])


@pytest.mark.parametrize(
    "tree",
    [
        "[" * 100_000,
        "{",
        '{"a": {"$tensor": "none"}, "b": {"$tensor": "x"}}',
        '[{"$tensor": "x"}, {"$tensor": "x"}]',
        '[{"$tensor": ["x"]}]',
        '[{"$array": {"x": 1}}]',
        '[{"$tensor": "x"}, {"$unknown": 1}]',
        '{"$tensor": "x", "more": 1}',
        '[{"$tensor": "x"}, {"$tuple": 5}]',
        '[{"$tensor": "x"}, {"$map": [1, 2]}]',
        '[{"$tensor": "x"}, {"$map": [[[], 2]]}]',
        '[{"$tensor": "x"}, {"$map": [[1, 2], [1, 3]]}]',
        '[{"$tensor": "x"}, {"a": 1, "a": 2}]',
        f'[{{"$tensor": "x"}}, {"9" * 5000}]',
        "[]",
    ],
)
def test_metadata_that_save_never_wrote_is_refused(tmp_path: Path, tree: str) -> None:
    path = tmp_path / "a"
    save_file({"x": np.ones(1)}, path, {"minigrad": tree})
    with pytest.raises(DataError, match="the file is whole, but its checkpoint metadata is not"):
        load(path)
