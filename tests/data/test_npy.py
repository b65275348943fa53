from __future__ import annotations

import io
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad.data.npy import read_npy, read_npz
from minigrad.errors import DataError

ARRAYS: dict[str, Any] = {
    **{code: np.arange(6).reshape(2, 3).astype(code) for code in "?bBhHiIlLefd"},
    "0-d": np.array(3.5),
    "empty": np.zeros((0, 4), np.float32),
    "order F": np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)),
    "big-endian": np.arange(4, dtype=">i4"),
    "strided": np.arange(10)[::-3],
}


def npy(header: str, data: bytes = b"", version: int = 1) -> bytes:
    text = header.encode()
    width = 2 if version == 1 else 4
    return b"\x93NUMPY" + bytes([version, 0]) + len(text).to_bytes(width, "little") + text + data


def header(descr: str = "'<f4'", fortran: str = "False", shape: str = "(2,)") -> str:
    return f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n"


@pytest.mark.parametrize("name", ARRAYS)
def test_round_trip(tmp_path: Path, name: str) -> None:
    wanted = ARRAYS[name]
    np.save(tmp_path / "a.npy", wanted)
    found = read_npy(tmp_path / "a.npy")
    np.testing.assert_array_equal(found, wanted)
    assert found.dtype == wanted.dtype.newbyteorder("=")


@pytest.mark.parametrize("version", [1, 2, 3])
def test_versions(tmp_path: Path, version: int) -> None:
    (tmp_path / "a").write_bytes(npy(header(), np.float32([1, 2]).tobytes(), version))
    assert read_npy(tmp_path / "a").tolist() == [1, 2]


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_archives(tmp_path: Path, save: Any) -> None:
    save(tmp_path / "a.npz", **ARRAYS)
    found = read_npz(tmp_path / "a.npz")
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)


EIGHT = bytes(8)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it begins with b''"),
        (b"\x93NUMPY\x09\x00", "it begins with"),
        (npy(header("'|O'"), EIGHT), r"its element type is '\|O'"),
        (npy(header("'<U4'"), EIGHT), "its element type is '<U4'"),
        (npy(header("'<c8'"), EIGHT), "its element type is '<c8'"),
        (npy(header("'<f3'"), EIGHT), "its element type is '<f3'"),
        (npy(header("[('a', '<f4')]"), EIGHT), "its header is"),
        (npy(header(shape="(-2,)"), EIGHT), "its header is"),
        (npy(header(shape="(2.0,)"), EIGHT), "its header is"),
        (npy(header(shape="((((((((2,),)"), EIGHT), "its header is"),
        (npy("(" * 9000), "its header is"),
        (npy("{" + "'\\d': 1, " * 900 + "}"), "its header is"),
        (npy(header() + "import os"), "its header is"),
        (npy(" " * 20_000 + header()), "its header of 200.* bytes is cut short or too long"),
        (npy(header(shape="(0,)"))[:-1], "its header of 58 bytes is cut short"),
        (npy(header(shape="(3,)"), EIGHT), "expected 12 bytes of data"),
        (npy(header(shape="(1,)"), EIGHT), "expected 72 bytes; found 76"),
        (npy(header(shape=f"({10**18}, {10**18})"), EIGHT), "expected 4000"),
        (npy(header(shape=f"({'1, ' * 70})"), EIGHT[:4]), "no array has the shape"),
        (npy(header(shape=f"(0, {10**18}, {10**18})")), "no array has the shape"),
        (npy(header(shape="(9" + "9" * 5000 + ",)")), "its header is"),
    ],
)
def test_whatever_is_wrong_is_said(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(DataError, match=message) as caught:
            read_npy(path)
    assert str(path) in str(caught.value)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", content)
    with pytest.raises(DataError, match=r"a\.npz: a\.npy: "):
        read_npz(tmp_path / "a.npz")


def archive(*members: tuple[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", compression) as file:
        for name, content in members:
            file.writestr(name, content)
    return packed.getvalue()


ONE = npy(header(), EIGHT)
FLAGS = b"\x01\x02\x14\x03\x14\0"  # begins the entry of a member; its flags follow
ENCRYPTED = archive(("a.npy", ONE)).replace(FLAGS + b"\0\0", FLAGS + b"\1\0")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\3\4 but no archive", "no whole .npz file"),
        (archive(("a.npy", ONE))[:-1], "no whole .npz file"),
        (archive(("a.npy", ONE), compression=zipfile.ZIP_LZMA), "packed in an unknown way"),
        (archive(("a.npy", ONE), ("readme.txt", b"hello")), "readme.txt: no .npy array"),
        (ENCRYPTED, "encrypted"),
        (archive(("a.npy", npy(header(shape="(99999,)"), bytes(9)))), "expected 399996 bytes"),
        (archive(("a.npy", ONE + bytes(10_000_000))), r"expected \d+ bytes; found more"),
    ],
)
def test_whatever_is_wrong_with_an_archive_is_said(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_npz(tmp_path / "a.npz")
