"""`opened`: what is no file is named, what is packed comes out counted, nothing is believed."""

from __future__ import annotations

import gzip
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from minigrad.data import read_idx
from minigrad.errors import DataError
from minigrad.files import opened, resident


def pipe(folder: Path) -> Path:
    os.mkfifo(folder / "pipe")
    return folder / "pipe"


def loop(folder: Path) -> Path:
    (folder / "loop").symlink_to(folder / "loop")
    return folder / "loop"


NO_FILES = {
    "missing": (lambda d: d / "none", r"cannot be read \(No such file .*check the path"),
    "a folder": (lambda d: d, "is a folder; name a file"),
    "a pipe": (pipe, "is no ordinary file"),
    "a device": (lambda d: "/dev/zero", "is no ordinary file"),
    "a loop": (loop, "Too many levels of symbolic links"),
    "below a file": (lambda d: Path(__file__) / "x", "Not a directory"),
    "a zero byte": (lambda d: f"{d}/a\0b", "no path of a file .*null byte"),
    "half a character": (lambda d: f"{d}/\ud800", "no path of a file"),
    "too long": (lambda d: d / ("x" * 300), "File name too long"),
    "empty": (lambda d: "", "cannot be read"),
}


@pytest.mark.skipif(os.name == "nt", reason="pipes and links of POSIX")
@pytest.mark.parametrize("name", NO_FILES)
def test_what_is_no_file_is_said(tmp_path: Path, name: str) -> None:
    make, message = NO_FILES[name]
    with pytest.raises(DataError, match=message), opened(make(tmp_path)):
        pass


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="the system refuses root nothing")
def test_what_may_not_be_read_is_said(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.touch(0)
    with pytest.raises(DataError, match="Permission denied"), opened(path):
        pass


@pytest.mark.parametrize("dtype", ["?", "<i2", ">i2", ">f8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_come_writeable_in_the_machines_order(
    tmp_path: Path, dtype: str, order: str
) -> None:
    wanted = (np.arange(6) % 5).reshape(2, 3).astype(dtype)
    (tmp_path / "a").write_bytes(b"head" + wanted.tobytes(order))
    with opened(tmp_path / "a") as source:
        source.seek(4)
        array = source.array(dtype, (2, 3), order)
        source.end()
    np.testing.assert_array_equal(array, wanted)
    assert array.flags.writeable
    assert array.dtype.isnative


def test_a_bool_is_true_or_false(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes([0, 1, 2, 255]))
    with opened(tmp_path / "a") as source:
        array = source.array("?", (4,))
    assert array.view(np.uint8).tolist() == [0, 1, 1, 1]


@pytest.mark.parametrize("packed", [False, True])
def test_too_little_and_too_much_are_refused(tmp_path: Path, packed: bool) -> None:
    path = tmp_path / "a"
    path.write_bytes(gzip.compress(bytes(8)) if packed else bytes(8))
    for shape in [(9,), (3, 3), (1 << 40,), (1 << 62, 1 << 62)]:
        with opened(path, unpack=True) as source, pytest.raises(DataError, match="fetch it again"):
            source.array("u1", shape)
    with opened(path, unpack=True) as source:
        source.array("u1", (7,))
        with pytest.raises(DataError, match="expected 7 bytes; found"):
            source.end()
    with opened(path, unpack=True) as source, pytest.raises(DataError, match="no array has"):
        source.array("u1", (1,) * 200)
    with opened(path, unpack=True) as source, pytest.raises(DataError, match="no array has"):
        source.array("u1", (0, 1 << 62, 1 << 62))


def test_a_wrong_checksum_is_noticed(tmp_path: Path) -> None:
    raw = bytearray(gzip.compress(b"content"))
    raw[-6] ^= 1
    (tmp_path / "a.gz").write_bytes(raw)
    with opened(tmp_path / "a.gz", unpack=True) as source:
        source.array("u1", (7,))
        with pytest.raises(DataError, match="not a complete gzip file"):
            source.end()


@pytest.mark.parametrize("count", [4, 1 << 31])
def test_a_bomb_takes_no_memory(tmp_path: Path, count: int) -> None:
    """300 MB of zeros in 300 kB, behind a header that promises 4 bytes, or more than there are."""
    pytest.importorskip("resource")
    path = tmp_path / "bomb.gz"
    with gzip.open(path, "wb") as file:
        file.write(struct.pack(">II", 0x00000801, count))
        for _ in range(300):
            file.write(bytes(1 << 20))
    with pytest.raises(DataError, match="bomb"):
        read_idx(path)
    code = (
        "import resource, sys; from minigrad.data import read_idx; from minigrad.errors import *\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "try: read_idx(sys.argv[1])\n"
        "except DataError: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True)
    assert int(done.stdout) < 20_000, "kB"


# --- mapped files ------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["?", "<i2", ">i2", ">f8", "u1"])
def test_arrays_of_a_mapped_file_are_its_views(tmp_path: Path, dtype: str) -> None:
    numbers = np.arange(7, dtype=np.uint8).repeat(np.dtype(dtype).itemsize)
    (tmp_path / "a").write_bytes(b"x" + numbers.tobytes())
    with opened(tmp_path / "a") as source, opened(tmp_path / "a", mapped=True) as mapped:
        source.seek(1)
        mapped.seek(1)
        wanted, found = source.array(dtype, (7,)), mapped.array(dtype, (7,))
        assert mapped.position == source.position == 1 + numbers.nbytes
        with pytest.raises(DataError, match="found 0; the file was cut short"):
            mapped.array(dtype, (1,))
    assert found.dtype == wanted.dtype
    np.testing.assert_array_equal(found, wanted)
    assert found.flags.writeable == (dtype in ("?", ">i2", ">f8"))  # these are no views
    for array in (found, wanted, found[::-2], found[:0]):
        with resident(array):
            copy = array.copy()
        np.testing.assert_array_equal(array, copy)
    np.testing.assert_array_equal(found, wanted)


def test_a_part_of_a_mapped_file_is_in_memory_only_while_it_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(range(256)) * (1 << 16))  # 16 MB
    with opened(tmp_path / "a", mapped=True) as source:
        whole = source.array("u1", (1 << 24,))
    part, before = whole[5 << 20 : 13 << 20], _in_memory()
    with resident(part):
        assert part.sum() == 8 * (255 << 19)
        assert _in_memory() - before >= 8 << 20
    assert _in_memory() - before < 1 << 20
    assert part[300] == 44


def _in_memory() -> int:
    """Return how many bytes of files this process has in its memory."""
    try:
        text = Path("/proc/self/status").read_text()
    except OSError:
        pytest.skip("only Linux says so")
    (found,) = re.findall(r"RssFile:\s+(\d+) kB", text)
    return 1024 * int(found)


def test_an_empty_file_is_not_mapped(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    with opened(tmp_path / "a", mapped=True) as source:
        assert source.array("f4", (0,)).shape == (0,)
