"""A run that is killed again and again ends with the same bits as one that was left alone."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from minigrad.io import load_file

KILLS = 10
OPTIONS = [
    "--epochs", "4", "--depths", "1", "1", "--dims", "8", "16", "--drop-path", "0.2",
    "--ema", "0.9", "--mixup", "0.2", "--crop", "1", "--checkpoint-every", "3", "--name", "it",
]  # fmt: skip


def train(folder: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "minigrad", "train", "--output", str(folder), *OPTIONS, *more]


def weights(folder: Path) -> dict[str, bytes]:
    return {
        k: v.tobytes() for k, v in load_file(folder / "it" / "checkpoint.safetensors")[0].items()
    }


def history(folder: Path) -> list[dict[str, float]]:
    lines = (folder / "it" / "log.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]


@pytest.mark.slow
def test_ten_kills_at_random_moments(tmp_path: Path) -> None:
    calm, killed = tmp_path / "calm", tmp_path / "killed"
    start = time.perf_counter()
    subprocess.run(train(calm), check=True, capture_output=True)
    duration = time.perf_counter() - start

    rng = random.Random(0)
    kills = 0
    while kills < KILLS:
        more = ["--resume"] if (killed / "it").is_dir() else []
        with subprocess.Popen(
            train(killed, *more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                _, err = process.communicate(timeout=rng.uniform(0.2, 0.5) * duration)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.communicate()
                kills += 1
                continue
        assert process.returncode == 0, err
        break
    subprocess.run(train(killed, "--resume"), check=True, capture_output=True)
    assert kills > 3, "the run was over before it had been killed often enough"
    assert weights(killed) == weights(calm)
    assert history(killed) == history(calm)
    assert not list(killed.rglob("*.tmp"))
    assert all(np.isfinite(row["train_loss"]) for row in history(calm))
