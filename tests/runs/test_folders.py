"""Run folders: two runs at once, and a run that is still going."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import tomllib
from pathlib import Path

import pytest

from minigrad import backend
from minigrad.cli import main
from minigrad.errors import DataError, OptionError
from minigrad.runs import TrainConfig, prepare
from minigrad.runs.folders import check_output, claimed, free_name, held, latest
from minigrad.runs.parts import build_model
from tests.clock import HANG, until

ROOT = Path(__file__).parents[2]
ENV = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
TINY = ["--depths", "1", "--dims", "4", "--batch-size", "256"]
fcntl = pytest.importorskip("fcntl", reason="runs are held by fcntl")


def start(folder: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "minigrad", *words, "--output", str(folder)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENV,
    )  # fmt: skip


def started(folder: Path, name: str) -> subprocess.Popen[str]:
    """Start a long run and wait until its first checkpoint is there."""
    words = ["train", "--epochs", "100000", "--name", name, *TINY]
    process = start(folder, *words)
    checkpoint = folder / name / "checkpoint.safetensors"
    until(lambda: checkpoint.exists() or process.poll() is not None)
    assert process.poll() is None, process.communicate()
    return process


def test_runs_that_are_started_together_get_folders_of_their_own(tmp_path: Path) -> None:
    seeds = range(4)
    runs = [
        start(tmp_path, "train", "--epochs", "1", "--seed", str(seed), "--name", "same", *TINY)
        for seed in seeds
    ]
    said = [run.communicate(timeout=HANG) for run in runs]
    assert [run.returncode for run in runs] == [0] * len(runs), said
    configs = [tomllib.loads(path.read_text()) for path in tmp_path.glob("*/config.toml")]
    assert sorted(config["seed"] for config in configs) == list(seeds)


def test_names_are_given_out_once_to_many_threads(tmp_path: Path) -> None:
    found: list[Path] = []
    ready = threading.Barrier(16)

    def take() -> None:
        ready.wait()
        with claimed(tmp_path / "runs", "a") as folder:
            found.append(folder)

    threads = [threading.Thread(target=take) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(path.name for path in found) == sorted(["a", *(f"a-{i}" for i in range(2, 17))])


def test_a_run_that_goes_on_is_not_resumed_but_can_be_looked_at(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    process = started(tmp_path, "long")
    try:
        again = ["train", "--resume", "--name", "long", "--output", str(tmp_path)]
        before = (tmp_path / "long" / "config.toml").read_bytes()
        assert main(again) == 2
        err = capsys.readouterr().err
        assert "this run is still going, in another process" in err
        assert (tmp_path / "long" / "config.toml").read_bytes() == before
        assert main(["val", "--checkpoint", str(tmp_path / "long")]) == 0
        assert "held-out images of digits" in capsys.readouterr().out
    finally:
        process.send_signal(signal.SIGKILL)  # nothing can be tidied up
        process.communicate()
    with held(tmp_path / "long"):  # and yet the run is free
        pass


def test_of_two_that_resume_at_once_one_is_refused(tmp_path: Path) -> None:
    first = started(tmp_path, "it")
    first.kill()
    first.communicate()
    two = [start(tmp_path, "train", "--resume", "--name", "it") for _ in range(2)]
    try:
        over = until(lambda: [run for run in two if run.poll() is not None])
        assert [run.returncode for run in over] == [2]
    finally:
        for run in two:
            run.kill()
    said = over[0].communicate()[1]
    assert "this run is still going" in said
    for run in two:
        run.communicate()


def test_what_holds_and_what_frees(tmp_path: Path) -> None:
    with claimed(tmp_path, "a") as folder:
        assert folder == tmp_path / "a"
        with pytest.raises(OptionError, match="still going"), held(folder):
            pass
        assert list(folder.iterdir()) == []  # no file is left behind
    with held(folder), claimed(tmp_path, "a") as other:
        assert other.name == "a-2"
    with pytest.raises(OptionError, match="unknown run 'b'"), held(tmp_path / "b"):
        pass
    assert free_name(tmp_path, "a") == "a-3"


def test_folders_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for output in (tmp_path / "file", tmp_path / "file" / "deep" / "er"):
        with pytest.raises(DataError, match="is a file"):
            check_output(output)
        assert main(["train", *TINY, "--output", str(output)]) == 2
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o500)
    if os.geteuid():  # root may write anywhere
        with pytest.raises(DataError, match="must not be written to"):
            check_output(closed / "new")
    check_output(tmp_path / "new" / "er")
    assert not (tmp_path / "new").exists()


def test_the_latest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OptionError, match="no trained model below runs/"):
        latest(["checkpoint.safetensors"])
    for age, name in ((5, "old"), (1, "new"), (3, "other")):
        path = tmp_path / "runs" / name / "checkpoint.safetensors"
        path.parent.mkdir(parents=True)
        path.write_text("")
        os.utime(path, (1e9 - age, 1e9 - age))
    assert latest(["checkpoint.safetensors"]).parent.name == "new"


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/", "a/", "x" * 300, "ü" * 150, "a\0b"])
def test_names_that_are_no_folders(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert (
        main(["train", "--epochs", "1", *TINY, "--output", str(tmp_path / "o"), "--name", name])
        == 2
    )
    assert capsys.readouterr().err.startswith("minigrad: --name must ")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--patch-size 100", "an input of 8×8 vanishes"),
        ("--image-size 1 --patch-size 2", "an input of 1×1 vanishes"),
        ("--precision bfloat16", "bfloat16 needs the ml_dtypes package"),
        ("--device cuda", "device 'cuda'"),
        ("--device cuda:7", "device 'cuda"),
    ],
)
def test_what_cannot_be_trained_leaves_no_folder(
    words: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    if "device" in words and backend.cuda_is_available():
        pytest.skip("a GPU is here")
    monkeypatch.setitem(sys.modules, "ml_dtypes", None)
    monkeypatch.setattr(
        "minigrad.runs.classification.build_model", _never if "-size" not in words else build_model
    )
    assert main(["train", *TINY, *words.split(), "--output", str(tmp_path)]) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def _never(*args: object) -> None:
    raise AssertionError("the machine is asked before a model is built")


def test_a_folder_of_pictures_wants_pillow_before_a_model_is_built(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        (tmp_path / "pets" / name / "a.png").write_bytes(b"")
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.setattr("minigrad.runs.classification.build_model", _never)
    words = ["train", "--data", str(tmp_path / "pets"), "--output", str(tmp_path / "runs")]
    assert main(words) == 2
    assert "pip install 'minigrad[images]'" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_rehearsal_changes_nothing() -> None:
    options = {"epochs": 2, "depths": (1,), "dims": (4,), "batch_size": 256, "drop_path": 0.5}
    histories = []
    for rehearse in (False, True):
        experiment = prepare(TrainConfig(**options))
        if rehearse:
            experiment.rehearse()
            assert experiment.trainer.model.training
        histories.append([(row["train_loss"], row["val_loss"]) for row in experiment.fit()])
    assert histories[0] == histories[1]
