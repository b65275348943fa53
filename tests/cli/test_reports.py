"""`report` and `compare`: what the folders of runs tell, and what they refuse."""

from __future__ import annotations

import html.parser
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from minigrad.cli import main
from minigrad.runs import TrainConfig, read_run
from minigrad.runs.config import read_notes, read_toml
from tests.cli.command import run

TINY = ["--depths", "1", "--dims", "4", "--batch-size", "256"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs that are done, and one that was stopped before its first epoch ended."""
    folder = tmp_path_factory.mktemp("reports")
    before = Path.cwd()
    os.chdir(folder)
    try:
        assert main(["train", "--epochs", "1", "--name", "<a>", *TINY]) == 0
        assert main(["train", "--epochs", "2", "--name", "b", "--lr", "0.02", *TINY]) == 0
    finally:
        os.chdir(before)
    (folder / "runs/young").mkdir()
    shutil.copy(folder / "runs/b/config.toml", folder / "runs/young")
    return folder / "runs"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


class Page(html.parser.HTMLParser):
    """Notes headings, and every address that a browser would fetch; refuses what is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.headings: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "img", "br", "link", "input"):
            self.open.append(tag)
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        assert tag not in ("script", "link", "iframe")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "h2":
            self.headings.append(data)


def test_a_report_has_all_of_a_run_and_asks_nothing_else(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = run(capsys, "report", str(runs / "<a>"), "-o", "page.html")
    assert (status, err) == (0, "")
    assert out == "page.html: the run as a page\n"
    text = Path("page.html").read_text()
    page = Page(text)
    assert page.headings == [
        "Course", "Data", "Held-out data", "The worst mistakes", "Where the model found that",
        "Model", "Pictures with what the model takes them for", "Options",
        "What was chosen, and where it was trained",
    ]  # fmt: skip
    assert all(address.startswith("data:image/") for address in page.addresses)
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/)", text)
    assert "<h1>&lt;a&gt;: convnextv2</h1>" in text
    assert 'class="warning"' not in text
    row = read_run(runs / "<a>").history[-1]
    assert f"epoch 1 with {row['val_accuracy']:.4f}" in text
    assert f"loss {row['val_loss']:.4f} acc {100 * row['val_accuracy']:.2f} %" in text
    for name in TrainConfig().to_dict():  # every option, chosen or not
        assert f">{name}</td>" in text
    assert "expected calibration" in text or "ECE " in text
    assert "NumPy: " in text


