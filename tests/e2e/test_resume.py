"""A run that is killed again and again ends with the same bits as one that was left alone."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minigrad.io import load_file
from minigrad.train import load_checkpoint
from tests.clock import until

KILLS = 10
ENV = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
OPTIONS = [
    "--epochs", "15", "--depths", "1", "1", "--dims", "8", "16", "--drop-path", "0.2",
    "--ema", "0.9", "--mixup", "0.2", "--crop", "1", "--checkpoint-every", "3", "--name", "it",
]  # fmt: skip


def train(folder: Path, *more: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-m", "minigrad", "train", "--output", str(folder), *OPTIONS, *more]
    return subprocess.Popen(
        words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENV
    )


def wait_for_checkpoints(process: subprocess.Popen[str], path: Path, count: int) -> None:
    """Wait until the command has replaced its checkpoint so often: however fast the machine is."""

    def written() -> int:
        return path.stat().st_mtime_ns if path.exists() else 0

    last = written()
    for _ in range(count):
        until(lambda last=last: process.poll() is not None or written() != last)
        assert process.poll() is None, process.communicate()
        last = written()


def finish(process: subprocess.Popen[str]) -> None:
    _, err = process.communicate()
    assert process.returncode == 0, err


def arrays(folder: Path) -> dict[str, bytes]:
    """Return weights, optimizer, average and random state, as bytes."""
    found, _ = load_file(folder / "it" / "checkpoint.safetensors")
    return {name: array.tobytes() for name, array in found.items()}


def history(folder: Path) -> list[dict[str, float]]:
    lines = (folder / "it" / "log.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]


@pytest.mark.slow
def test_ten_kills_at_random_moments(tmp_path: Path) -> None:
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    finish(train(calm))

    rng = random.Random(0)
    path = killed / "it" / "checkpoint.safetensors"
    steps = []  # that the checkpoint held at each kill
    while len(steps) < KILLS:
        process = train(killed, *(["--resume"] if (killed / "it").is_dir() else []))
        if rng.random() < 0.8:
            wait_for_checkpoints(process, path, rng.randrange(1, 8))
            time.sleep(rng.uniform(0, 0.02))
        else:  # while it starts
            time.sleep(rng.uniform(0, 0.5))
        process.kill()  # SIGKILL: nothing can be tidied up
        process.communicate()
        steps.append(load_checkpoint(path)["step"] if path.exists() else 0)
    finish(train(killed, "--resume"))

    assert steps == sorted(steps)
    assert len(set(steps)) >= 4, f"the kills hit too few different moments: {steps}"
    assert arrays(killed) == arrays(calm)
    assert history(killed) == history(calm)
    assert not list(killed.rglob("*.tmp"))
