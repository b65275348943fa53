"""A task, a model and a data set that are not ours, each declared once, on every road."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from minigrad import io, models, nn, runs
from minigrad.cli import main
from minigrad.data import ArrayDataset, ImageSpec, Split, load_split
from minigrad.data import catalog as data_catalog
from minigrad.data.source import Source
from minigrad.errors import OptionError
from minigrad.models import registry
from minigrad.runs.config import option
from minigrad.tensor import Tensor
from minigrad.train import Callback, Trainer, load_checkpoint


def bars(download: bool, seed: int = 0, side: int = 6) -> Split:
    """Pictures of a bright row, whose number is the class."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, side, 60)
    images = rng.random((60, 1, side, side), np.float32) * 0.3
    images[np.arange(60), 0, labels] += 1
    parts = [ArrayDataset(images[a:b], labels[a:b]) for a, b in ((0, 40), (40, 60))]
    return Split(*parts, ImageSpec(tuple("abcdef"), 1, side, (0.3,), (0.4,)))


def flat(num_classes: int = 6, in_channels: int = 1, hidden: int = 8) -> nn.Module:
    """Return a model that knows nothing of patches, depths and axes."""
    first = nn.Conv2d(in_channels, hidden, 3, padding=1)
    return nn.Sequential(first, nn.GELU(), nn.Flatten(), nn.Linear(36 * hidden, num_classes))


@dataclass(frozen=True)
class HeightConfig(runs.Config):
    """What decides how high a bar is guessed to be."""

    data: str = option("bars", "pictures of bars")
    model: str = option("flat", "any model")
    epochs: int = option(2, "passes")
    scale: float = option(6.0, "of the heights")


class Height(runs.Task[HeightConfig]):
    """A number for every picture, not a class: what none of our own tasks does."""

    name = "height"
    help = "Guess how high the bar stands."
    examples = "examples:\n  minigrad height\n"
    config = HeightConfig
    checkpoint = "height.safetensors"
    files: ClassVar[Mapping[str, str]] = {"model.safetensors": "weights"}
    knows = "height"

    def build(self, config: HeightConfig, images: ImageSpec) -> nn.Module:
        return models.create_model(config.model, num_classes=1, in_channels=images.channels)

    def train_options(self, config: HeightConfig, images: ImageSpec) -> dict[str, Any]:
        return {}

    def test_options(self, config: HeightConfig, images: ImageSpec) -> dict[str, Any]:
        return {"batch_size": 20}

    def trainer(self, config: HeightConfig, model: nn.Module, **options: Any) -> Trainer:
        def loss(output: Tensor, target: Tensor) -> Tensor:
            return (output[:, 0] - target.float() / config.scale).square().mean()

        return Trainer(model, loss=loss, metrics={}, **options)

    def announce(self, experiment: runs.Experiment[HeightConfig]) -> str:
        return f"heights of {len(experiment.split.train)} bars"

    def finish(self, experiment: runs.Experiment[HeightConfig], folder: Path) -> None:
        io.save(experiment.trainer.eval_model.state_dict(), folder / "model.safetensors")

    def evaluate(self, trained: runs.Trained[HeightConfig], split: Split) -> runs.Findings:
        trainer = self.trainer(trained.config, trained.model)
        return runs.Findings({"error": trainer.evaluate(trained.held_out(split))["loss"]})

    def read(self, trained: runs.Trained[HeightConfig], path: Path) -> NDArray[Any]:
        return np.asarray(np.load(path), np.float32)

    def shares(
        self, trained: runs.Trained[HeightConfig], images: NDArray[Any]
    ) -> tuple[NDArray[Any], None]:
        height = trained.model(Tensor(images)).numpy(force=True)
        return np.where(np.arange(6) == np.round(height * 6), height, 0.0), None


@pytest.fixture(autouse=True)
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    source = Source("bars", "bright rows", "free", lambda: "made here", bars)
    monkeypatch.setitem(data_catalog.sources, "bars", source)
    monkeypatch.setattr(registry, "_models", dict(registry._models))
    models.register(family="toys", data="bars", options={"lr": 0.02, "epochs": 3, "scale": 5.0})(
        flat
    )
    monkeypatch.setitem(runs.tasks, "height", Height())


