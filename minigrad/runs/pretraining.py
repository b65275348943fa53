"""Pre-training (`minigrad pretrain`): a masked autoencoder around a ConvNeXt V2, without labels."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from minigrad import io, random
from minigrad.data import ImageSpec, Split
from minigrad.errors import OptionError
from minigrad.models import from_fcmae
from minigrad.models.convnext import ConvNeXt
from minigrad.models.fcmae import FCMAE, patch_grid, random_mask
from minigrad.modes import no_grad
from minigrad.nn import Module
from minigrad.runs.config import FOLDER_SIDE, PictureConfig, option
from minigrad.runs.experiment import Experiment
from minigrad.runs.findings import Findings
from minigrad.runs.parts import (
    EVAL_BATCH,
    build_model,
    count,
    eval_transform,
    picture_options,
    train_transform,
)
from minigrad.runs.recipes import PRETRAINING, Recipe
from minigrad.runs.task import Task, Trained
from minigrad.tensor import Tensor
from minigrad.train import Callback, Trainer
from minigrad.viz import reconstructions_svg

__all__ = ["PretrainConfig", "Pretraining", "reconstructions"]


@dataclass(frozen=True)
class PretrainConfig(PictureConfig):
    """All that decides a pre-training; immutable.

    Examples
    --------
    >>> PretrainConfig.from_values({"data": "fashion-mnist"}).mask_ratio
    0.6
    >>> PretrainConfig.from_values({"mask_ratio": 1})
    Traceback (most recent call last):
        ...
    minigrad.errors.OptionError: mask_ratio must lie between 0 and 1, got 1.0
    """

    recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "digits": {"patch_size": 1, "epochs": 40},
        "fashion-mnist": {"epochs": 10, "batch_size": 128, "warmup_epochs": 1.0, "flip": True},
        "mnist1d": {"patch_size": 1, "epochs": 60, "batch_size": 100},
    }
    folder: ClassVar[Mapping[str, Any]] = {
        "model": "convnextv2_atto",
        "patch_size": 4,
        "decoder_dim": 512,
        "warmup_epochs": 5.0,
        "flip": True,
        "threads": 0,
    }

    official: ClassVar[Mapping[str, Recipe]] = PRETRAINING

    betas: tuple[float, ...] = option(
        (0.9, 0.95), "decays of the running means, where the optimizer has such"
    )
    mask_ratio: float = option(0.6, "share of the patches that are removed")
    decoder_depth: int = option(1, "blocks of the decoder")
    decoder_dim: int = option(64, "channels of the decoder")
    norm_pix_loss: bool = option(True, "take mean and variance out of every patch to be predicted")
    grn_statistic: str = option("batch", "GRN's norms over the visible part of: batch or sample")

    def check(self) -> None:
        """Refuse values that make no sense."""
        super().check()
        if not 0 < self.mask_ratio < 1:
            raise OptionError(f"mask_ratio must lie between 0 and 1, got {self.mask_ratio}")


class Pretraining(Task[PretrainConfig]):
    """Samples without classes: labels are never looked at."""

    name = "pretrain"
    help = "Pre-train a ConvNeXt V2 without labels: it learns to fill in what a mask hides (FCMAE)."
    examples = """examples:
  minigrad pretrain                                  digits, without their labels
  minigrad train --init-from runs/digits-pretrained  then fine-tune it
