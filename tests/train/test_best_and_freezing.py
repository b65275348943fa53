"""Early stopping, the best epoch, freezing; in Python and by the command."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.cli import main
from minigrad.data import ArrayDataset, DataLoader
from minigrad.errors import OptionError
from minigrad.runs import TrainConfig, find_trained, prepare
from minigrad.train import (
    BestCheckpoint,
    Callback,
    EarlyStopping,
    Freeze,
    Trainer,
    best_epoch,
    load_checkpoint,
)

SMALL = ["--depths", "1", "1", "--dims", "4", "4", "--batch-size", "256", "--warmup-epochs", "0"]
LOSSES = [0.5, 0.4, 0.45, 0.39, 0.41, 0.42, 0.43]


class Scripted(Trainer):
    """A trainer whose validation losses are given."""

    def evaluate(self, loader: DataLoader) -> dict[str, float]:
        return {"loss": LOSSES[self.epoch]}


def scripted(*callbacks: Callback) -> tuple[Scripted, DataLoader]:
    mg.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    data = ArrayDataset(np.ones((4, 1, 2, 2), np.float32), np.array([0, 1, 0, 1]))
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    return Scripted(model, optimizer, callbacks=callbacks), DataLoader(data, 4)


def test_training_stops_and_the_best_weights_come_back(tmp_path: Path) -> None:
    seen: list[Any] = []

    class Note(Callback):
        def on_epoch_end(self, trainer: Trainer) -> None:
            seen.append(trainer.model.state_dict()["1.weight"].numpy().copy())

    best = BestCheckpoint(tmp_path / "best.safetensors")
    trainer, loader = scripted(Note(), best, EarlyStopping(patience=2))
    trainer.fit(loader, loader, epochs=7)
    assert len(trainer.history) == 6, "epoch 4 was the best, and two were not better"
    assert trainer.stopping
    assert best.restore(trainer) == 4
    np.testing.assert_array_equal(trainer.model.state_dict()["1.weight"], seen[3])

    again, loader = scripted(EarlyStopping(patience=2))
    again.load_state_dict(trainer.state_dict())
    assert len(again.fit(loader, loader, epochs=7)) == 6, "it had stopped already"


def test_what_is_better() -> None:
    rows = [{"val_loss": x, "val_accuracy": x} for x in LOSSES]
    assert best_epoch(rows, "val_loss") == 3
    assert best_epoch(rows, "val_accuracy") == 0
    assert best_epoch(rows, "val_loss", min_delta=0.05) == 1
    with pytest.raises(OptionError, match="unknown value to monitor 'val_los'"):
        best_epoch(rows, "val_los")


def test_frozen_parts_stay_and_are_let_go_from_the_last() -> None:
    wanted = {"depths": (1, 1), "dims": (4, 4), "freeze": "stem, stages.0, stages.1",
              "unfreeze_every": 1, "epochs": 3, "batch_size": 512, "lr": 0.1,
              "warmup_epochs": 0.0}  # fmt: skip
    experiment = prepare(TrainConfig.from_values(wanted))
    model = experiment.trainer.model
    states = [{name: p.detach().numpy().copy() for name, p in model.named_parameters()}]

    class Note(Callback):
        def on_epoch_end(self, trainer: Trainer) -> None:
            states.append({n: p.detach().numpy().copy() for n, p in model.named_parameters()})

    experiment.trainer.callbacks.append(Note())
    experiment.fit()
    moved = [
        {name.rsplit(".", 1)[0] for name in old if not np.array_equal(old[name], new[name])}
        for old, new in itertools.pairwise(states)
    ]
    first, second, third = (" ".join(names) for names in moved)
    assert "head" in first
    assert not {"stages", "downsample"} & set(first.replace("_", ".").split("."))
    assert "stages.1.0.dwconv" in second
    assert "downsample_layers.1.1" in second, "a stage has its downsampling"
    assert "stages.0" not in second
    assert "stages.0.0.dwconv" in third
    assert "downsample_layers.0" not in third


def test_an_epoch_is_judged_by_what_its_targets_have() -> None:
    with pytest.raises(
        OptionError, match="unknown monitor of pictures with numbers 'val_accuracy'"
    ):
        TrainConfig.from_values({"targets": "numbers", "patience": 3})
    TrainConfig.from_values({"targets": "numbers", "patience": 3, "monitor": "val_loss"})


def test_parts_that_make_no_sense() -> None:
    model = mg.models.ConvNeXt(num_classes=10, depths=(1, 1), dims=(8, 16))
    with pytest.raises(OptionError, match=r"unknown part of the model 'stages\.2'"):
        Freeze(model, ["stages.2"])
    with pytest.raises(OptionError, match="nothing is left to train"):
        Freeze(model, ["backbone", "norm", "head"])
    assert all(p.requires_grad for p in model.parameters())


def test_a_run_keeps_its_best_and_goes_on_beyond_its_plan(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", *SMALL, "--output", str(tmp_path), "--name", "r", "--keep-best"]
    assert main([*words, "--epochs", "2"]) == 0
    assert "was the best" in capsys.readouterr().out
    folder = tmp_path / "r"
    assert find_trained(str(folder)) == folder / "best.safetensors"
    assert load_checkpoint(folder / "checkpoint.safetensors")["epoch"] == 2
    assert main([*words, "--epochs", "4", "--resume"]) == 0
    said = capsys.readouterr().out
    assert "4 epochs now: the learning rate goes on with 0.002," in said  # half of a cosine's way
    state = load_checkpoint(folder / "checkpoint.safetensors")
    assert state["epoch"] == 4
    assert state["history"][2]["lr"] > state["history"][1]["lr"] == pytest.approx(0, abs=1e-9)
    assert "epochs = 4" in (folder / "config.toml").read_text()


def test_the_command_stops_early_and_freezes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        "train",
        *SMALL,
        "--output",
        str(tmp_path),
        "--name",
        "r",
        "--lr",
        "0",
        "--min-lr",
        "0",
    ]
    words += ["--patience", "1", "--freeze", "backbone", "--epochs", "9", "--monitor", "val_loss"]
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "stopped: val_loss was not better for 1 epochs" in said
    assert "epoch 2/9" in said
    assert "epoch 3/9" not in said
