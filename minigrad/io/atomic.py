"""Writing a file so that it is either the whole new one or still the old one."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from minigrad.errors import DataError
from minigrad.files import reason, to_path

__all__ = ["atomic_write", "remove_leftovers", "write_text"]

SHOWN = 40  # letters of a file's name in that of its temporary one, which must not be too long


@contextmanager
def atomic_write(path: str | Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path` that takes its place when the block ends well.

    The bytes are flushed to the disk before the name changes hands (`os.replace` is atomic), so
    neither a crash, nor a full disk, nor SIGKILL leaves half a file under `path`. If the block
    fails, the old file stays and the temporary one is removed. A link stays one: the file that it
    names is replaced. The new file has the mode of the old one.

    Raises
    ------
    DataError
        If the file cannot be written; what went wrong is named.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> path = pathlib.Path(tempfile.mkdtemp(), "notes.txt")
    >>> with atomic_write(path) as file:
    ...     _ = file.write(b"whole")
    >>> path.read_bytes()
    b'whole'
    """
    path = to_path(path)
    try:
        target = _target(path)
        mode = target.stat().st_mode & 0o777 if target.exists() else None
    except (OSError, ValueError) as error:
        raise _refused(path, error) from None
    # A name that nobody can guess, and "x": what somebody put there is neither followed nor filled.
    temporary = target.with_name(f".{target.name[:SHOWN]}.{os.getpid()}-{token_hex(8)}.tmp")
    try:
        new = partial(os.open, mode=0o666 if mode is None else mode)
        with open(temporary, "xb", opener=new) as file:
            if mode is not None:
                temporary.chmod(mode)
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(target)
        _sync_folder(target.parent)
    except OSError as error:
        raise _refused(path, error) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def remove_leftovers(path: str | Path) -> None:
    """Remove what writers of a file, or of any file in a folder, left behind when killed.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     remove_leftovers(folder)  # there are none
    """
    path = to_path(path)
    folder, name = path, ".*"
    if not path.is_dir():
        path = Path(os.path.realpath(path))
        folder, name = path.parent, re.escape(path.name[:SHOWN])
    ours = re.compile(rf"\.{name}\.\d+-[0-9a-f]+\.tmp", re.DOTALL)
    with suppress(OSError):
        for leftover in list(folder.iterdir()):
            if ours.fullmatch(leftover.name):
                leftover.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` atomically, as UTF-8.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_text(pathlib.Path(folder, "a.txt"), "text")
    ...     pathlib.Path(folder, "a.txt").read_text()
    'text'
    """
    with atomic_write(path) as file:
        file.write(text.encode("utf-8", "backslashreplace"))


def _target(path: Path) -> Path:
    """Return the file itself that `path` names, perhaps by way of links, or refuse it."""
    target = Path(os.path.realpath(path))
    if target.exists():
        if not target.is_file():
            kind = errno.EISDIR if target.is_dir() else errno.EINVAL
            raise OSError(kind, os.strerror(kind) if target.is_dir() else "No ordinary file")
        if not os.access(target, os.W_OK):
            raise OSError(errno.EACCES, "The file is write-protected")
    return target


def _refused(path: Path, error: Exception) -> DataError:
    hint = "nothing was written"
    with suppress(OSError, ValueError):
        folder = (Path(os.path.realpath(path)) if path.is_symlink() else path).parent
        if path.is_file():
            hint = "the old file is unchanged"
        elif path.is_dir():
            hint = "name a file in this folder"
        elif not folder.exists():
            hint += f"; make the folder {folder} first"
    return DataError(f"{path}: cannot be saved ({reason(error)}); {hint}")


def _sync_folder(folder: Path) -> None:
    """Put the new name itself on the disk; not every system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
