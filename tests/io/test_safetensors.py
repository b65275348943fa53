from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad.errors import DataError
from minigrad.io import load_file, save_file

DTYPES = ["?", "u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]


def some_arrays() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    arrays = {f"dtype.{code}": (rng.random((3, 5)) * 2).astype(code) for code in DTYPES}
    return arrays | {
        "scalar": np.array(3.5),
        "empty": np.zeros((0, 4), np.float32),
        "transposed": np.arange(6.0).reshape(2, 3).T,
        "strided": np.arange(10, dtype=np.int16)[::-3],
    }


def header(**tensors: object) -> bytes:
    text = json.dumps(tensors).encode()
    return len(text).to_bytes(8, "little") + text


def tensor(dtype: object = "F32", shape: object = (2,), offsets: object = (0, 8)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


def test_round_trip_keeps_values_dtypes_order_and_metadata(tmp_path: Path) -> None:
    arrays = some_arrays()
    save_file(arrays, tmp_path / "a", {"made by": "test"})
    loaded, metadata = load_file(tmp_path / "a")
    assert list(loaded) == list(arrays)
    assert metadata == {"made by": "test"}
    for name, array in arrays.items():
        assert loaded[name].dtype == array.dtype
        assert loaded[name].flags.writeable
        np.testing.assert_array_equal(loaded[name], array)


def test_big_endian_arrays_are_converted(tmp_path: Path) -> None:
    save_file({"x": np.arange(4, dtype=">f4")}, tmp_path / "a")
    np.testing.assert_array_equal(load_file(tmp_path / "a")[0]["x"], [0, 1, 2, 3])


def test_exchange_with_the_reference_implementation(tmp_path: Path) -> None:
    theirs = pytest.importorskip("safetensors.numpy")
    arrays = some_arrays()
    save_file(arrays, tmp_path / "ours", {"a": "b"})
    for name, array in theirs.load_file(tmp_path / "ours").items():
        np.testing.assert_array_equal(array, arrays[name])
    contiguous = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    theirs.save_file(contiguous, tmp_path / "theirs", {"a": "b"})
    loaded, metadata = load_file(tmp_path / "theirs")
    assert metadata == {"a": "b"}
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name], array)


def test_bfloat16(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    values = np.array([1.0, -2.5, 3e38, 0.1], ml_dtypes.bfloat16)
    save_file({"x": values}, tmp_path / "a")
    loaded = load_file(tmp_path / "a")[0]["x"]
    assert loaded.dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(loaded, values)
    monkeypatch.setitem(__import__("sys").modules, "ml_dtypes", None)
    widened = load_file(tmp_path / "a")[0]["x"]
    assert widened.dtype == np.float32
    np.testing.assert_array_equal(widened, values.astype(np.float32))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "found 0 bytes"),
        (b"\x05\0\0", "at least the 8 bytes of the header length, found 3 bytes"),
        (b"\xff" * 8, "found 0 bytes after it"),
        (header(x=tensor())[:-4], "expected a header of 61 bytes, found 57"),
        (b"\x04\0\0\0\0\0\0\0\x80abc", "no map of tensors"),
        (b"\x02\0\0\0\0\0\0\0[]", "no map of tensors"),
        (header(x=tensor()) + b"\0" * 7, "expected 8 bytes of data, found 7"),
        (header(x=tensor()) + b"\0" * 9, "expected 8 bytes of data, found 9"),
        (header(x=tensor(dtype="F12")), "unknown dtype 'F12'"),
        (header(x=tensor(shape=(3,))), r"'x' of F32 \(3,\) needs 12 bytes, has 8"),
        (header(x=tensor(shape=(-2,))), r"shape \(-2,\)"),
        (header(x=tensor(shape=(2.0,))), r"shape \(2.0,\)"),
        (header(x=tensor(), y=tensor()) + b"\0" * 8, "'y' begins at byte 0, expected 8"),
        (header(x=tensor(offsets=(4, 12))) + b"\0" * 12, "'x' begins at byte 4, expected 0"),
        (header(x={"dtype": "F32"}), "no map of tensors"),
        (header(x=tensor(offsets=(0, 8, 9))), "no map of tensors"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load_file(path)
    assert str(caught.value).startswith(f"{path}: not a whole safetensors file")


def test_every_truncation_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    save_file({"x": np.arange(3.0), "y": np.ones(2, np.int8)}, path)
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(DataError):
            load_file(path)


def test_duplicate_names_are_refused(tmp_path: Path) -> None:
    one = json.dumps(tensor())
    text = f'{{"x": {one}, "x": {one}}}'.encode()
    (tmp_path / "a").write_bytes(len(text).to_bytes(8, "little") + text + b"\0" * 8)
    with pytest.raises(DataError, match="a name occurs twice"):
        load_file(tmp_path / "a")


def test_what_the_format_lacks_is_refused_before_writing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot store 'z' of dtype complex64"):
        save_file({"z": np.ones(2, np.complex64)}, tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be read.*No such file"):
        load_file(tmp_path / "none")
