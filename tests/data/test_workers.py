"""Batches that processes make are those that threads make."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import minigrad as mg
from minigrad.data import DataLoader, Mix, transforms
from minigrad.errors import DataError
from tests.clock import HANG


def test_processes_make_the_same_batches() -> None:
    """Augmented and mixed; what a loop leaves behind when it stops early is thrown away."""
    options = {
        "shuffle": True, "transform": transforms.RandomCrop(1), "mix": Mix(10, mixup=0.8),
        "num_workers": 1,
    }  # fmt: skip
    split = mg.data.Subset(mg.data.digits(), range(40))
    threads = DataLoader(split, 10, **options)
    processes = DataLoader(split, 10, processes=True, **options)
    made = processes.batches(2)
    for mine, theirs in zip(threads.batches(2, 0), made, strict=True):
        for a, b in zip(mine, theirs, strict=True):
            np.testing.assert_array_equal(a.numpy(), b.numpy())
            assert b.numpy().flags.owndata


def test_what_cannot_be_copied_into_a_process_is_refused() -> None:
    samples = [(np.zeros((1, 2, 2), np.float32), 0)]
    loader = DataLoader(samples, transform=lambda x, rng: x, num_workers=1, processes=True)
    with pytest.raises(DataError, match=r"by pickle, which failed: .*lambda.* use threads"):
        next(iter(loader))


def test_a_worker_that_dies_before_it_begins_is_not_waited_for(tmp_path: Path) -> None:
    """The data set is larger than the pipe that starts a process."""
    script = tmp_path / "script.py"
    script.write_text(
        "if __name__ != '__main__':\n"
        "    raise SystemExit\n"
        "from minigrad.data import DataLoader\n"
        "list(DataLoader([(b'x' * 200_000, 0)], num_workers=1, processes=True))\n"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    command = [sys.executable, str(script)]
    done = subprocess.run(command, capture_output=True, text=True, env=env, timeout=HANG)
    assert done.returncode == 1
    assert "a worker process ended before its batch was made" in done.stderr
    assert "leaked" not in done.stderr
