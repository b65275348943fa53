"""Every option that is to change a training does: its weights are others afterwards."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest

from minigrad.backend import use_kernels
from minigrad.errors import OptionError
from minigrad.runs import TrainConfig, prepare

SMALL = {"depths": (1, 1), "dims": (4, 8), "batch_size": 32, "labels": 0.1, "epochs": 2}
SMALL |= {"warmup_epochs": 1.0}
PILLOW = pytest.mark.needs("PIL")


def trained(**options: Any) -> bytes:
    with use_kernels("reference"):  # nothing to compile
        experiment = prepare(TrainConfig.from_values(SMALL, options))
        experiment.fit()
    state = experiment.trainer.eval_model.state_dict()
    return b"".join(value.numpy().tobytes() for value in state.values())


@cache
def plain() -> bytes:
    return trained()


@pytest.mark.parametrize(
    "options",
    [
        {"class_weights": True},
        {"balanced": True},
        {"freeze": "stem,stages.0"},
        {"freeze": "stem,stages.0", "unfreeze_every": 1},
        {"clip_value": 1e-3},
        {"clip_grad": 1e-2},
        {"accumulate": 2},
        {"optimizer": "adam", "betas": (0.5, 0.6)},
        *({"optimizer": n} for n in ("adadelta", "lamb", "lion", "nadam", "radam", "rmsprop")),
        {"optimizer": "sgd", "momentum": 0.9},
        pytest.param({"auto_augment": "rand-m9-mstd0.5-inc1"}, marks=PILLOW),
        {"color_jitter": 0.4},
        {"erase": 0.5},
        {"erase": 0.5, "erase_mode": "pixel"},
        {"mixup": 0.8},
        {"cutmix": 1.0},
        {"turn": 20.0},
        {"zoom": 0.2},
        {"tint": 0.5},
        {"crop": 1},
        {"flip": True},
        {"repeats": 3},
        {"passes": 2},
        {"layer_decay": 0.5},
        {"weight_decay": 0.5},
        {"ema": 0.9},
        {"label_smoothing": 0.0},
        {"head_init_scale": 0.1},
        {"init": "kaiming"},
        {"drop_path": 0.3},
        {"schedule": "constant"},
        {"warmup_epochs": 0.0},
        {"min_lr": 1e-3},
        {"repeat_peak": True},
        {"folds": 2, "fold": 1},
        {"seed": 1},
    ],
    ids=lambda options: " ".join(f"{name}={value}" for name, value in options.items()),
)
def test_an_option_changes_what_is_learnt(options: dict[str, Any]) -> None:
    without = dict(list(options.items())[:-1])
    before = trained(**without) if without and "fold" not in options else plain()
    assert trained(**options) != before


def test_workers_and_checkpoints_change_nothing() -> None:
    assert trained(workers=2, checkpoint_every=1, shard_optimizer=True) == plain()


def test_lbfgs_is_for_loops_of_ones_own() -> None:
    with pytest.raises(OptionError, match=r"lbfgs asks .* several times .* optim\.LBFGS"):
        TrainConfig.from_values({"optimizer": "LBFGS"})
