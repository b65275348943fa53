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


def test_files_that_only_look_like_leftovers_stay(tmp_path: Path) -> None:
    names = {".notes.my-own.tmp", "file.1-2.tmp", ".file.1-2.tmp.txt"}
    for name in names:
        (tmp_path / name).touch()
    (tmp_path / ".a.1-2.tmp").mkdir()
    remove_leftovers(tmp_path)
    remove_leftovers(tmp_path / "none" / "file")
    assert {p.name for p in tmp_path.iterdir()} == names | {".a.1-2.tmp"}


posix = pytest.mark.skipif(os.name == "nt", reason="links and modes of POSIX")


@posix
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o755])
def test_the_mode_of_the_old_file_stays(old: Path, mode: int) -> None:
    old.chmod(mode)
    write_text(old, "new")
    assert old.stat().st_mode & 0o7777 == mode


@posix
def test_what_is_written_is_never_more_open_than_the_old_file(old: Path) -> None:
    old.chmod(0o600)
    with atomic_write(old):
        (temporary,) = old.parent.glob(".file*")
        assert temporary.stat().st_mode & 0o777 == 0o600


@posix
@pytest.mark.parametrize("there", [True, False])
@pytest.mark.parametrize("relative", [True, False])
def test_a_link_stays_and_what_it_names_is_replaced(
    tmp_path: Path, there: bool, relative: bool
) -> None:
    (tmp_path / "far").mkdir()
    target = tmp_path / "far" / "real"
    if there:
        target.write_text("old")
    (tmp_path / "middle").symlink_to(Path("far/real") if relative else target)
    (tmp_path / "link").symlink_to(tmp_path / "middle")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "middle").is_symlink()
    assert target.read_text() == "new"
    assert not target.is_symlink()
    assert {p.name for p in tmp_path.iterdir()} == {"far", "middle", "link"}
    assert [p.name for p in target.parent.iterdir()] == ["real"]


@posix
def test_a_link_that_waits_under_the_temporary_name_is_not_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if the name could be guessed."""
    monkeypatch.setattr("minigrad.io.atomic.token_hex", lambda count: "0" * count)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (tmp_path / f".file.{os.getpid()}-00000000.tmp").symlink_to(victim)
    with pytest.raises(DataError, match="File exists"):
        write_text(tmp_path / "file", "evil")
    assert victim.read_text() == "precious"


def test_temporary_names_differ(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a"), atomic_write(tmp_path / "a"):
        assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "\U0001f600" * 63, "a.b" * 80])
def test_names_of_any_length_that_the_system_takes(tmp_path: Path, name: str) -> None:
    write_text(tmp_path / name, "new")
    assert (tmp_path / name).read_text() == "new"
    assert len(list(tmp_path.iterdir())) == 1


BAD_TARGETS = {
    "a folder": (lambda d: d, "Is a directory.*name a file in this folder"),
    "a name too long": (lambda d: d / ("x" * 256), "File name too long"),
    "below a file": (lambda d: d / "old" / "x", "Not a directory"),
    "a zero byte": (lambda d: f"{d}/a\0b", "null byte"),
    "half a character": (lambda d: f"{d}/\ud800", "can't encode"),
    "a link to nowhere": (lambda d: d / "nowhere", "make the folder .*none first"),
    "a device": (lambda d: "/dev/null", "No ordinary file"),
    "empty": (lambda d: "", "Is a directory"),
}


@posix
@pytest.mark.parametrize("name", BAD_TARGETS)
def test_what_cannot_be_replaced_is_said(tmp_path: Path, name: str) -> None:
    make, message = BAD_TARGETS[name]
    (tmp_path / "old").write_text("old")
    (tmp_path / "nowhere").symlink_to(tmp_path / "none" / "file")
    before = set(tmp_path.iterdir())
    with pytest.raises(DataError, match=message):
        write_text(make(tmp_path), "new")
    assert set(tmp_path.iterdir()) == before
    assert not Path("/dev/null").is_file()


@posix
@pytest.mark.skipif(os.name != "nt" and os.geteuid() == 0, reason="the system refuses root nothing")
@pytest.mark.parametrize("what", ["file", "folder"])
def test_protection_is_respected(old: Path, what: str) -> None:
    protected = old if what == "file" else old.parent
    mode = protected.stat().st_mode
    protected.chmod(0o555)
    try:
        with pytest.raises(DataError, match=r"write-protected|Permission denied"):
            write_text(old, "new")
        assert_untouched(old)
    finally:
        protected.chmod(mode)


def test_text_that_no_encoding_has_is_escaped(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "caf\udce9")
    assert (tmp_path / "a").read_text() == "caf\\udce9"


@posix
@pytest.mark.slow
def test_an_interrupt_at_any_moment_leaves_the_old_file_or_the_new_one(old: Path) -> None:
    code = """if True:
        import random, signal, sys
        from minigrad.io import write_text
        signal.signal(signal.SIGALRM, lambda *a: (_ for _ in ()).throw(KeyboardInterrupt()))
        random.seed(0)
        for _ in range(400):
            try:
                signal.setitimer(signal.ITIMER_REAL, random.uniform(1e-5, 6e-4))
                write_text(sys.argv[1], "new")
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                pass
            assert open(sys.argv[1]).read() in ("old", "new")
    """
    subprocess.run([sys.executable, "-c", code, old], check=True)
    assert len(list(old.parent.iterdir())) <= 9  # an interrupt may come while one is cleaned up
