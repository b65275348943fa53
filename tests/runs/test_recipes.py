"""The official recipes: their values, their parameter groups, and the options that they need."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad import nn, optim
from minigrad.cli import main
from minigrad.data import RepeatedSampler, WeightedRandomSampler
from minigrad.errors import OptionError
from minigrad.runs import PretrainConfig, TrainConfig, prepare, read_toml, tasks
from minigrad.runs.parts import build_model, eval_transform, optimizer_and_schedule
from tests.parity.test_golden import RECIPES

CLASSES = mg.data.ImageSpec(tuple(map(str, range(1000))), 3, None, (0.5,) * 3, (0.5,) * 3)


def values(name: str, **more: Any) -> TrainConfig:
    return TrainConfig.from_values({"recipe": name, "init_from": "weights.pth", **more})


@pytest.mark.parametrize("task", ["train", "pretrain"])
def test_every_recipe_is_one_of_its_task_for_each_of_its_models(task: str) -> None:
    config = tasks[task].config
    assert config.official
    for name, recipe in config.official.items():
        for model in recipe.models:
            start = {"init_from": "weights.pth"} if recipe.fine_tunes else {}
            made = config.from_values({"recipe": name, "model": model, **start})
            assert made.to_dict().items() >= recipe.of(model).items()


def test_values_of_the_papers() -> None:
    """Effective batch, rate, epochs and warm-up, weight decay, layer decay, drop path."""
    table = {
        ("convnext-1k", "convnext_large"): (4096, 4e-3, 300, 20, 0.05, 1.0, 0.5),
        ("convnext-22k", "convnext_xlarge"): (4096, 4e-3, 90, 5, 0.05, 1.0, 0.2),
        ("convnext-1k-ft-384", "convnext_large"): (512, 5e-5, 30, 0, 1e-8, 0.7, 0.95),
        ("convnext-22k-ft-1k", "convnext_small"): (512, 5e-5, 30, 0, 1e-8, 0.8, 0.1),
        ("convnextv2-ft-atto", "convnextv2_atto"): (1024, 8e-4, 600, 0, 0.3, 0.9, 0.1),
        ("convnextv2-ft-tiny", "convnextv2_tiny"): (1024, 3.2e-3, 300, 40, 0.05, 0.9, 0.2),
        ("convnextv2-ft-huge", "convnextv2_huge"): (1024, 2.5e-3, 50, 10, 0.05, 0.75, 0.3),
        ("convnextv2-22k", "convnextv2_huge"): (4096, 4e-3, 90, 5, 0.05, 0.8, 0.3),
        ("convnextv2-22k-ft-1k", "convnextv2_huge"): (512, 5e-5, 30, 0, 1e-8, 0.85, 0.5),
    }
    for (name, model), wanted in table.items():
        c = values(name, model=model)
        found = (c.batch_size * c.accumulate, c.lr, c.epochs, c.warmup_epochs, c.weight_decay)
        assert (*found, c.layer_decay, c.drop_path) == wanted, (name, model)
    fcmae = PretrainConfig.from_values({"recipe": "convnextv2-fcmae"})
    assert (fcmae.batch_size * fcmae.accumulate, fcmae.lr, fcmae.betas) == (
        4096,
        2.4e-3,
        (0.9, 0.95),
    )


@pytest.mark.parametrize(
    ("recipe", "model", "tag"),
    [
        ("convnextv2-ft-atto", "convnextv2_atto", "v2_atto_0.9"),
        ("convnext-1k-ft-384", "convnext_small", "v1_small_0.7"),
    ],
)
def test_parameter_groups_and_rates_are_the_official_ones(
    recipe: str, model: str, tag: str
) -> None:
    config = values(recipe, model=model)
    with nn.init.skip_random():
        made = build_model(config, CLASSES)
    optimizer, _ = tasks["train"].optimizer(config, made, 10)
    of = {id(p): group for group in optimizer.param_groups for p in group["params"]}
    for key, param in made.named_parameters():
        layer, decays = RECIPES[tag][key]
        group = of.pop(id(param))
        assert group["weight_decay"] == (config.weight_decay if decays else 0.0), key
        assert group["initial_lr"] == pytest.approx(config.lr * RECIPES[f"{tag}_scales"][layer])
        assert group["betas"] == (0.9, 0.999)
    assert not of


def test_the_rates_of_convnext_1k_are_the_official_ones() -> None:
    config = TrainConfig.from_values({"recipe": "convnext-1k"})
    schedule = optimizer_and_schedule(config, nn.Linear(1, 1), 10 * config.accumulate)[1]
    assert isinstance(schedule, optim.WarmupCosineLR)
    rates = []
    for _ in range(3000):
        rates += schedule.get_last_lr()[:1]
        schedule.step()
    np.testing.assert_allclose(rates[::97], RECIPES["v1_lr_300ep_x10it_warm20"], rtol=1e-12)


def test_held_out_pictures_are_cropped_or_squared() -> None:
    cropped = repr(eval_transform(TrainConfig.from_values({"recipe": "convnext-1k"}), CLASSES))
    assert "Resize(256, interpolation='bicubic'), CenterCrop(224)" in cropped
    squared = repr(eval_transform(values("convnext-1k-ft-384"), CLASSES))
    assert "Resize((384, 384), interpolation='bicubic'), Normalize" in squared
    train = repr(tasks["train"].train_options(values("convnext-1k-ft-384"), CLASSES)["transform"])
    assert "RandomResizedCrop(384, area=(0.08, 1.0), interpolation='bicubic')" in train


def test_numbers_of_an_optimizer_go_to_those_that_have_them() -> None:
    wanted = {"betas": (0.8, 0.9), "momentum": 0.7, "depths": (1,), "dims": (4,)}
    for name, has in (("lion", "betas"), ("rmsprop", "momentum")):
        config = TrainConfig.from_values({**wanted, "optimizer": name})
        group = tasks["train"].optimizer(config, nn.Linear(1, 1), 1)[0].param_groups[0]
        assert group[has] == wanted[has]
        assert ("betas" in group) == (has == "betas")


def test_a_fine_tuning_recipe_wants_weights() -> None:
    with pytest.raises(OptionError, match="goes on from trained weights"):
        TrainConfig.from_values({"recipe": "convnextv2-ft-atto"})
    with pytest.raises(
        OptionError, match="unknown recipe 'convnext-12k'; did you mean 'convnext-1k'"
    ):
        TrainConfig.from_values({"recipe": "convnext-12k"})


def test_every_value_is_printed_and_read_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recipes"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for task in tasks.values() for name in task.config.official)
    assert main(["recipes", "convnext-1k", "--model", "convnext_base"]) == 0
    (tmp_path / "mine.toml").write_text(capsys.readouterr().out)
    read = TrainConfig.from_values(read_toml(tmp_path / "mine.toml"))
    named = TrainConfig.from_values({"recipe": "convnext-1k", "model": "convnext_base"})
    assert read.to_dict() == named.to_dict() | {"recipe": ""}
    assert main(["recipes", "convnext-2k"]) == 2


@pytest.mark.needs("PIL")
def test_a_run_by_recipe_says_what_it_takes_and_what_was_changed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = "train --recipe convnext-1k --model convnext --depths 1 --dims 4 --patch-size 2"
    words += " --image-size 8 --epochs 1 --batch-size 256 --accumulate 5 --warmup-epochs 0 --ema 0"
    assert main([*words.split(), "--output", str(tmp_path), "--name", "r"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    for part in ("epochs 1 (recipe: 300)", "lr 0.004,", "mixup 0.8,", "erase_mode pixel,",
                 "auto_augment rand-m9-mstd0.5-inc1,", "batch_size 256 (recipe: 128)"):  # fmt: skip
        assert part in said, part
    assert json.loads((tmp_path / "r" / "log.jsonl").read_text())["epoch"] == 1


def test_what_the_options_of_augmentation_and_sampling_build() -> None:
    small: dict[str, Any] = {"depths": (1,), "dims": (4,)}
    made = prepare(
        TrainConfig.from_values(
            {**small, "erase": 0.2, "erase_mode": "pixel", "color_jitter": 0.3, "repeats": 3,
             "mixup": 0.2, "cutmix": 0.4, "mixup_prob": 0.6, "mixup_switch_prob": 0.7,
             "class_weights": True}
        )
    )  # fmt: skip
    shown = repr(made.train.transform)
    assert "ColorJitter(brightness=0.3" in shown
    assert "RandomErasing(p=0.2, area=(0.02, 0.33), mode='pixel')" in shown
    assert repr(made.train.mix) == "Mix(10, mixup=0.2, cutmix=0.4, p=0.6, switch=0.7)"
    assert isinstance(made.train.sampler, RepeatedSampler)
    logits, rare = mg.zeros(1, 10), mg.tensor([0])
    weight = made.trainer.loss.keywords["weight"]  # type: ignore[union-attr]
    labels = [made.split.train[i][1] for i in range(len(made.split.train))]
    assert weight[0].item() == pytest.approx(len(labels) / 10 / labels.count(0))
    assert made.trainer.loss(logits, rare).item() > 0
    balanced = prepare(TrainConfig.from_values({**small, "balanced": True})).train.sampler
    assert isinstance(balanced, WeightedRandomSampler)
    assert balanced.weights[np.array(labels) == 0].sum() == pytest.approx(0.1)
    with pytest.raises(OptionError, match="both choose the order"):
        TrainConfig.from_values({"balanced": True, "repeats": 2})
