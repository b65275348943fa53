"""Epochs that fit into given minutes."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

from minigrad.backend import use_kernels
from minigrad.cli import main
from minigrad.runs import TrainConfig, read_toml, runner, tasks
from minigrad.runs.pace import seconds_of_epoch
from tests.train.test_trainer import bits

SMALL = {"depths": (1,), "dims": (4,), "batch_size": 512}


def test_the_steps_that_tell_it_are_undone() -> None:
    with use_kernels("reference"):  # nothing to compile
        experiment = tasks["train"].prepare(TrainConfig.from_values(SMALL, {"ema": 0.9}))
        before = bits(copy.deepcopy(experiment.trainer.state_dict()))
        assert seconds_of_epoch(experiment) > 0
    assert bits(experiment.trainer.state_dict()) == before


def test_a_budget_takes_epochs_away(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "seconds_of_epoch", lambda experiment: 29.0)
    words = ["train", "--depths", "1", "--dims", "4", "--batch-size", "512", "--epochs", "5"]
    words += ["--output", str(tmp_path), "--minutes"]
    with use_kernels("reference"):
        assert main([*words, "1", "--name", "short"]) == 0
        assert "2 of the 5 epochs, about 58 s on this machine" in capsys.readouterr().out
        saved = read_toml(tmp_path / "short" / "config.toml")
        assert (saved["epochs"], saved["warmup_epochs"]) == (2, pytest.approx(0.8))
        assert len((tmp_path / "short" / "log.jsonl").read_text().splitlines()) == 2
        assert main([*words, "0.4", "--name", "none"]) == 2
    assert "minutes=0.4 are less than one epoch takes here, about 29 s" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
