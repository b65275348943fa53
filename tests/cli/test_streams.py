"""What the command writes where: pipes that close, poor terminals, Ctrl-C, exit statuses."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from minigrad.cli import commands, main
from minigrad.errors import DataError, MinigradError, OptionError
from tests.clock import HANG

ENV = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
TINY = ["--epochs", "2", "--depths", "1", "--dims", "4", "--batch-size", "256"]


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def shell(line: str, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    line = line.replace("minigrad", f"'{sys.executable}' -m minigrad")
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line],
        cwd=folder, capture_output=True, text=True, env={**ENV, **env}, timeout=HANG,
    )  # fmt: skip


@pytest.mark.skipif(os.name != "posix", reason="a shell's pipes")
@pytest.mark.parametrize(
    "words",
    ["models", "doctor", "data", "train --help", "summary convnextv2 --depths 1 --dims 4 --size 8"],
)
def test_a_reader_that_leaves_is_no_error(words: str, tmp_path: Path) -> None:
    done = shell(f"minigrad {words} | true", tmp_path)
    assert done.stderr == ""
    assert done.returncode == 0


@pytest.mark.skipif(os.name != "posix", reason="a shell's pipes")
def test_a_training_that_nobody_reads_stops_and_says_so(tmp_path: Path) -> None:
    done = shell(f"minigrad train {' '.join(TINY)} | true", tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "go on with: minigrad train --output runs --name digits --resume" in done.stderr


@pytest.mark.parametrize(
    "words", ["data", "models", "summary convnextv2 --depths 1 --dims 4 --size 8"]
)
def test_a_terminal_of_ascii_is_served(words: str, tmp_path: Path) -> None:
    done = shell(f"minigrad {words}", tmp_path, PYTHONIOENCODING="ascii", LC_ALL="C")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.isascii()


def test_what_goes_into_a_pipe_has_no_codes_of_terminals(tmp_path: Path) -> None:
    for line in (
        f"minigrad train {' '.join(TINY)} 2>&1 | cat",
        "minigrad summary convnextv2 --depths 1 --dims 4 --size 8 | cat",
        "minigrad models | cat",
    ):
        done = shell(line, tmp_path)
        assert done.returncode == 0
        assert not re.search(r"[\x1b\r\x08]", done.stdout)


def test_a_key_at_any_moment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    """Ctrl-C before the training, in it and in its last evaluation: 130, and how to go on."""

    def pressed(*args: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("minigrad.runs.task.load_split", pressed)
        assert main(["train", *TINY]) == 130
    out, err = capsys.readouterr()
    assert (out, err) == ("", "minigrad: interrupted\n")
    assert not Path("runs").exists()

    with monkeypatch.context() as patch:
        patch.setattr("minigrad.train.Trainer.predict", pressed)
        assert main(["train", *TINY]) == 130
    out, err = capsys.readouterr()
    assert "training is done; only its last evaluation is missing" in out
    assert "runs/digits/checkpoint.safetensors holds 2 of 2 epochs" in out
    assert out.endswith("go on with: minigrad train --output runs --name digits --resume\n")
    assert err == "minigrad: interrupted\n"

    assert main(["train", "--name", "digits", "--resume"]) == 0
    assert "accuracy on 360 held-out images" in capsys.readouterr().out

    with monkeypatch.context() as patch:
        patch.setattr("minigrad.train.Trainer._step", pressed)
        assert main(["train", *TINY]) == 130
    out, _ = capsys.readouterr()
    assert "nothing of it is kept yet" in out
    assert main(["train", "--name", "digits-2", "--resume"]) == 0


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (OptionError("wrong"), 2, "wrong"),
        (DataError("broken"), 2, "broken"),
        (MinigradError("the loss is nan"), 1, "the loss is nan"),
        (MemoryError(), 1, "the memory does not suffice"),
        (OSError(28, "No space left on device", "a.svg"), 1, "a.svg: No space left on device"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_statuses(
    error: BaseException, status: int, said: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def fail(*args: object) -> int:
        raise error

    monkeypatch.setattr("minigrad.cli.models.run", fail)
    assert main(["models"]) == status
    err = capsys.readouterr().err
    assert err.startswith(f"minigrad: {said}")
    assert err.count("\n") == 1


def test_a_training_that_diverges_fails(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", *TINY, "--lr", "1e30", "--warmup-epochs", "0", "--optimizer", "sgd"]
    assert main(words) == 1
    err = capsys.readouterr().err
    assert "lower the learning rate" in err
    assert "Traceback" not in err


@pytest.mark.parametrize("name", commands())
def test_examples_of_the_help_are_words_of_the_command(name: str) -> None:
    """Each line parses, also of what comes after; files and runs that it names need not be here."""
    from minigrad.cli import build_parser

    lines = [line.strip() for line in commands()[name].EXAMPLES.splitlines()[1:]]
    used = set()
    for line in lines:
        words = re.split(r"  +| > ", line)[0].split()
        assert words[0] == "minigrad"
        used.add(build_parser().parse_args(words[1:]).command)
    assert name in used or not lines


def test_no_default_is_printed_empty(capsys: pytest.CaptureFixture[str]) -> None:
    for name in commands():
        with pytest.raises(SystemExit):
            main([name, "--help"])
        text = capsys.readouterr().out
        assert "(default: )" not in text
        assert "None" not in text
        assert text.count("(default:") == len(re.findall(r"\(default:\s+[^)]+\)", text))