"""
    config = PretrainConfig
    checkpoint = "pretraining.safetensors"
    files: ClassVar[Mapping[str, str]] = {
        "encoder.safetensors": "the encoder's weights alone",
        "reconstructions.svg": "held-out images, what was shown of them, and what was made of it",
    }
    suffix = "-pretrained"

    def data_options(self, config: PretrainConfig) -> dict[str, Any]:
        return picture_options(config)

    def build(self, config: PretrainConfig, images: ImageSpec) -> FCMAE:
        """Build the masked autoencoder; refuse images that cannot be cut into patches."""
        encoder = build_model(config, images)
        if not isinstance(encoder, ConvNeXt):
            raise OptionError(f"pre-training needs a ConvNeXt V2, got {type(encoder).__name__}")
        model = FCMAE(
            encoder,
            config.decoder_depth,
            config.decoder_dim,
            config.mask_ratio,
            config.norm_pix_loss,
            config.grn_statistic,
        )
        side = config.image_size or images.size or FOLDER_SIDE
        grid = patch_grid((side,) * model.spatial_dims, model.patch_size)
        random_mask(1, int(np.prod(grid)), config.mask_ratio, generator=random.Generator(0))
        return model

    def train_options(self, config: PretrainConfig, images: ImageSpec) -> dict[str, Any]:
        return {"transform": train_transform(config, images, area=(0.2, 1.0))}

    def test_options(self, config: PretrainConfig, images: ImageSpec) -> dict[str, Any]:
        return {"batch_size": EVAL_BATCH, "transform": eval_transform(config, images)}

    def trainer(self, config: PretrainConfig, model: Module, **options: Any) -> Trainer:
        return Trainer(model, loss=_own_loss, metrics={}, **options)

    def announce(self, experiment: Experiment[PretrainConfig]) -> str:
        config = experiment.config
        return (
            f"masked autoencoder around {config.model} with {count(experiment.trainer.model):,} "
            f"parameters on {config.data}: {len(experiment.split.train):,} images without labels"
        )

    def callbacks(self, experiment: Experiment[PretrainConfig], folder: Path) -> list[Callback]:
        images = experiment.split.spec
        seen = images.spatial_dims == 2 and images.channels in (1, 3)
        return [Pictures(folder, experiment)] if seen else []

    def finish(self, experiment: Experiment[PretrainConfig], folder: Path) -> None:
        """Save the encoder; say how to go on with it."""
        io.save(from_fcmae(experiment.trainer.model.state_dict()), folder / "encoder.safetensors")
        words = ["minigrad", "train", "--data", experiment.config.data, "--init-from", str(folder)]
        print(f"fine-tune it with: {shlex.join(words)}")

    def asked(self, trained: Trained[PretrainConfig], split: Split) -> str:
        config = trained.config
        return (
            f"{trained.path}: masked autoencoder around {config.model} on {len(split.test):,} "
            f"held-out images of {config.data}, their masks drawn with seed {config.seed}"
        )

    def evaluate(self, trained: Trained[PretrainConfig], split: Split) -> Findings:
        """Return the loss over the masked part of the held-out images."""
        config = trained.config
        random.manual_seed(config.seed)
        trainer = self.trainer(config, trained.model, precision=config.precision)
        return Findings(trainer.evaluate(trained.held_out(split)))

    def read(self, trained: Trained[PretrainConfig], path: Path) -> NDArray[Any]:
        raise OptionError(
            f"{trained.path} is a pre-training, which knows no classes; fine-tune it with "
            f"'minigrad train --init-from {trained.path.parent}'"
        )

    def trunk(self, trained: Trained[PretrainConfig]) -> Module:
        """Return the encoder as a classifier: without masks, over whole images."""
        model = build_model(trained.config, trained.images)
        model.load_state_dict(from_fcmae(trained.model.state_dict()), strict=False)
        return model.to(trained.device).eval()


class Pictures(Callback):
    """Draw ``reconstructions.svg`` again after every epoch."""

    rank_0_only = True

    def __init__(self, folder: Path, experiment: Experiment[PretrainConfig]) -> None:
        self.folder, self.experiment = folder, experiment

    def on_epoch_end(self, trainer: Trainer) -> None:
        title = f"{self.folder.name}, epoch {trainer.epoch}"
        drawing = reconstructions_svg(reconstructions(self.experiment), title=title)
        drawing.save(self.folder / "reconstructions.svg")


def reconstructions(experiment: Experiment[Any], count: int = 8) -> dict[str, NDArray[np.float32]]:
    """Return held-out images, the same with grey patches, and with these as they are predicted.

    The masks are always the same ones, whatever the global generator has given.
    """
    model = experiment.trainer.model
    if not isinstance(model, FCMAE):
        raise OptionError("reconstructions: the experiment must be one of a PretrainConfig")
    samples = min(count, len(experiment.split.test))
    images = [experiment.seen(experiment.split.test[i][0]) for i in range(samples)]
    x = Tensor(np.stack(images))
    x = x.to(experiment.config.device)
    grid = patch_grid(x.shape[2:], model.patch_size)
    mask = random_mask(
        samples,
        int(np.prod(grid)),
        model.mask_ratio,
        generator=random.Generator(0),
        device=str(x.device),
    )
    with no_grad():
        _, pred, _ = model(x, mask)
        filled = model.reconstruct(x, pred, mask)
    hidden = mask.cpu().numpy().reshape(samples, 1, *grid)
    for axis in range(2, x.ndim):
        hidden = hidden.repeat(model.patch_size, axis)
    original = x.cpu().numpy()
    return {
        "image": original,
        "masked": np.where(hidden == 1, np.float32(np.nan), original),
        "reconstruction": filled.cpu().numpy(),
    }


def _own_loss(outputs: Any, targets: Tensor) -> Tensor:
    """Return what the autoencoder has computed; the targets are the labels, which it ignores."""
    loss: Tensor = outputs[0]
    return loss
