from __future__ import annotations

import json
import re
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


def raw(text: str | bytes) -> bytes:
    text = text.encode() if isinstance(text, str) else text
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
        (header(x=[]), "no map of tensors"),
        (header(x=tensor(shape={})), "no map of tensors"),
        (header(x=tensor(shape="12")), "no map of tensors"),
        (header(x=tensor(offsets={"0": 0, "8": 8})), "no map of tensors"),
        (header(x=tensor(dtype=["F32"])), "no map of tensors"),
        (header(x=tensor(shape=(True, 2))), r"shape \(True, 2\)"),
        (header(x=tensor(offsets=(False, 8))), "bytes False to 8"),
        (header(x=tensor(offsets=(8, 0))), "needs 8 bytes, has -8"),
        (header(x=tensor(shape=(2**63,))), "shape"),
        (header(x=tensor(shape=(2**32, 2**32))), f"needs {2**66} bytes"),
        (header(x=tensor(shape=(0, 2**62, 2**62), offsets=(0, 0))), "no array has the shape"),
        (header(x=tensor(shape=(1,) * 65, offsets=(0, 4))), "shape"),
        (header(x=tensor(shape=(10**4000,) * 1000)), "the number 10+… is too large"),
        (header(x=tensor(), y=tensor(offsets=(4, 12))) + b"\0" * 12, "'y' begins at byte 4"),
        (header(x=tensor(), y=tensor(offsets=(9, 17))) + b"\0" * 17, "'y' begins at byte 9"),
        (header(__metadata__=[]), "__metadata__ is no map of texts"),
        (header(__metadata__=False), "__metadata__ is no map of texts"),
        (header(__metadata__={"epoch": 3}), "__metadata__ is no map of texts"),
        (raw("[" * 100_000), "no map of tensors"),
        (raw('{"a":' * 100_000), "no map of tensors"),
        (raw(" {}"), "it begins with b' {}'"),
        (raw("{}{}"), "no map of tensors"),
        (raw('{"x": ' + "9" * 5000 + "}"), "no map of tensors"),
        (raw(f'{{"\\ud800": {json.dumps(tensor())}}}') + bytes(8), "no map of tensors"),
        (raw("{}".encode("utf-16-le")), "no map of tensors"),
        (raw('{"é": 1}'.encode("latin-1")), "no map of tensors"),
        ((2**63).to_bytes(8, "little") + b"{}", f"a header of {2**63} bytes"),
        (b"\xff" * 7 + b"\x7f{}", f"a header of {2**63 - 1} bytes"),
    ],
)
def test_damaged_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        load_file(path)
    message = str(caught.value)
    assert message.startswith((f"{path}: not a whole safetensors file", f"{path}: no array has"))
    assert len(message) < 1000


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


@pytest.mark.parametrize("text", ["null", "{}"])
def test_no_metadata_may_be_written_in_three_ways(tmp_path: Path, text: str) -> None:
    one = json.dumps(tensor())
    (tmp_path / "a").write_bytes(raw(f'{{"__metadata__": {text}, "x": {one}}}  ') + bytes(8))
    arrays, metadata = load_file(tmp_path / "a")
    assert arrays["x"].tolist() == [0, 0]
    assert metadata == {}


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2", "F8_E8M0", "F4", "C64"])
def test_dtypes_that_have_no_tensors_are_named(tmp_path: Path, dtype: str) -> None:
    (tmp_path / "a").write_bytes(header(x=tensor(dtype=dtype)) + bytes(8))
    with pytest.raises(DataError, match=f"'x' is {dtype}, which is not supported; convert"):
        load_file(tmp_path / "a")


def test_a_header_above_the_limit_is_refused_on_reading(tmp_path: Path) -> None:
    with (tmp_path / "a").open("wb") as file:
        file.write((100_000_001).to_bytes(8, "little"))
        file.truncate(100_000_009)
    with pytest.raises(DataError, match="its header has 100000001 bytes; more than 100000000 are"):
        load_file(tmp_path / "a")


@pytest.mark.parametrize(
    ("arrays", "metadata", "message"),
    [
        ({"x": np.ones(1)}, {"a": "x" * 100_000_000}, "refuse more than 100,000,000"),
        ({0: np.ones(1)}, None, "a text other than '__metadata__', got 0"),
        ({"__metadata__": np.ones(1)}, None, "got '__metadata__'; minigrad.io.save keeps any key"),
        ({"x": [1.0]}, None, "'x' is of type list, expected a NumPy array"),
        ({"x": None}, None, "'x' is of type NoneType"),
        ({"x": np.array(["a"])}, None, "cannot store 'x' of dtype <U1"),
        ({"x\ud800": np.ones(1)}, None, "are no text"),
        ({"x": np.ones(1)}, {"epoch": 3}, "metadata are texts by name"),
        ({"x": np.ones(1)}, {"a": "\ud800"}, "are no text"),
    ],
)
def test_what_no_file_can_hold_is_refused_and_the_old_file_stays(
    tmp_path: Path, arrays: Any, metadata: Any, message: str
) -> None:
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(DataError, match=message):
        save_file(arrays, tmp_path / "a", metadata)
    assert (tmp_path / "a").read_bytes() == b"old"


def test_what_we_refuse_the_reference_implementation_refuses(tmp_path: Path) -> None:
    theirs = pytest.importorskip("safetensors.numpy")
    whole = header(x=tensor(), y=tensor("U8", (3,), (8, 11))) + bytes(11)
    (tmp_path / "a").write_bytes(whole)
    theirs.load_file(tmp_path / "a")
    rng = np.random.default_rng(0)
    for _ in range(300):
        content = bytearray(whole)
        for place in rng.integers(0, len(whole) - 11, 2):
            content[place] = rng.integers(0, 256)
        (tmp_path / "a").write_bytes(content)
        try:
            wanted = theirs.load_file(tmp_path / "a")
        except Exception:
            with pytest.raises(DataError):
                load_file(tmp_path / "a")
            continue
        try:
            found = load_file(tmp_path / "a")[0]
        except DataError as error:
            assert re.search("twice|not supported", str(error))  # noqa: PT017
            continue
        assert {k: v.tobytes() for k, v in found.items()} == {
            k: v.tobytes() for k, v in wanted.items()
        }


def test_what_has_no_names_is_refused(tmp_path: Path) -> None:
    for arrays in ([np.zeros(2)], np.zeros(2), None):
        with pytest.raises(DataError, match="arrays by name"):
            save_file(arrays, tmp_path / "a")  # type: ignore[arg-type]
