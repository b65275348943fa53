"""Pre-training without labels: a masked autoencoder around a ConvNeXt V2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from minigrad import random
from minigrad.data import DataLoader, ImageSpec, load_split
from minigrad.errors import OptionError
from minigrad.models.convnext import ConvNeXt
from minigrad.models.fcmae import FCMAE, patch_grid, random_mask
from minigrad.modes import no_grad
from minigrad.runs.config import Config, option
from minigrad.runs.experiment import (
    EVAL_BATCH,
    Experiment,
    build_model,
    check_machine,
    eval_transform,
    optimizer_and_schedule,
    train_transform,
)
from minigrad.tensor import Tensor
from minigrad.train.callbacks import Callback
from minigrad.train.trainer import Trainer

__all__ = [
    "PretrainConfig",
    "build_autoencoder",
    "loss_of",
    "prepare_pretraining",
    "reconstructions",
]


@dataclass(frozen=True)
class PretrainConfig(Config):
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

    command: ClassVar[str] = "pretrain"

    mask_ratio: float = option(0.6, "share of the patches that are removed")
    decoder_depth: int = option(1, "blocks of the decoder")
    decoder_dim: int = option(64, "channels of the decoder")
    norm_pix_loss: bool = option(True, "take mean and variance out of every patch to be predicted")
    grn_statistic: str = option("batch", "GRN's norms over the visible part of: batch or sample")

    @classmethod
    def recipe(cls, data: str) -> dict[str, Any]:
        """Return what differs from the defaults for a data set: `RECIPES`, or `FOLDER`."""
        return RECIPES.get(data, FOLDER)

    def check(self) -> None:
        """Refuse values that make no sense."""
        super().check()
        if not 0 < self.mask_ratio < 1:
            raise OptionError(f"mask_ratio must lie between 0 and 1, got {self.mask_ratio}")


FOLDER: dict[str, Any] = {
    "model": "convnextv2_atto",
    "patch_size": 4,
    "decoder_dim": 512,
    "warmup_epochs": 5.0,
    "flip": True,
    "threads": 0,
}
FASHION_MNIST: dict[str, Any] = {
    "epochs": 10,
    "batch_size": 128,
    "warmup_epochs": 1.0,
    "flip": True,
}
RECIPES: dict[str, dict[str, Any]] = {
    "digits": {"patch_size": 1, "epochs": 40},
    "fashion-mnist": FASHION_MNIST,
    "mnist1d": {"patch_size": 1, "epochs": 60, "batch_size": 100},
}


def prepare_pretraining(config: PretrainConfig, callbacks: Sequence[Callback] = ()) -> Experiment:
    """Build data, masked autoencoder, optimizer, schedule and trainer.

    Parameters
    ----------
    config : PretrainConfig
        What to build. The global generator is seeded with ``config.seed``.
    callbacks : sequence of Callback
        Handed to the trainer.

    Returns
    -------
    Experiment
        Its trainer's model is the `FCMAE`. Labels are never looked at.

    Raises
    ------
    OptionError, ShapeError
        If the model is no ConvNeXt V2, or the images do not divide into its patches.

    Examples
    --------
    >>> config = PretrainConfig(epochs=1, depths=(1, 1), dims=(8, 8), decoder_dim=8)
    >>> sorted(prepare_pretraining(config).fit()[0])
    ['epoch', 'lr', 'seconds', 'train_loss', 'val_loss']
    """
    check_machine(config)
    random.manual_seed(config.seed)
    split = load_split(config.data, config.download, seed=config.seed)
    model = build_autoencoder(config, split.spec).to(config.device)
    train = DataLoader(
        split.train,
        config.batch_size,
        shuffle=True,
        transform=train_transform(config, split.spec, area=(0.2, 1.0)),
        num_workers=config.workers,
        drop_last=len(split.train) > config.batch_size,
        seed=config.seed,
    )
    test = DataLoader(
        split.test,
        EVAL_BATCH,
        transform=eval_transform(config, split.spec),
        num_workers=config.workers,
    )
    adam = config.optimizer.lower() in ("adam", "adamw")
    betas = {"betas": (0.9, 0.95)} if adam else {}  # as the official recipe
    optimizer, schedule = optimizer_and_schedule(config, model, len(train), **betas)
    trainer = Trainer(
        model,
        optimizer,
        loss_of,
        schedule=schedule,
        clip_grad=config.clip_grad or None,
        metrics={},
        callbacks=callbacks,
        precision=config.precision,
        cuda_graph=config.cuda_graph,
    )
    return Experiment(config, split, trainer, train, test)


def reconstructions(experiment: Experiment, count: int = 8) -> dict[str, NDArray[np.float32]]:
    """Return held-out images, the same with grey patches, and with these as they are predicted.

    The masks are always the same ones, whatever the global generator has given.
    """
    model = experiment.trainer.model
    if not isinstance(model, FCMAE):
        raise OptionError("reconstructions: the experiment must be one of prepare_pretraining")
    transform = experiment.test.transform
    rng, samples = np.random.default_rng(0), min(count, len(experiment.split.test))
    images = [experiment.split.test[i][0] for i in range(samples)]
    x = Tensor(np.stack([transform(i, rng) if transform else i for i in images]))
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


def loss_of(outputs: Any, targets: Tensor) -> Tensor:
    """Return what the autoencoder has computed; the targets are the labels, which it ignores."""
    loss: Tensor = outputs[0]
    return loss


def build_autoencoder(config: PretrainConfig, spec: ImageSpec) -> FCMAE:
    """Build the masked autoencoder of a config; refuse images that cannot be cut into patches."""
    encoder = build_model(config, spec)
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
    side = config.image_size or spec.size or 224
    grid = patch_grid((side,) * model.spatial_dims, model.patch_size)  # refuses what cannot be cut
    random_mask(1, int(np.prod(grid)), config.mask_ratio, generator=random.Generator(0))
    return model