def run(capsys: pytest.CaptureFixture[str], words: str) -> str:
    status = main(words.split())
    out, err = capsys.readouterr()
    assert (status, err) == (0, "")
    return out


def test_a_new_task_has_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert "heights of 40 bars" in run(capsys, "height")
    assert {path.name for path in Path("runs/bars").iterdir()} == {
        "config.toml", "curves.svg", "height.safetensors", "log.csv", "log.jsonl",
        "model.safetensors",
    }  # fmt: skip
    log = [line.split(",") for line in Path("runs/bars/log.csv").read_text().splitlines()]
    error = float(log[-1][log[0].index("val_loss")])
    assert run(capsys, "val") == f"error {error:.4f}\n"
    np.save("bar.npy", np.zeros((1, 6, 6), np.float32))
    assert run(capsys, "predict bar.npy --top 1").startswith("bar.npy: ")
    assert "369 parameters" in run(capsys, "summary runs/bars")
    assert "runs/bars" in run(capsys, "graph runs/bars")
    assert "runs/bars looks at" in run(capsys, "explain --receptive-field --layer 0")
    assert "done already" in run(capsys, "height --resume --name bars")
    assert main(["train", "--resume", "--name", "bars"]) == 2
    assert "runs/bars is a run of 'minigrad height'" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["height", "--help"])
    usage = capsys.readouterr().out
    assert "of the heights (default: 6.0)" in usage
    assert "by data set" not in usage  # it has no recipes


def test_a_new_task_resumes_to_the_same_bits(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(capsys, "height --epochs 4 --name whole --checkpoint-every 1 --batch-size 10")

    class Stop(Callback):
        def on_step_end(self, trainer: Trainer) -> None:
            if trainer.step == 10:
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Height, "callbacks", lambda self, experiment, folder: [Stop()])
        words = "height --epochs 4 --name part --checkpoint-every 1 --batch-size 10"
        assert main(words.split()) == 130
    assert "minigrad height --output runs --name part --resume" in capsys.readouterr().out
    run(capsys, "height --name part --resume")
    whole, part = (load_checkpoint(f"runs/{name}/height.safetensors") for name in ("whole", "part"))
    for name, value in whole["model"].items():
        np.testing.assert_array_equal(value, part["model"][name], err_msg=name)


def test_a_model_brings_its_data_and_options(capsys: pytest.CaptureFixture[str]) -> None:
    config = runs.TrainConfig.from_values({"model": "Flat"})
    assert (config.data, config.lr, config.epochs) == ("bars", 0.02, 3)
    config = runs.TrainConfig.from_values({"model": "flat", "data": "digits", "epochs": 5})
    assert (config.data, config.lr, config.epochs) == ("digits", 0.02, 5)
    assert HeightConfig.from_values({"model": "flat"}).scale == 5.0
    assert runs.SegmentConfig.data_of({"model": "flat"}) == "fashion-scenes"  # has no masks
    assert runs.TrainConfig.from_values({}).lr == 4e-3
    assert runs.TrainConfig.from_values({"data": "bars"}) == runs.TrainConfig(data="bars")

    out = run(capsys, "train --model flat")
    assert "flat with 1,814 parameters on bars: 40 images to train on, 20 held out" in out
    assert "images of bars" in run(capsys, "val --checkpoint runs/bars")
    assert "1,814 parameters" in run(capsys, "summary flat --channels 1 --size 6")


def test_a_new_data_set_is_listed_and_asked_for_its_own_options(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert "bars\n  bright rows\n  free\n  made here\n" in run(capsys, "data")
    assert "data: bars" in run(capsys, "doctor")
    assert load_split("bars", side=8).spec.size == 8
    assert (load_split("bars", seed=1).train[0][0] != load_split("bars").train[0][0]).any()
    for name, options in (("bars", {"sides": 8}), ("digits", {"side": 8}), (".", {"sides": 8})):
        with pytest.raises(OptionError, match=r"unknown option of .* 'side"):
            load_split(name, **options)


def test_configs_of_no_task_are_refused() -> None:
    with pytest.raises(OptionError, match=r"got Config; they are TrainConfig, .*HeightConfig"):
        runs.prepare(runs.Config())
