from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from minigrad.data import list_datasets
from minigrad.errors import DataError, OptionError
from minigrad.train import TrainConfig, read_toml
from minigrad.train.config import FOLDER, RECIPES


def test_every_data_set_has_a_recipe_that_is_valid() -> None:
    assert sorted(RECIPES) == list_datasets()
    for recipe in (*RECIPES.values(), FOLDER):
        TrainConfig.from_values(recipe)


def test_every_option_explains_itself() -> None:
    assert all(field.metadata["help"] for field in dataclasses.fields(TrainConfig))


def test_later_values_win_over_earlier_ones_and_over_the_recipe() -> None:
    config = TrainConfig.from_values({"data": "fashion-mnist", "epochs": 3, "lr": 1}, {"epochs": 5})
    assert config.epochs == 5
    assert config.lr == 1.0
    assert isinstance(config.lr, float)
    assert config.batch_size == RECIPES["fashion-mnist"]["batch_size"]


def test_a_folder_has_its_own_recipe() -> None:
    assert TrainConfig.from_values({"data": "some/folder"}).model == FOLDER["model"]


def test_toml_round_trip(tmp_path: Path) -> None:
    config = TrainConfig.from_values({"data": 'a "folder" \\ ü', "dims": (8, 16), "flip": True})
    (tmp_path / "a.toml").write_text(config.to_toml(), encoding="utf-8")
    assert TrainConfig.from_values(read_toml(tmp_path / "a.toml")) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"epoch": 3}, "unknown training option 'epoch'; did you mean 'epochs'"),
        ({"epochs": "many"}, "epochs must be a whole number, got 'many'"),
        ({"epochs": 2.5}, "epochs must be a whole number, got 2.5"),
        ({"epochs": True}, "epochs must be a whole number, got True"),
        ({"lr": "0.1"}, "lr must be a number, got '0.1'"),
        ({"flip": 1}, "flip must be true or false, got 1"),
        ({"dims": 32}, "dims must be a list of positive whole numbers, got 32"),
        ({"dims": [32, 0]}, "dims must be a list of positive whole numbers"),
        ({"dims": []}, "dims must be a list of positive whole numbers"),
        ({"depths": [1, 1, 1]}, r"depths \(1, 1, 1\) and dims .* one number per stage"),
        ({"epochs": 0}, "epochs must be 1 or more, got 0"),
        ({"lr": -1}, "lr must be 0 or more, got -1"),
        ({"ema": 1.5}, "ema must lie between 0 and 1"),
        ({"schedule": "cosin"}, "unknown schedule 'cosin'; did you mean 'cosine'"),
    ],
)
def test_bad_values_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        TrainConfig.from_values(values)


def test_bad_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.toml: cannot be read \(No such file"):
        read_toml(tmp_path / "none.toml")
    (tmp_path / "bad.toml").write_text("epochs = \n")
    with pytest.raises(DataError, match=r"not a TOML file \(Invalid value \(at line 1"):
        read_toml(tmp_path / "bad.toml")
