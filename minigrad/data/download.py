"""Fetch a file over HTTP: resumed where it stopped, checked, and only then given its name."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from io import BufferedRandom
from pathlib import Path

from minigrad.errors import DataError
from minigrad.files import reason

__all__ = ["data_home", "fetch"]

TIMEOUT = 30.0  # seconds without an answer
CHUNK = 1 << 16


def data_home() -> Path:
    """Return where data sets are kept: ``$MINIGRAD_DATA``, else ``~/.cache/minigrad``."""
    home = os.environ.get("MINIGRAD_DATA")
    return Path(home) if home else Path.home() / ".cache" / "minigrad"


def fetch(urls: Sequence[str], path: Path, size: int, sha256: str) -> Path:
    """Fetch `path` from the first of `urls` that serves it whole.

    The bytes go to ``<path>.part``. A broken connection leaves that file, and the next call asks
    the server for the rest only. Never more than `size` bytes are taken, and nobody ever sees an
    unchecked file under its final name.

    Parameters
    ----------
    urls : sequence of str
        The same file at several places, tried in order.
    path : Path
        Where to put it; folders are made.
    size : int
        How many bytes it has.
    sha256 : str
        Their SHA-256, in hexadecimal digits.

    Raises
    ------
    DataError
        If no place served the right file; the message lists what each one said.
    """
    from http.client import HTTPException  # in a browser this is most of `import minigrad.data`

    part = path.with_name(path.name + ".part")
    failures = []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for url in urls:
            try:
                with _open_part(part) as file:
                    _fetch(url, file, size, sha256)
            except (OSError, HTTPException, ValueError) as error:
                failures.append(f"{url}: {reason(error)}")
            else:
                part.replace(path)
                return path
        if part.stat().st_size == 0:
            part.unlink()
    except OSError as error:
        raise DataError(f"{path}: cannot be saved ({reason(error)})") from None
    raise DataError(
        f"could not download {path.name}; check the connection, or put the file at {path} by hand"
        + "".join(f"\n  {failure}" for failure in failures)
    )


def _open_part(part: Path) -> BufferedRandom:
    """Open what is there already, to read and to write; a link in its place is not followed."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(part, flags, 0o666), "r+b")


def _fetch(url: str, file: BufferedRandom, size: int, sha256: str) -> None:
    """Append to `file` what is missing of `url`, and check the whole."""
    have = file.seek(0, os.SEEK_END)
    if have < size:
        _append(url, file, have, size)
    found = _sha256(file)
    if found != sha256 and have:  # what was there already is to blame
        _append(url, file, 0, size)
        found = _sha256(file)
    if found != sha256:
        file.truncate(0)
        raise DataError(f"expected SHA-256 {sha256}, found {found}")


def _append(url: str, file: BufferedRandom, have: int, size: int) -> None:
    from http import HTTPStatus
    from urllib.request import Request, urlopen

    request = Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    with urlopen(request, timeout=TIMEOUT) as response:
        if response.status != HTTPStatus.PARTIAL_CONTENT:
            have = 0  # the whole file comes
        elif not str(response.headers["Content-Range"]).startswith(f"bytes {have}-"):
            raise OSError(f"asked for what follows byte {have}, was offered another part")
        offered = response.headers["Content-Length"]
        if offered is not None and offered.strip() != str(size - have):
            raise OSError(f"expected {size - have} bytes, was offered {offered}")
        file.truncate(have)
        file.seek(have)
        while chunk := response.read(min(CHUNK, size - have + 1)):
            have += len(chunk)
            if have > size:
                file.truncate(0)
                raise OSError(f"expected {size} bytes, and more came")
            file.write(chunk)
    if have < size:
        raise OSError(f"the connection broke after {have} of {size} bytes; run again to resume")


def _sha256(file: BufferedRandom) -> str:
    file.seek(0)
    return hashlib.file_digest(file, "sha256").hexdigest()
