"""Names on the hub, against a server of our own that answers as the hub does."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from minigrad import io, models
from minigrad.errors import MissingExtra
from minigrad.io.hub import is_hub_name

COMMIT = "0123456789abcdef0123456789abcdef01234567"
Files = dict[str, bytes]


class Hub(BaseHTTPRequestHandler):
    """Serves files under /owner/name/resolve/revision/file, with the hub's headers."""

    repositories: dict[str, Files]
    requests: list[tuple[str, str, str | None]]
    fault = ""  # what is wrong with it

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        name, _, rest = self.path[1:].partition("/resolve/")
        file = rest.partition("/")[2]
        self.requests.append((self.command, file, self.headers["Range"]))
        files = self.repositories.get(name)
        if files is None or file not in files:
            self.send_response(404)
            code = "RepoNotFound" if files is None else "EntryNotFound"
            self.send_header("X-Error-Code", code)
            self.send_header("X-Repo-Commit", COMMIT)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = files[file]
        digest = hashlib.sha256(body).hexdigest()
        start = int((self.headers["Range"] or "bytes=0-")[6:].partition("-")[0])
        self.send_response(206 if self.headers["Range"] else 200)
        self.send_header("ETag", f'"{digest}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.send_header("Content-Length", str(len(body) - start))
        if self.headers["Range"]:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.end_headers()
        if self.command == "GET":
            rest_of_it = body[start:]
            if self.fault == "damaged":
                rest_of_it = rest_of_it[:-1] + bytes([rest_of_it[-1] ^ 1])
            if self.fault == "broken" and file == "model.safetensors" and not start:
                rest_of_it = rest_of_it[: len(body) // 2]
            with suppress(ConnectionError):
                self.wfile.write(rest_of_it)

    def log_message(self, *args: Any) -> None:
        """Be quiet."""


@pytest.fixture
def hub() -> Iterator[Any]:
    handler = type("Handler", (Hub,), {"repositories": {}, "requests": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        handler.url = f"http://127.0.0.1:{server.server_port}"  # type: ignore[attr-defined]
        yield handler
        server.shutdown()
        thread.join()


@pytest.fixture
def golden(repo: Path) -> Path:
    return repo / "tests" / "golden"


def ask(code: str, place: Path, endpoint: str, **more: str) -> str:
    """Run a program of its own, as the hub's package reads these settings when it is imported."""
    no_proxy = {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1"}
    settings = {"HF_ENDPOINT": endpoint, "HF_HOME": str(place), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", f"from minigrad import io, models\n{code}"],
        env=os.environ | settings | no_proxy | more,
        cwd=place,
        capture_output=True,
        text=True,
    )
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


def report(name: str) -> str:
    return (
        f"_, r = models.load_pretrained(None, {name!r})\n"
        "print(r.naming, r.complete, r.source, r.licence, len(r.loaded))"
    )


@pytest.mark.needs("huggingface_hub")
def test_a_name_is_fetched_once_and_then_taken_from_the_cache(
    hub: Any, golden: Path, tmp_path: Path
) -> None:
    config = {"architecture": "convnext_atto", "pretrained_cfg": {"license": "apache-2.0"}}
    hub.repositories["timm/tiny.case"] = {
        "model.safetensors": (golden / "v1_timm.safetensors").read_bytes(),
        "config.json": json.dumps(config).encode(),
        "pytorch_model.bin": b"another copy, which nobody needs",
    }
    weights = io.read_checkpoint(golden / "v1_timm.safetensors").tensors
    told = f"timm True timm/tiny.case apache-2.0 {len(weights)}"
    assert ask(report("timm/tiny.case"), tmp_path, hub.url) == told
    fetched = [file for command, file, _ in hub.requests if command == "GET" and file]
    assert sorted(fetched) == ["config.json", "model.safetensors"]
    again = ask(report("hf-hub:timm/tiny.case@main"), tmp_path, hub.url, HF_HUB_OFFLINE="1")
    assert again == told.replace("timm/tiny.case", "hf-hub:timm/tiny.case@main")
    assert [file for command, file, _ in hub.requests if command == "GET" and file] == fetched


@pytest.mark.needs("huggingface_hub")
def test_what_broke_off_is_resumed(hub: Any, golden: Path, tmp_path: Path) -> None:
    body = (golden / "v1_hf.safetensors").read_bytes()
    hub.repositories["facebook/tiny"] = {
        "model.safetensors": body,
        "config.json": (golden / "v1_hf_config.json").read_bytes(),
    }
    hub.fault = "broken"
    small_steps = "import huggingface_hub.constants as c; c.DOWNLOAD_CHUNK_SIZE = 1000\n"
    said = ask(small_steps + report("facebook/tiny"), tmp_path, hub.url)
    assert said.startswith("huggingface True")
    ranges = [wanted for command, _, wanted in hub.requests if command == "GET" and wanted]
    assert ranges
    assert all(0 < int(wanted[6:-1]) <= len(body) // 2 for wanted in ranges)


@pytest.mark.needs("huggingface_hub")
def test_a_damaged_file_is_not_kept(hub: Any, golden: Path, tmp_path: Path) -> None:
    body = (golden / "v1_timm.safetensors").read_bytes()
    hub.repositories["timm/tiny"] = {"model.safetensors": body}
    hub.fault = "damaged"
    said = ask(report("timm/tiny"), tmp_path, hub.url)
    assert "timm/tiny: model.safetensors came damaged (SHA-256 " in said
    hub.fault = ""
    assert ask(report("timm/tiny"), tmp_path, hub.url).startswith("timm True")


@pytest.mark.needs("huggingface_hub")
def test_weights_in_several_files(hub: Any, golden: Path, tmp_path: Path) -> None:
    weights = io.read_checkpoint(golden / "v1_timm.safetensors").tensors
    names = list(weights)
    files: Files = {}
    for i, part in enumerate((names[::2], names[1::2])):
        io.save_file({n: weights[n] for n in part}, tmp_path / "part")
        files[f"model-{i}.safetensors"] = (tmp_path / "part").read_bytes()
    places = {name: f"model-{i % 2}.safetensors" for i, name in enumerate(names)}
    files["model.safetensors.index.json"] = json.dumps({"weight_map": places}).encode()
    hub.repositories["timm/large"] = files
    assert ask(report("timm/large"), tmp_path, hub.url).startswith("timm True")


@pytest.mark.needs("huggingface_hub")
def test_without_the_hub_it_is_said_what_to_fetch(hub: Any, tmp_path: Path) -> None:
    hub.repositories["timm/empty"] = {"README.md": b"nothing"}
    said = ask(report("timm/empty"), tmp_path, hub.url)
    assert "timm/empty: has none of model.safetensors, " in said
    said = ask(report("no/such"), tmp_path, hub.url)
    assert "no/such: cannot be read: no such file or folder here, and no such name" in said
    nowhere = {"HF_HUB_CACHE": "elsewhere"}
    said = ask(report("timm/empty"), tmp_path, hub.url, HF_HUB_OFFLINE="1", **nowhere)
    assert "timm/empty: no such file or folder, not in the cache (" in said
    assert f"fetch {hub.url}/timm/empty/resolve/main/model.safetensors by other means" in said
    assert "name that folder instead" in said


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtra, match=r"timm/convnext_atto: no such .* 'minigrad\[hub\]'"):
        models.convnext_tiny(pretrained="timm/convnext_atto")


def test_what_a_name_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_hub_name("facebook/convnext-tiny-224")
    assert is_hub_name("timm/convnext_atto.d2_in1k@0a1b2c")
    for path in ("model", "a/b.pth", "/a/b", "a/b/c", "../x", "./x", "a/b.safetensors", "~/x"):
        assert not is_hub_name(path)
    assert not is_hub_name(Path("timm/convnext"))
    Path("timm").mkdir()
    np.save("timm/x.npy", np.zeros(1))
    Path("timm/x.npy").rename("timm/x")
    assert not is_hub_name("timm/x")
