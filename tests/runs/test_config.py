from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from minigrad.data import list_datasets
from minigrad.errors import DataError, OptionError
from minigrad.runs import PretrainConfig, SegmentConfig, Task, TrainConfig, read_toml, tasks
from minigrad.runs.config import SYNONYMS


@pytest.mark.parametrize("task", tasks.values(), ids=lambda task: task.name)
def test_every_data_set_and_recipe_of_a_task_is_valid(task: Task[Any]) -> None:
    config = task.config
    names = list_datasets(config.masks)
    assert set(config.recipes) <= set(names)
    for name in names:
        made = config.from_values({"data": name})
        assert made == config(**{"data": name, **config.recipes.get(name, {})})
    config.from_values(config.folder)


@pytest.mark.parametrize("task", tasks.values(), ids=lambda task: task.name)
def test_a_task_explains_itself(task: Task[Any]) -> None:
    assert task.help.endswith(".")
    assert f"  minigrad {task.name} " in task.examples
    assert all(task.files.values())
    assert all(field.metadata["help"] for field in dataclasses.fields(task.config))


def test_what_tells_tasks_apart_is_their_own() -> None:
    for fact in ("name", "checkpoint", "config"):
        assert len({getattr(task, fact) for task in tasks.values()}) == len(tasks), fact


def test_later_values_win_over_earlier_ones_and_over_the_recipe() -> None:
    config = TrainConfig.from_values({"data": "fashion-mnist", "epochs": 3, "lr": 1}, {"epochs": 5})
    assert config.epochs == 5
    assert config.lr == 1.0
    assert isinstance(config.lr, float)
    assert config.batch_size == TrainConfig.recipes["fashion-mnist"]["batch_size"]


def test_a_folder_has_its_own_recipe() -> None:
    assert TrainConfig.from_values({"data": "some/folder"}).model == TrainConfig.folder["model"]


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
        ({"unfreeze_every": 1}, "unfreeze_every lets go of frozen parts: name them with freeze"),
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


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a = " + b"[" * 5000, r"not a TOML file \(maximum recursion depth"),
        (b"a = " + b"9" * 5000, r"not a TOML file \(Exceeds the limit"),
        (b"#" * 20_000, r"not a TOML file \(it is larger than 16,000 bytes"),
        ('data = "é"'.encode("latin-1"), "not a TOML file .*; save it as UTF-8"),
        ('data = "x"'.encode("utf-16"), "not a TOML file .*; save it as UTF-8"),
        (b'data = "a\0b"', "not a TOML file"),
    ],
)
def test_whatever_is_wrong_with_a_toml_file_is_said(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "a.toml").write_bytes(content)
    with pytest.raises(DataError, match=message):
        read_toml(tmp_path / "a.toml")
    with pytest.raises(DataError, match="is a folder; name a file"):
        read_toml(tmp_path)


def test_a_toml_file_may_begin_with_the_mark_of_windows(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text("epochs = 3\n", encoding="utf-8-sig")
    assert read_toml(tmp_path / "a.toml") == {"epochs": 3}


def test_names_of_other_programs_lead_to_ours() -> None:
    for name, others in SYNONYMS.items():
        for other in others.split():
            for kind in (TrainConfig, PretrainConfig, SegmentConfig):
                fields = {field.name for field in dataclasses.fields(kind)}
                if name in fields and other not in fields:
                    with pytest.raises(OptionError, match=f"'{other}'; did you mean '{name}'"):
                        kind.from_values({other: 1})


def test_no_synonym_leads_to_two_options() -> None:
    everything = " ".join(SYNONYMS.values()).split()
    assert len(everything) == len(set(everything))
    fields = {
        f.name
        for kind in (TrainConfig, PretrainConfig, SegmentConfig)
        for f in dataclasses.fields(kind)
    }
    assert set(SYNONYMS) <= fields
    assert not set(everything) & {field.name for field in dataclasses.fields(TrainConfig)}


@pytest.mark.parametrize(
    "values", [{"lr": float("nan")}, {"lr": float("inf")}, {"seed": 2**64}, {"ema": float("nan")},
               {"weight_decay": -1e-9}, {"warmup_epochs": float("inf")}]
)  # fmt: skip
def test_numbers_that_are_none_are_refused(values: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=f"{next(iter(values))} must "):
        TrainConfig.from_values(values)


def test_a_table_is_no_option() -> None:
    with pytest.raises(OptionError, match=r"not in a table \[train\]"):
        TrainConfig.from_values({"train": {"lr": 1.0}})


def test_places_are_kept_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("pets", "digits", "run"):
        Path(name).mkdir()
    config = TrainConfig.from_values({"data": "pets", "init_from": "./run/../run"})
    assert config.data == str(tmp_path / "pets")
    assert config.init_from == str(tmp_path / "run")
    assert TrainConfig.from_values({"data": "digits"}).data == "digits"  # a data set's name wins
    assert TrainConfig.from_values({"data": "./digits"}).data == str(tmp_path / "digits")
    assert TrainConfig.from_values({"data": "missing"}).data == "missing"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert TrainConfig.from_values({"data": "~/pets"}).data == str(tmp_path / "pets")
    assert SegmentConfig.from_values({"data": "brain", "root": "pets"}).root == str(
        tmp_path / "pets"
    )


@pytest.mark.parametrize(
    ("kind", "data", "message"),
    [
        (TrainConfig, "brain", "brain has a class for every position; train .* 'minigrad segment'"),
        (PretrainConfig, "fashion-scenes", "fashion-scenes has a class for every position"),
        (SegmentConfig, "digits", "digits has one class for each sample; .* 'minigrad train'"),
    ],
)
def test_data_of_another_kind(kind: Any, data: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        kind.from_values({"data": data})
