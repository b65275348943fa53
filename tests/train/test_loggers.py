"""What loggers write, read again by their own means."""

from __future__ import annotations

import json
import sqlite3
import struct
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from minigrad.cli import main
from minigrad.runs import read_run
from minigrad.train import loggers

TINY = ["--depths", "1", "--dims", "4", "--batch-size", "512"]


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def events(folder: Path) -> list[Any]:
    """Return all events of a folder, oldest first: records of a length, a message, checksums."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in folder.glob("events.out.tfevents.*"):
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            found.append(Event.FromString(content[12 : 12 + length]))
            content = content[16 + length :]
    return sorted(found, key=lambda event: event.wall_time)


@pytest.mark.needs("tensorboardX")
def test_tensorboard_is_told_every_epoch_and_where_a_run_goes_on() -> None:
    assert main(["train", *TINY, "--epochs", "1", "--log-to", "tensorboard"]) == 0
    assert main(["train", "--resume", "--name", "digits", "--epochs", "2"]) == 0
    scalars: dict[int, dict[str, float]] = {1: {}, 2: {}}
    purged = []
    for event in events(Path("runs/digits/tensorboard")):
        if event.HasField("session_log"):
            purged.append(event.step)
        for value in event.summary.value:
            scalars[event.step][value.tag] = value.simple_value
    assert purged == [2]
    for row in read_run("runs/digits").history:
        wanted = {"lr": row["lr"], "seconds": row["seconds"]}
        for name in ("loss", "accuracy"):
            wanted |= {f"{name}/{part}": row[f"{part}_{name}"] for part in ("train", "val")}
        wanted["smoothing/train"] = row["train_smoothing"]
        assert scalars[int(row["epoch"])] == pytest.approx(wanted, rel=1e-6)


@pytest.mark.needs("trackio")
def test_trackio_keeps_every_epoch_and_the_options(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "kept"))  # it looks when it is imported
    for name in [name for name in sys.modules if name.split(".")[0] == "trackio"]:
        monkeypatch.delitem(sys.modules, name)
    assert main(["train", *TINY, "--epochs", "1", "--log-to", "trackio"]) == 0
    assert main(["train", "--resume", "--name", "digits", "--epochs", "2"]) == 0
    with closing(sqlite3.connect(tmp_path / "kept" / "minigrad.db")) as database:
        rows = database.execute("SELECT run_name, step, metrics FROM metrics ORDER BY step")
        found = {(name, step): json.loads(metrics) for name, step, metrics in rows}
        (config,) = database.execute("SELECT config FROM configs").fetchone()
    assert json.loads(config)["batch_size"] == 512
    for row in read_run("runs/digits").history:
        told = found.pop(("digits", int(row["epoch"])))
        assert told["loss/val"] == pytest.approx(row["val_loss"])
        assert told["lr"] == row["lr"]
    assert not found


def test_a_logger_that_is_not_there_is_refused_at_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(loggers, "find_spec", lambda name: None)
    for name, message in (
        ("tensorboard", "tensorboardX is not installed; run: pip install 'minigrad[loggers]'"),
        ("trackio", "trackio is not installed; run: pip install 'minigrad[loggers]'"),
        ("tensorbord", "unknown logger 'tensorbord'; did you mean 'tensorboard'?"),
    ):
        assert main(["train", *TINY, "--log-to", name]) == 2
        assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
