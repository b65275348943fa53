"""What runs are built of: the model, optimizer and schedule, and what happens to an image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from minigrad import backend, models, optim
from minigrad.data import ImageSpec
from minigrad.data import transforms as T
from minigrad.data.catalog import sources
from minigrad.errors import OptionError
from minigrad.models.registry import find
from minigrad.nn import Module
from minigrad.runs.config import FOLDER_SIDE, Config, PictureConfig
from minigrad.train.loggers import check_logger
from minigrad.train.precision import in_precision

__all__ = [
    "EVAL_BATCH",
    "OWN_SIZE",
    "build_model",
    "check_machine",
    "count",
    "eval_transform",
    "optimizer_and_schedule",
    "picture_options",
    "train_transform",
]

OWN_SIZE = {"convnext": models.ConvNeXt, "convnextv2": models.ConvNeXtV2}
EVAL_BATCH = 256


def check_machine(config: Config) -> None:
    """Refuse what needs a package or a device that is not here, before anything is prepared."""
    backend.namespace(config.device)
    in_precision(config.precision, config.device)
    if config.log_to:
        check_logger(config.log_to)


def optimizer_and_schedule(
    config: Config, model: Module, batches: int, layer_decay: float = 1.0, grouping: str = "single"
) -> tuple[optim.Optimizer, optim.LRScheduler | None]:
    """Build the optimizer, with weight decay where it belongs, and the learning rate's course."""
    groups = optim.param_groups(model, config.weight_decay, layer_decay, grouping)
    given = {"betas": config.betas, "momentum": config.momentum}
    takes = optim.options_of(config.optimizer)
    own = {name: value for name, value in given.items() if value and name in takes}
    optimizer = optim.create(config.optimizer, groups, lr=config.lr, **own)
    if config.schedule != "cosine" and not config.warmup_epochs:
        return optimizer, None
    steps = math.ceil(batches / config.accumulate)  # of an epoch
    warmup = round(min(config.warmup_epochs, config.epochs / 2) * steps)
    least = config.min_lr if config.schedule == "cosine" else config.lr
    schedule = optim.WarmupCosineLR(
        optimizer, config.epochs * steps, warmup, least, repeat_peak=config.repeat_peak
    )
    return optimizer, schedule


def count(model: Module) -> int:
    """Return the number of a model's parameters."""
    return sum(p.numel() for p in model.parameters())


def build_model(config: Config, spec: ImageSpec, **more: Any) -> Module:
    """Build the model of a config for the channels and classes of the data."""
    options: dict[str, Any] = {
        "in_channels": spec.channels,
        "num_classes": len(spec.classes),
        "patch_size": config.patch_size,
        "kernel_size": config.kernel_size,
        "spatial_dims": spec.spatial_dims,
        **more,
    }
    if config.model.lower() in OWN_SIZE:
        own = OWN_SIZE[config.model.lower()]
        return own(depths=config.depths, dims=config.dims, **options)
    return models.create_model(config.model, **find(config.model).fitting(options))


def picture_options(config: PictureConfig) -> dict[str, Any]:
    """Return how `load_split` reads the pictures of a folder; nothing for data with a name."""
    if config.data in sources:
        return {}
    side = (config.image_size or FOLDER_SIDE) if config.whole else None
    return {"channels": config.channels, "side": side, "mono": config.mono}


def train_transform(
    config: PictureConfig,
    spec: ImageSpec,
    area: tuple[float, float] = (0.08, 1.0),
    changes: Sequence[T.Transform] = (),
    erase: T.Transform | None = None,
) -> T.Transform:
    """Return what happens to a training image.

    `area` is the part of a picture that is cut out; `changes` are done before it is normalised,
    `erase` after that.
    """
    if spec.spatial_dims != 2 and config.image_size not in (0, spec.size):
        raise OptionError(
            f"image_size scales pictures; these signals keep their length of {spec.size}: leave it "
            "out"
        )
    if config.crop and spec.size is None:
        raise OptionError(
            "crop shifts pictures that all have one size; from those of a folder parts are cut at "
            "random anyway: leave it out"
        )
    steps: list[T.Transform] = []
    if spec.size is None:
        size = config.image_size or FOLDER_SIDE
        steps.append(T.RandomResizedCrop(size, area, config.interpolation))
    elif config.image_size not in (0, spec.size):
        steps.append(T.Resize((config.image_size, config.image_size), config.interpolation))
    if config.crop:
        steps.append(T.RandomCrop(config.crop))
    if config.flip:
        steps.append(T.RandomHorizontalFlip())
    steps += [*changes, T.Normalize(spec.mean, spec.std)]
    if erase:
        steps.append(erase)
    return T.Compose(steps)


def eval_transform(config: PictureConfig, spec: ImageSpec) -> T.Transform:
    """Return what happens to an image that is to be classified."""
    size, how = config.image_size or spec.size or FOLDER_SIDE, config.interpolation
    steps: list[T.Transform] = []
    if spec.size is None and config.crop_pct < 1:
        steps += [T.Resize(round(size / config.crop_pct), how), T.CenterCrop(size)]
    elif size != spec.size:
        steps.append(T.Resize((size, size), how))
    return T.Compose([*steps, T.Normalize(spec.mean, spec.std)])
