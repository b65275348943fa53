"""Writing a file so that it is either the whole new one or still the old one."""

from __future__ import annotations

import glob
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from minigrad.errors import DataError

__all__ = ["atomic_write", "remove_leftovers", "write_text"]


@contextmanager
def atomic_write(path: str | Path) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path` that takes its place when the block ends well.

    The bytes are flushed to the disk before the name changes hands (`os.replace` is atomic), so
    neither a crash, nor a full disk, nor SIGKILL leaves half a file under `path`. If the block
    fails, the old file stays and the temporary one is removed.

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
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        kept = "the old file is unchanged" if path.exists() else "nothing was written"
        if not path.parent.exists():
            kept += f"; make the folder {path.parent} first"
        raise DataError(f"{path}: cannot be saved ({error.strerror or error}); {kept}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def remove_leftovers(path: str | Path) -> None:
    """Remove what writers of a file, or of any file in a folder, left behind when killed."""
    path = Path(path)
    folder, name = (path, "*") if path.is_dir() else (path.parent, glob.escape(path.name))
    for leftover in folder.glob(f".{name}.*-*.tmp"):
        leftover.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` to `path` atomically, as UTF-8."""
    with atomic_write(path) as file:
        file.write(text.encode())


def _sync_folder(folder: Path) -> None:
    """Put the new name itself on the disk; not every system can."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
