from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from minigrad.errors import DataError
from minigrad.io import atomic_write, remove_leftovers, write_text


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_text("old")
    return path


def assert_untouched(path: Path) -> None:
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path], "a temporary file was left behind"


def test_replaces_the_old_file(old: Path) -> None:
    write_text(old, "néw")
    assert old.read_text(encoding="utf-8") == "néw"
    assert list(old.parent.iterdir()) == [old]


def test_respects_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "file", "")
    finally:
        os.umask(before)
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_failing_disk_keeps_the_old_file(
    old: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def fail(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(*{"fsync": (os, "fsync"), "replace": (Path, "replace")}[call], fail)
    with pytest.raises(DataError, match=r"No space left on device.*the old file is unchanged"):
        write_text(old, "new")
    assert_untouched(old)


def test_failing_writer_keeps_the_old_file(old: Path) -> None:
    def write() -> None:
        with atomic_write(old) as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write()
    assert_untouched(old)


def test_file_size_limit(old: Path) -> None:
    """A real refusal of the operating system, in a process of its own."""
    pytest.importorskip("resource")
    code = (
        "import resource, sys; from minigrad.io import write_text\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "write_text(sys.argv[1], 'x' * 5000)"
    )
    done = subprocess.run([sys.executable, "-c", code, old], capture_output=True, text=True)
    assert "DataError" in done.stderr
    assert "File too large" in done.stderr
    assert_untouched(old)


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none/file: cannot be saved \(No such file"):
        write_text(tmp_path / "none" / "file", "")


def test_leftovers_of_a_killed_writer_are_removed(old: Path) -> None:
    (old.parent / ".file.123-456.tmp").write_text("half")
    (old.parent / ".file2.1-2.tmp").write_text("of another")
    remove_leftovers(old)
    assert {p.name for p in old.parent.iterdir()} == {"file", ".file2.1-2.tmp"}
    remove_leftovers(old.parent)
    assert list(old.parent.iterdir()) == [old]
