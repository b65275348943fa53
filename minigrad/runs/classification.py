"""Classification (`minigrad train`): every sample has one class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from minigrad import io
from minigrad.data import (
    ImageSpec,
    Mix,
    Split,
    read_image,
    read_signal,
    stratified_subset,
)
from minigrad.data import transforms as T
from minigrad.errors import DataError, OptionError
from minigrad.modes import no_grad
from minigrad.nn import Module
from minigrad.nn import functional as F
from minigrad.runs.config import Config, option
from minigrad.runs.experiment import Experiment
from minigrad.runs.initial import load_initial
from minigrad.runs.parts import EVAL_BATCH, build_model, count, eval_transform, train_transform
from minigrad.runs.task import Task, Trained
from minigrad.tensor import Tensor
from minigrad.train import Trainer
from minigrad.train.progress import describe
from minigrad.viz import predictions_svg

__all__ = ["Classification", "TrainConfig"]

SHOWN = 32  # pictures on the sheet of predictions


@dataclass(frozen=True)
class TrainConfig(Config):
    """All that decides a training run; immutable.

    The defaults train a small ConvNeXt V2 on the embedded digits. `from_values` puts the recipe of
    another data set and the user's own values on top.

    Examples
    --------
    >>> config = TrainConfig.from_values({"data": "fashion-mnist", "epochs": 2})
    >>> config.epochs, config.batch_size
    (2, 128)
    >>> TrainConfig.from_values({"epoch": 2})
    Traceback (most recent call last):
        ...
    minigrad.errors.OptionError: unknown training option 'epoch'; did you mean 'epochs'? ...
    """

    recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "fashion-mnist": {
            "depths": (2, 2),
            "dims": (64, 128),
            "patch_size": 4,
            "epochs": 10,
            "batch_size": 128,
            "warmup_epochs": 1.0,
            "flip": True,
        },
        "mnist1d": {
            "depths": (1, 1, 2),
            "dims": (32, 64, 96),
            "patch_size": 1,
            "epochs": 30,
            "batch_size": 100,
        },
    }
    folder: ClassVar[Mapping[str, Any]] = {
        "model": "convnextv2_atto",
        "patch_size": 4,
        "drop_path": 0.1,
        "warmup_epochs": 5.0,
        "flip": True,
        "erase": 0.25,
        "threads": 0,
    }

    init_from: str = option("", "weights to start from: a run (pre-trained or trained), or a file")
    labels: float = option(1.0, "share of the training images that is used, of every class alike")
    drop_path: float = option(0.0, "probability to drop a block's branch, at the last block")
    label_smoothing: float = option(0.1, "share of the label spread over all classes")
    erase: float = option(0.0, "probability to blank a random box")
    mixup: float = option(0.0, "alpha of mixup; 0: off")
    cutmix: float = option(0.0, "alpha of CutMix; 0: off")
    ema: float = option(0.0, "decay of an average of the weights, which is then evaluated; 0: off")

    def check(self) -> None:
        """Refuse values that make no sense."""
        super().check()
        for name in ("labels", "drop_path", "label_smoothing", "erase", "ema"):
            if getattr(self, name) > 1:
                raise OptionError(f"{name} must lie between 0 and 1, got {getattr(self, name)}")
        if not self.labels:
            raise OptionError("labels must lie above 0: the share of the training images used")


class Classification(Task[TrainConfig]):
    """Every sample has one class."""

    name = "train"
    help = "Train a model; the checkpoint, the log and the pictures go to runs/NAME/."
    examples = """examples:
  minigrad train                                     handwritten digits
  minigrad train --epochs 3 --name short             files go to runs/short/
  minigrad train --name short --resume               continue after Ctrl-C
