"""``minigrad pretrain``: a masked autoencoder on images without labels."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from minigrad import io, random
from minigrad.cli.task import Task, Trained, count
from minigrad.data import DataLoader, ImageSpec, Split, load_split
from minigrad.models import from_fcmae
from minigrad.nn import Module
from minigrad.runs import Experiment, PretrainConfig, prepare_pretraining, reconstructions
from minigrad.runs.experiment import EVAL_BATCH, eval_transform
from minigrad.runs.folders import PRETRAINING
from minigrad.runs.pretraining import FOLDER, RECIPES, build_autoencoder, loss_of
from minigrad.train import Callback, Trainer
from minigrad.train.progress import describe
from minigrad.viz import reconstructions_svg

HELP = "Pre-train a ConvNeXt V2 without labels: it learns to fill in what a mask hides (FCMAE)."
EXAMPLES = """examples:
  minigrad pretrain                                  digits, without their labels
  minigrad train --init-from runs/digits-pretrained  then fine-tune it
"""


class Pictures(Callback):
    """Draw ``reconstructions.svg`` anew after every epoch."""

    def __init__(self, folder: Path, experiment: Experiment) -> None:
        self.folder, self.experiment = folder, experiment

    def on_epoch_end(self, trainer: Trainer) -> None:
        title = f"{self.folder.name}, epoch {trainer.epoch}"
        drawing = reconstructions_svg(reconstructions(self.experiment), title=title)
        drawing.save(self.folder / "reconstructions.svg")


class Pretraining(Task[PretrainConfig]):
    """Samples without classes."""

    config = PretrainConfig
    checkpoint = PRETRAINING
    files: ClassVar[Mapping[str, str]] = {
        PRETRAINING: "the whole state of the run",
        "encoder.safetensors": "the encoder's weights alone",
        "log.csv": "losses by epoch (log.jsonl has them too)",
        "curves.svg": "the same as a picture",
        "reconstructions.svg": "held-out images, what was shown of them, and what was made of it",
    }
    recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {**RECIPES, "a folder of pictures": FOLDER}
    suffix = "-pretrained"

    def prepare(self, config: PretrainConfig, initialise: bool) -> Experiment:
        return prepare_pretraining(config)

    def build(self, config: PretrainConfig, images: ImageSpec) -> Module:
        return build_autoencoder(config, images)

    def data(self, config: PretrainConfig) -> Split:
        return load_split(config.data, config.download, seed=config.seed)

    def announce(self, experiment: Experiment) -> str:
        config = experiment.config
        return (
            f"masked autoencoder around {config.model} with {count(experiment.trainer.model):,} "
            f"parameters on {config.data}: {len(experiment.split.train):,} images without labels"
        )

    def callbacks(self, experiment: Experiment, folder: Path) -> list[Callback]:
        images = experiment.split.spec
        seen = images.spatial_dims == 2 and images.channels in (1, 3)
        return [Pictures(folder, experiment)] if seen else []

    def finish(self, experiment: Experiment, folder: Path) -> None:
        """Save the encoder; say how to go on with it."""
        io.save(from_fcmae(experiment.trainer.model.state_dict()), folder / "encoder.safetensors")
        words = ["minigrad", "train", "--data", experiment.config.data, "--init-from", str(folder)]
        print(f"fine-tune it with: {shlex.join(words)}")

    def evaluate(self, trained: Trained[PretrainConfig], split: Split) -> None:
        """Print the loss over the masked part of the held-out images."""
        config = trained.config
        print(
            f"{trained.path}: masked autoencoder around {config.model} on {len(split.test):,} "
            f"held-out images of {config.data}, their masks drawn with seed {config.seed}",
            flush=True,
        )
        random.manual_seed(config.seed)
        transform = eval_transform(config, trained.images)
        loader = DataLoader(split.test, EVAL_BATCH, transform=transform)
        trainer = Trainer(trained.model, loss=loss_of, metrics={}, precision=config.precision)
        print(describe(trainer.evaluate(loader)))


TASK = Pretraining()
add_options, run = TASK.add_options, TASK.run
