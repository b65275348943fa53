from __future__ import annotations

import math
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad.errors import DataError
from minigrad.io import load, load_file, save, save_file
from minigrad.tensor import Tensor


def same(a: Any, b: Any) -> bool:
    """Equal in type, structure and every bit."""
    if type(a) is not type(b):
        return False
    if isinstance(a, Tensor):
        return same(a.numpy(), b.numpy())
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b) or (a != a and b != b)


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
        ({(1, 2): 3}, "the state is of type dict"),
        ({"a": {"b": np.ones(1)}, "a.b": np.ones(1)}, "two entries .* lead to the name 'a.b'"),
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
