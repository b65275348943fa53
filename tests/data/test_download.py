from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from minigrad.data.download import data_home, fetch
from minigrad.errors import DataError

CONTENT = bytes(range(256)) * 400


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT: /file whole or by range, /broken only its first half, else 404."""

    requests: list[str | None]

    def do_GET(self) -> None:
        if self.path not in ("/file", "/broken"):
            self.send_error(404)
            return
        wanted = self.headers["Range"]
        self.requests.append(wanted)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        body = CONTENT[start:]
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if self.path == "/broken" else body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


@pytest.fixture
def server() -> Iterator[tuple[str, list[str | None]]]:
    handler = type("OneTestHandler", (Handler,), {"requests": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}", handler.requests  # type: ignore[attr-defined]
        http.shutdown()
        thread.join()


def check(path: Path) -> None:
    if path.read_bytes() != CONTENT:
        raise DataError("wrong content")


def test_resumes_where_a_connection_broke(
    server: tuple[str, list[str | None]], tmp_path: Path
) -> None:
    url, requests = server
    target = tmp_path / "new" / "file"
    with pytest.raises(DataError, match="the connection broke after 51200 of 102400 bytes"):
        fetch([f"{url}/broken"], target, check)
    assert not target.exists()
    fetch([f"{url}/file"], target, check)
    assert target.read_bytes() == CONTENT
    assert requests == [None, "bytes=51200-"]
    assert list(target.parent.iterdir()) == [target]


def test_takes_the_next_mirror(server: tuple[str, list[str | None]], tmp_path: Path) -> None:
    url, _ = server
    fetch([f"{url}/missing", f"{url}/file"], tmp_path / "file", check)
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_wrong_content_is_refused_and_removed(
    server: tuple[str, list[str | None]], tmp_path: Path
) -> None:
    url, _ = server
    (tmp_path / "file.part").write_bytes(b"x" * len(CONTENT))  # "whole", but wrong
    with pytest.raises(DataError, match="wrong content"):
        fetch([f"{url}/file"], tmp_path / "file", check)
    assert list(tmp_path.iterdir()) == []


def test_failure_lists_what_every_place_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"could not download file; .*\n.*:9/a: .*\n.*:9/b: "):
        fetch(["http://127.0.0.1:9/a", "http://127.0.0.1:9/b"], tmp_path / "file", check)


def test_data_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIGRAD_DATA", "/somewhere")
    assert data_home() == Path("/somewhere")
    monkeypatch.delenv("MINIGRAD_DATA")
    assert data_home() == Path.home() / ".cache" / "minigrad"
