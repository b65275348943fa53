"""`minigrad docs`: where the pages come from, what is served, and to whom."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import minigrad
from minigrad.cli import docs, main
from minigrad.errors import DataError

ROOT = Path(__file__).resolve().parents[2]


def test_the_pages_are_those_of_the_clone_one_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert docs.source() == ROOT / "docs"
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "conf.py").touch()
    assert docs.source() == ROOT / "docs", "some other project's"
    (tmp_path / "minigrad" / "cli").mkdir(parents=True)
    assert docs.source() == tmp_path / "docs"


def test_an_installed_package_says_where_the_documentation_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(minigrad, "__file__", str(tmp_path / "site-packages/minigrad/__init__.py"))
    with pytest.raises(DataError, match=r"clone .* pip install '\.\[docs\]' && minigrad docs"):
        docs.source()


def test_a_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "furo" else SimpleNamespace()
    )
    assert main(["docs"]) == 2
    monkeypatch.setattr(importlib.util, "find_spec", find)
    wanted = "minigrad: furo is not installed; run: pip install 'minigrad[docs]'\n"
    assert capsys.readouterr().err == wanted


@pytest.fixture
def built(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Sphinx, which here notes only what it is asked for."""
    asked: list[list[str]] = []

    def run(words: list[str], check: bool) -> Any:
        asked.append(words)
        return SimpleNamespace(returncode=0)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: SimpleNamespace())
    return asked


@pytest.mark.parametrize("word", ["--build-only", "--no-serve"])
def test_build_only(
    built: list[list[str]], tmp_path: Path, word: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["docs", word, "--output", str(tmp_path)]) == 0
    (words,) = built
    assert words[:3] == [sys.executable, "-m", "sphinx"]
    assert words[-2:] == [str(ROOT / "docs"), str(tmp_path)]
    assert {"-W", "--keep-going", "-j"} <= set(words)
    assert capsys.readouterr().out == f"built {tmp_path / 'index.html'}\n"


def test_a_failed_build_and_an_impossible_port(
    built: list[list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["docs", "--port", "70000"]) == 2
    assert not built
    monkeypatch.setattr(subprocess, "run", lambda *a, **k: SimpleNamespace(returncode=2))
    assert main(["docs"]) == 1
    assert "Sphinx says why" in capsys.readouterr().err


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "index.html").write_text("<h1>pages</h1>")
    (tmp_path / "core.wasm").write_bytes(b"\0asm")
    with docs.server(tmp_path, 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_pages_are_served_isolated_and_to_this_machine(address: str) -> None:
    with urllib.request.urlopen(address) as page:
        assert page.read() == b"<h1>pages</h1>"
        assert page.headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert page.headers["Cross-Origin-Embedder-Policy"] == "require-corp"
    with urllib.request.urlopen(f"{address}core.wasm") as binary:
        assert binary.headers["Content-Type"] == "application/wasm"


def test_ctrl_c_ends_the_server(
    built: list[list[str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    opened: list[str] = []

    def interrupted(self: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(docs.ThreadingHTTPServer, "serve_forever", interrupted)
    monkeypatch.setattr(docs.webbrowser, "open", opened.append)
    assert main(["docs", "--port", "0", "--open", "--output", str(tmp_path)]) == 0
    assert opened[0].startswith("http://127.0.0.1:")
    assert f"serving {opened[0]}; Ctrl-C ends it" in capsys.readouterr().out


def test_a_taken_port(built: list[list[str]], capsys: pytest.CaptureFixture[str]) -> None:
    with docs.server(Path(), 0) as other:
        assert main(["docs", "--port", str(other.server_port)]) == 2
    assert "try --port 0" in capsys.readouterr().err
