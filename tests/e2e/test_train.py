"""The command `minigrad train` as a user types it, in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clock import HANG

ENV = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
SMALL = ["--depths", "1", "--dims", "4"]


def command(*options: str) -> list[str]:
    return [sys.executable, "-m", "minigrad", "train", *options]


def run(words: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(words, cwd=folder, capture_output=True, text=True, env=ENV)


def test_a_tiny_training(tmp_path: Path) -> None:
    done = run(command("--epochs", "2", *SMALL), tmp_path)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if not line.startswith("compiling")]
    assert lines[1].startswith("epoch 1/2  train loss ")
    assert (tmp_path / "runs" / "digits" / "curves.svg").is_file()


@pytest.mark.slow
def test_the_default_training_reaches_98_percent_in_little_work(tmp_path: Path) -> None:
    before = os.times()
    done = run(command(), tmp_path)
    after = os.times()
    assert done.returncode == 0, done.stderr
    found = re.search(r"accuracy on 360 held-out images: ([\d.]+) %", done.stdout)
    assert found is not None
    assert float(found[1]) >= 98.0
    # Processor time, several times what it takes: the machine may be slow and busy.
    user, system = (after[i] - before[i] for i in (2, 3))  # of processes that have ended
    assert user + system < 120


def test_ctrl_c_saves_a_checkpoint_and_says_how_to_go_on(tmp_path: Path) -> None:
    with subprocess.Popen(
        command("--epochs", "1000", *SMALL),
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENV,
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("epoch"):
                break
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=HANG)
    assert process.returncode == 130
    assert err == "minigrad: interrupted\n"
    assert "stopped; go on with: minigrad train --output runs --name digits --resume" in out
    assert (tmp_path / "runs" / "digits" / "checkpoint.safetensors").is_file()


def test_an_error_is_one_line_and_status_2(tmp_path: Path) -> None:
    done = run(command("--data", "digitz"), tmp_path)
    assert done.returncode == 2
    assert done.stderr.startswith("minigrad: unknown data set 'digitz'; did you mean 'digits'?")
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(os.name != "posix", reason="resource limits are POSIX")
def test_a_full_disk_leaves_no_half_file(tmp_path: Path) -> None:
    limited = (
        "import resource, sys; from minigrad.cli import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        f"sys.exit(main({command('--epochs', '1', *SMALL)[3:]}))"
    )
    done = run([sys.executable, "-c", limited], tmp_path)
    assert done.returncode == 2
    message = "checkpoint.safetensors: cannot be saved (File too large); nothing was written"
    assert message in done.stderr
    files = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert files == ["config.toml"]
