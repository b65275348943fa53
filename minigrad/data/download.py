"""Fetch a file over HTTP: resumed where it stopped, checked, and only then given its name."""

from __future__ import annotations

import http.client
import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path

from minigrad.errors import DataError

__all__ = ["data_home", "fetch"]

TIMEOUT = 30.0  # seconds without an answer


def data_home() -> Path:
    """Return where data sets are kept: ``$MINIGRAD_DATA``, else ``~/.cache/minigrad``."""
    home = os.environ.get("MINIGRAD_DATA")
    return Path(home) if home else Path.home() / ".cache" / "minigrad"


def fetch(urls: Sequence[str], path: Path, check: Callable[[Path], None]) -> Path:
    """Fetch `path` from the first of `urls` that serves it whole.

    The bytes go to ``<path>.part``. A broken connection leaves that file, and the next call asks
    the server for the rest only. Nobody ever sees an unchecked file under its final name.

    Parameters
    ----------
    urls : sequence of str
        The same file at several places, tried in order.
    path : Path
        Where to put it; folders are made.
    check : callable
        Is given the path of the whole file; raises DataError if the content is wrong, in which
        case the file is removed.

    Raises
    ------
    DataError
        If no place served the right file; the message lists what each one said.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    failures = []
    for url in urls:
        try:
            _fetch(url, part)
        except (OSError, http.client.HTTPException) as error:
            failures.append(f"{url}: {error}")
            continue
        try:
            check(part)
        except DataError as error:
            part.unlink()
            failures.append(f"{url}: {error}")
            continue
        part.replace(path)
        return path
    raise DataError(
        f"could not download {path.name}; check the connection, or put the file at {path} by hand"
        + "".join(f"\n  {failure}" for failure in failures)
    )


def _fetch(url: str, part: Path) -> None:
    """Append to `part` what is missing of `url`."""
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if have and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return  # nothing is missing; the check decides whether it is the right file
        raise
    with response:
        resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
        with part.open("ab" if resumed else "wb") as file:
            shutil.copyfileobj(response, file)
        expected = response.headers.get("Content-Length")
        got = part.stat().st_size - (have if resumed else 0)
    if expected is not None and got < int(expected):
        raise OSError(f"the connection broke after {got} of {expected} bytes; run again to resume")