def test_a_report_of_what_is_half_there(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The rest is on the page, and what is missing is said."""
    shutil.copytree(runs, "runs")
    Path("runs/b/checkpoint.safetensors").write_bytes(b"damaged")
    Path("runs/b/predictions.svg").unlink()
    Path("runs/<a>/log.jsonl").write_text("no log")
    config = Path("runs/<a>/config.toml")
    config.write_text(config.read_text().replace('data = "digits"', 'data = "gone/away"'))
    for name, said in (
        ("young", ["no epoch is done", "no such file", "there is no checkpoint.safetensors, so"]),
        ("b", ["2 of 2 epochs", "the model cannot be loaded: ", "there is no predictions.svg"]),
        ("<a>", ["no epoch is told of", "no log of a run"]),
    ):
        status, _, err = run(capsys, "report", f"runs/{name}")
        assert (status, err) == (0, "")
        text = Path(f"runs/{name}/report.html").read_text()
        assert Page(text).headings[-2:] == ["Options", "What was chosen, and where it was trained"]
        for words in said:
            assert words.lower() in text.lower(), (name, words)


@pytest.mark.parametrize("command", ["report", "compare"])
def test_what_is_no_run_is_refused(
    runs: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    shutil.copytree(runs / "b", "bad")
    Path("bad/config.toml").write_text("colour = 3\n")
    Path("empty").mkdir()
    own = [] if command == "report" else [str(runs / "b")]
    new = "new.html" if command == "report" else "new.svg"
    for place, message in (
        (str(runs / "c"), f"unknown run '{runs / 'c'}'"),
        ("empty", "empty: a folder, but not of a run (looked for config.toml)"),
        (str(runs / "b/log.csv"), "a file; name the folder of a run"),
        ("bad", "bad/config.toml: these are options of no task"),
        ("x" * 5000, "unknown run"),
    ):
        status, out, err = run(capsys, command, *own, place, "-o", new)
        assert (status, out) == (2, ""), place
        assert message in err
        assert err.count("\n") == 1
    if command == "report":
        for more in (["--data", "nowhere"], ["--device", "cuda:99"]):
            status, out, _ = run(capsys, "report", str(runs / "b"), "-o", new, *more)
            assert (status, out) == (2, "")
    assert not Path(new).exists()
    Path("folder.svg").mkdir()
    for output, message in ((f"no/{new}", "there is no folder no"), ("folder.svg", "a folder")):
        status, out, err = run(capsys, command, *own, str(runs / "<a>"), "-o", output)
        assert (status, out) == (2, "")
        assert message in err


def test_a_run_tells_why_and_where(runs: Path, tmp_path: Path) -> None:
    """As comments that do not change what is read; also where a class has a wild name."""
    text = TrainConfig().to_toml("chosen for \x01\udc80\x7f\nwhy = 3\n\nNumPy: 2")
    (tmp_path / "a.toml").write_text(text)
    config = TrainConfig.from_values(read_toml(tmp_path / "a.toml"))
    assert config == TrainConfig()
    assert read_notes(tmp_path / "a.toml") == "chosen for ???\nwhy = 3\n\nNumPy: 2"
    assert read_notes(runs / "b/config.toml").startswith("minigrad: ")


def test_runs_are_laid_side_by_side(runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, err = run(capsys, "compare", *(str(runs / name) for name in ("<a>", "b", "young")))
    assert (status, err) == (0, "")
    table = dict(re.findall(r"^(.+?)  +(.+)$", out, re.M))
    last = [read_run(runs / name).history[-1]["val_loss"] for name in ("<a>", "b")]
    assert table["lr"].split() == ["0.004", "0.02", "0.02"]
    assert table["epochs"].split() == ["1", "2", "0"]
    assert [float(x) for x in table["val_loss"].split()[:2]] == pytest.approx(last, abs=5.1e-5)
    assert table["val_loss"].split()[2] == "–"
    assert "batch_size" not in table  # it is the same
    drawing = Path("comparison.svg").read_text()
    assert drawing.count("<polyline") == 3 * 4  # a run without an epoch has an empty line
    for name in ("&lt;a&gt;", "b", "young"):
        assert f">{name}</text>" in drawing
    for words, message in (
        ([str(runs / "b")], "two runs or more are compared"),
        ([str(runs / "b"), str(runs / "young" / ".." / "b")], "a run is named twice"),
        ([str(runs / "b"), str(runs / "<a>"), "-o", "a.png"], "unknown ending '.png'"),
    ):
        status, out, err = run(capsys, "compare", *words)
        assert (status, out) == (2, "")
        assert message in err


def test_a_picture_is_explained_by_several_layers(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.save("a.npy", np.random.default_rng(0).random((8, 8), np.float32))
    words = ["explain", "a.npy", "--model", str(runs / "b"), "-o", "a.png"]
    for more, said in (
        ([], "shows where the last stage finds it"),
        (["--method", "layer-cam"], "shows where the last stage finds it"),  # there is one
        (["--method", "layer-cam", "--layer", "stages.0,stages.0.0.dwconv"], "dwconv find it"),
    ):
        status, out, err = run(capsys, *words, *more)
        assert (status, err) == (0, "")
        assert said in out
        assert Path("a.png").read_bytes()[:4] == b"\x89PNG"
    status, _, err = run(capsys, *words, "--layer", "stages.0,stages.0.0")
    assert status == 2
    assert "several are combined by --method layer-cam" in err
    status, _, err = run(capsys, *words, "--method", "layer-cam", "--layer", "stages.0,stges.1")
    assert status == 2
    assert "unknown module" in err


def test_runs_without_an_epoch_have_no_curves(
    runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(runs / "young", "younger")
    status, out, err = run(capsys, "compare", str(runs / "young"), "younger")
    assert (status, err) == (0, "")
    assert out.splitlines()[1].split() == ["epochs", "0", "0"]
    assert not Path("comparison.svg").exists()
