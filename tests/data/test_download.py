from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from minigrad.data import BrainTissue, fashion_mnist
from minigrad.data.download import data_home, fetch
from minigrad.errors import DataError

CONTENT = bytes(range(256)) * 400
SIZE, SHA256 = len(CONTENT), hashlib.sha256(CONTENT).hexdigest()


class Handler(BaseHTTPRequestHandler):
    """Serves CONTENT under /file, and what goes wrong on the web under other names."""

    requests: list[str | None]

    def do_GET(self) -> None:
        wanted = self.headers["Range"]
        self.requests.append(wanted)
        serve = getattr(self, f"serve_{self.path[1:]}", None)
        if serve is None:
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        if start >= len(CONTENT):
            self.send_error(416)
            return
        serve(start, CONTENT[start:])

    def answer(self, start: int, body: bytes, **headers: str | None) -> None:
        """Send `body` under honest headers, or others."""
        self.send_response(206 if start else 200)
        honest = {"Content_Length": str(len(body))}
        if start:
            honest["Content_Range"] = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
        for name, value in (honest | headers).items():
            if value is not None:
                self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        with suppress(ConnectionError):  # the reader has had enough
            self.wfile.write(body)

    def serve_file(self, start: int, body: bytes) -> None:
        self.answer(start, body)

    def serve_broken(self, start: int, body: bytes) -> None:
        self.answer(start, body[: len(body) // 2], Content_Length=str(len(body)))

    def serve_no_ranges(self, start: int, body: bytes) -> None:
        self.answer(0, CONTENT)

    def serve_wrong(self, start: int, body: bytes) -> None:
        self.answer(start, b"x" * len(body))

    def serve_login_page(self, start: int, body: bytes) -> None:
        self.answer(0, b"<html>Please log in</html>")

    def serve_other_range(self, start: int, body: bytes) -> None:
        self.answer(start, body, Content_Range=f"bytes 0-{SIZE - 1}/{SIZE}")

    def serve_length_huge(self, start: int, body: bytes) -> None:
        self.answer(start, body, Content_Length=str(1 << 62))

    def serve_length_negative(self, start: int, body: bytes) -> None:
        self.answer(start, body, Content_Length="-5")

    def serve_length_no_number(self, start: int, body: bytes) -> None:
        self.answer(start, body, Content_Length="many")

    def serve_length_missing(self, start: int, body: bytes) -> None:
        self.answer(start, body, Content_Length=None)

    def serve_short_without_length(self, start: int, body: bytes) -> None:
        self.answer(start, body[:1000], Content_Length=None)

    def serve_endless(self, start: int, body: bytes) -> None:
        self.answer(start, body * 50, Content_Length=None)

    def serve_to_a_file(self, start: int, body: bytes) -> None:
        self.send_response(302)
        self.send_header("Location", f"file://{__file__}")
        self.end_headers()

    def serve_to_itself(self, start: int, body: bytes) -> None:
        self.send_response(302)
        self.send_header("Location", self.path)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


@pytest.fixture
def server() -> Iterator[tuple[str, list[str | None]]]:
    handler = type("OneTestHandler", (Handler,), {"requests": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{http.server_port}", handler.requests  # type: ignore[attr-defined]
        http.shutdown()
        thread.join()


def test_resumes_where_a_connection_broke(
    server: tuple[str, list[str | None]], tmp_path: Path
) -> None:
    url, requests = server
    target = tmp_path / "new" / "file"
    with pytest.raises(DataError, match="the connection broke after 51200 of 102400 bytes"):
        fetch([f"{url}/broken"], target, SIZE, SHA256)
    assert not target.exists()
    fetch([f"{url}/file"], target, SIZE, SHA256)
    assert target.read_bytes() == CONTENT
    assert requests == [None, "bytes=51200-"]
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("first", ["missing", "wrong", "login_page", "to_a_file", "broken"])
def test_takes_the_next_mirror(
    server: tuple[str, list[str | None]], tmp_path: Path, first: str
) -> None:
    url, _ = server
    fetch([f"{url}/{first}", f"{url}/file"], tmp_path / "file", SIZE, SHA256)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


@pytest.mark.parametrize("place", ["file", "no_ranges", "length_missing"])
@pytest.mark.parametrize(
    "left", [b"", CONTENT[:1000], CONTENT, b"x" * 1000, b"x" * SIZE, b"x" * (SIZE + 9)]
)
def test_whatever_was_left_the_file_is_right(
    server: tuple[str, list[str | None]], tmp_path: Path, left: bytes, place: str
) -> None:
    """A part of the file is used; anything else is thrown away."""
    (tmp_path / "file.part").write_bytes(left)
    fetch([f"{server[0]}/{place}"], tmp_path / "file", SIZE, SHA256)
    assert (tmp_path / "file").read_bytes() == CONTENT
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


@pytest.mark.parametrize(
    ("place", "left", "message", "kept"),
    [
        ("wrong", 0, "expected SHA-256 .*, found ", None),
        ("login_page", 0, "expected 102400 bytes, was offered 26", None),
        ("login_page", 1000, "expected 102400 bytes, was offered 26", 1000),
        ("length_huge", 0, "was offered 4611686018427387904", None),
        ("length_negative", 0, "was offered -5", None),
        ("length_no_number", 0, "was offered many", None),
        ("other_range", 1000, "was offered another part", 1000),
        ("short_without_length", 0, "broke after 1000 of 102400 bytes; run again", 1000),
        ("endless", 0, "expected 102400 bytes, and more came", None),
        ("to_a_file", 0, "file://", None),
        ("to_itself", 0, "infinite loop", None),
        ("missing", 1000, "404", 1000),
    ],
)
def test_what_is_wrong_is_said_and_only_a_beginning_is_kept(
    server: tuple[str, list[str | None]],
    tmp_path: Path,
    place: str,
    left: int,
    message: str,
    kept: int | None,
) -> None:
    part = tmp_path / "file.part"
    if left:
        part.write_bytes(CONTENT[:left])
    with pytest.raises(DataError, match=message):
        fetch([f"{server[0]}/{place}"], tmp_path / "file", SIZE, SHA256)
    assert list(tmp_path.iterdir()) == ([] if kept is None else [part])
    assert kept is None or part.read_bytes() == CONTENT[:kept]


def test_a_link_where_the_bytes_would_go_is_not_followed(
    server: tuple[str, list[str | None]], tmp_path: Path
) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "file.part").symlink_to(victim)
    with pytest.raises(DataError, match="could not download"):
        fetch([f"{server[0]}/file"], tmp_path / "file", SIZE, SHA256)
    assert victim.read_bytes() == b"precious"


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DataError, match=r"file/data: cannot be saved"):
        fetch(["http://127.0.0.1:9/a"], tmp_path / "file" / "data", SIZE, SHA256)


def test_failure_lists_what_every_place_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"could not download file; .*\n.*:9/a: .*\n.*:9/b: "):
        fetch(["http://127.0.0.1:9/a", "http://127.0.0.1:9/b"], tmp_path / "file", SIZE, SHA256)


def test_data_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MINIGRAD_DATA", "/somewhere")
    assert data_home() == Path("/somewhere")
    monkeypatch.delenv("MINIGRAD_DATA")
    assert data_home() == Path.home() / ".cache" / "minigrad"


@pytest.mark.parametrize("root", ["x" * 300, "a\0b", "/dev/null"])
def test_a_root_that_no_system_takes_holds_nothing(root: str) -> None:
    for call in (fashion_mnist, lambda root: BrainTissue(root=root)):
        with pytest.raises(DataError, match="not on this machine"):
            call(root)
