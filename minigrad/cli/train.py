"""``minigrad train``: from a data set to a checkpoint, curves and a sheet of predictions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from minigrad import io
from minigrad.cli.task import Task, Trained, count
from minigrad.data import DataLoader, ImageSpec, Split, load_split, read_image, read_signal
from minigrad.data import transforms as T
from minigrad.data.dataset import Image
from minigrad.errors import DataError
from minigrad.modes import no_grad
from minigrad.nn import Module
from minigrad.nn import functional as F
from minigrad.runs import Experiment, TrainConfig, prepare
from minigrad.runs.config import FOLDER, RECIPES
from minigrad.runs.experiment import EVAL_BATCH, build_model, eval_transform
from minigrad.runs.folders import CHECKPOINT
from minigrad.tensor import Tensor
from minigrad.train import Trainer
from minigrad.train.progress import describe
from minigrad.viz import predictions_svg

HELP = "Train a model; the checkpoint, the log and the pictures go to runs/NAME/."
EXAMPLES = """examples:
  minigrad train                                     handwritten digits
  minigrad train --epochs 3 --name short             files go to runs/short/
  minigrad train --name short --resume               go on after Ctrl-C
"""
SHOWN = 32  # pictures on the sheet of predictions


class Classification(Task[TrainConfig]):
    """Every sample has one class."""

    config = TrainConfig
    checkpoint = CHECKPOINT
    files: ClassVar[Mapping[str, str]] = {
        CHECKPOINT: "the whole state of the run",
        "model.safetensors": "the weights alone",
        "log.csv": "losses and accuracies by epoch (log.jsonl has them too)",
        "curves.svg": "the same as a picture",
        "predictions.svg": "pictures with what the model takes them for",
    }
    recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {**RECIPES, "a folder of pictures": FOLDER}
    knows = "probability"

    def prepare(self, config: TrainConfig, initialise: bool) -> Experiment:
        return prepare(config, initialise=initialise)

    def build(self, config: TrainConfig, images: ImageSpec) -> Module:
        return build_model(config, images)

    def data(self, config: TrainConfig) -> Split:
        return load_split(config.data, config.download, seed=config.seed)

    def announce(self, experiment: Experiment) -> str:
        config, split = experiment.config, experiment.split
        return (
            f"{config.model} with {count(experiment.trainer.model):,} parameters on {config.data}: "
            f"{len(split.train):,} images to train on, {len(split.test):,} held out"
        )

    def finish(self, experiment: Experiment, folder: Path) -> None:
        """Save bare weights and the sheet of predictions; say what came out."""
        trainer, split = experiment.trainer, experiment.split
        io.save(trainer.eval_model.state_dict(), folder / "model.safetensors")
        guesses = trainer.predict(experiment.test).argmax(1)
        labels = labels_of(split)
        good = int((guesses == labels).sum())
        right, wrong = np.flatnonzero(guesses == labels), np.flatnonzero(guesses != labels)
        chosen = [*wrong[: SHOWN // 4], *right][:SHOWN]
        drawing = predictions_svg(
            np.stack([_picture(experiment, int(i)) for i in chosen]),
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
        transform = eval_transform(config, trained.images)
        loader = DataLoader(split.test, EVAL_BATCH, transform=transform)
        logits = Trainer(trained.model, precision=config.precision).predict(loader)
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


TASK = Classification()
add_options, run = TASK.add_options, TASK.run


def labels_of(split: Split) -> NDArray[Any]:
    """Return the classes of the held-out part."""
    return np.array([split.test[i][1] for i in range(len(split.test))])


def _picture(experiment: Experiment, index: int) -> Image:
    """Return a test image as the model sees it."""
    image, _ = experiment.split.test[index]
    transform = experiment.test.transform
    return image if transform is None else transform(image, np.random.default_rng())