"""
    config = TrainConfig
    checkpoint = "checkpoint.safetensors"
    files: ClassVar[Mapping[str, str]] = {
        "model.safetensors": "the weights alone",
        "predictions.svg": "pictures with what the model takes them for",
    }
    knows = "probability"

    def data(self, config: TrainConfig) -> Split:
        split = super().data(config)
        if config.labels == 1:
            return split
        return replace(split, train=stratified_subset(split.train, config.labels, config.seed))

    def build(self, config: TrainConfig, images: ImageSpec) -> Module:
        return build_model(config, images, drop_path_rate=config.drop_path)

    def start(self, config: TrainConfig, model: Module) -> None:
        if config.init_from:
            load_initial(model, config.init_from)

    def train_options(self, config: TrainConfig, images: ImageSpec) -> dict[str, Any]:
        mixes = config.mixup or config.cutmix
        return {
            "transform": train_transform(config, images, erase=config.erase),
            "mix": Mix(len(images.classes), config.mixup, config.cutmix) if mixes else None,
        }

    def test_options(self, config: TrainConfig, images: ImageSpec) -> dict[str, Any]:
        return {"batch_size": EVAL_BATCH, "transform": eval_transform(config, images)}

    def trainer(self, config: TrainConfig, model: Module, **options: Any) -> Trainer:
        # What a model is worth does not depend on how it was trained: no smoothing held out.
        smooth = partial(F.cross_entropy, label_smoothing=config.label_smoothing)
        return Trainer(model, loss=smooth, val_loss=F.cross_entropy, **options)

    def average(self, config: TrainConfig) -> float:
        return config.ema

    def announce(self, experiment: Experiment[TrainConfig]) -> str:
        config, split = experiment.config, experiment.split
        return (
            f"{config.model} with {count(experiment.trainer.model):,} parameters on {config.data}: "
            f"{len(split.train):,} images to train on, {len(split.test):,} held out"
        )

    def finish(self, experiment: Experiment[TrainConfig], folder: Path) -> None:
        """Save bare weights and the sheet of predictions; say what came out."""
        trainer, split = experiment.trainer, experiment.split
        io.save(trainer.eval_model.state_dict(), folder / "model.safetensors")
        guesses = trainer.predict(experiment.test).argmax(1)
        labels = labels_of(split)
        good = int((guesses == labels).sum())
        right, wrong = np.flatnonzero(guesses == labels), np.flatnonzero(guesses != labels)
        chosen = [*wrong[: SHOWN // 4], *right][:SHOWN]
        drawing = predictions_svg(
            np.stack([experiment.seen(split.test[int(i)][0]) for i in chosen]),
            labels[chosen],
            guesses[chosen],
            split.spec.classes,
            title=f"{folder.name}: {good:,} of {len(labels):,} held-out images are right",
        )
        drawing.save(folder / "predictions.svg")
        print(f"accuracy on {len(labels):,} held-out images: {100 * good / len(labels):.2f} %")

    def evaluate(self, trained: Trained[TrainConfig], split: Split) -> None:
        """Print loss, accuracy, and the accuracy of every class."""
        config, classes = trained.config, trained.images.classes
        if strange := sorted(set(split.spec.classes) - set(classes)):
            raise DataError(
                f"{config.data} has a class {strange[0]!r}, which the model does not know; its "
                f"classes are {', '.join(classes)}"
            )
        print(
            f"{trained.path}: {config.model} on {len(split.test):,} held-out images of "
            f"{config.data}",
            flush=True,
        )
        trainer = Trainer(trained.model, precision=config.precision)
        logits = trainer.predict(trained.held_out(split))
        known = np.array([classes.index(name) for name in split.spec.classes])
        labels, guesses = known[labels_of(split)], logits.argmax(1)
        loss = F.cross_entropy(Tensor(logits), Tensor(labels)).item()
        print(describe({"loss": loss, "accuracy": float((guesses == labels).mean())}))
        width = max(map(len, classes))
        for number, name in enumerate(classes):
            mine = labels == number
            if mine.any():
                good = int((guesses[mine] == number).sum())
                print(f"  {name:{width}}  {100 * good / mine.sum():6.2f} %  {good} of {mine.sum()}")

    def read(self, trained: Trained[TrainConfig], path: Path) -> NDArray[Any]:
        images = trained.images
        transform = eval_transform(trained.config, images)
        if images.spatial_dims == 1:
            image = read_signal(path, images.channels, images.size or 0)
        else:
            image = read_image(path, images.channels)
            if images.size is not None:  # pictures of any size come to that of the data's
                transform = T.Compose([T.Resize((images.size, images.size)), transform])
        return transform(image, np.random.default_rng(0))

    def shares(
        self, trained: Trained[TrainConfig], image: NDArray[Any]
    ) -> tuple[NDArray[np.float64], None]:
        """Return the probability of every class."""
        x = Tensor(image[None]).to(trained.device)
        with no_grad():
            chances = F.softmax(trained.model(x), 1).cpu().numpy()[0]
        return chances, None


def labels_of(split: Split) -> NDArray[Any]:
    """Return the classes of the held-out part."""
    return np.array([split.test[i][1] for i in range(len(split.test))])
