from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.cli import main
from minigrad.data import DataLoader, digits
from minigrad.errors import OptionError
from minigrad.train import BatchSizes, Trainer, find_batch_size, find_lr
from tests.train.test_trainer import bits


def fitting() -> Trainer:
    mg.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.1), nn.Linear(64, 10))
    optimizer = optim.SGD(optim.param_groups(model), lr=0.1, momentum=0.9)
    schedule = optim.WarmupCosineLR(optimizer, 100)
    return Trainer(model, optimizer, schedule=schedule, ema=optim.ModelEma(model, 0.9))


def test_the_rate_is_one_that_trains_and_nothing_has_changed() -> None:
    trainer, loader = fitting(), DataLoader(digits(), 64, shuffle=True)
    trainer.fit(loader, epochs=1)
    before = bits(copy.deepcopy(trainer.state_dict()))
    found = find_lr(trainer, loader, 1e-6, 1e4, steps=80)
    assert bits(trainer.state_dict()) == before
    assert found.rates[0] == pytest.approx(1e-6)
    assert found.rates[-1] < 1e4, "it ends where the loss diverges"
    assert 1e-5 < found.suggestion < found.rates[-1]
    find_batch_size(trainer, loader, most=4, steps=1)
    assert bits(trainer.state_dict()) == before
    with pytest.raises(OptionError, match="0 < lowest < highest"):
        find_lr(trainer, loader, 1.0, 0.1)


def test_batches_grow_until_memory_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, step = fitting(), Trainer.train_on_batch

    def limited(self: Trainer, inputs: Any, targets: Any) -> Any:
        if len(inputs) > 16:
            raise MemoryError
        return step(self, inputs, targets)

    monkeypatch.setattr(Trainer, "train_on_batch", limited)
    assert find_batch_size(trainer, DataLoader(digits(), 64), steps=1).sizes == (1, 2, 4, 8, 16)
    assert BatchSizes((1, 2, 4, 8), (10, 19, 29, 30), (0, 0, 0, 0)).suggestion == 4


def test_the_command_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "--depths", "1", "--dims", "4", "--output", str(tmp_path), "--find"]
    assert main([*words, "lr"]) == 0
    assert "the loss falls fastest at lr " in capsys.readouterr().out
    assert (tmp_path / "digits-lr.svg").read_text().count("<polyline") == 1
    assert not (tmp_path / "digits").exists()
