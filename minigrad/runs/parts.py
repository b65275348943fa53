"""What runs are built of: the model, optimizer and schedule, and what happens to an image."""

from __future__ import annotations

from typing import Any

from minigrad import backend, models, optim
from minigrad.amp import autocast
from minigrad.backend import Device
from minigrad.data import ImageSpec
from minigrad.data import transforms as T
from minigrad.errors import OptionError
from minigrad.models.registry import find
from minigrad.nn import Module
from minigrad.runs.config import Config

__all__ = [
    "EVAL_BATCH",
    "OWN_SIZE",
    "build_model",
    "check_machine",
    "count",
    "eval_transform",
    "optimizer_and_schedule",
    "train_transform",
]

OWN_SIZE = {"convnext": models.ConvNeXt, "convnextv2": models.ConvNeXtV2}
EVAL_BATCH = 256


def check_machine(config: Config) -> None:
    """Refuse what needs a package or a device that is not here, before anything is prepared."""
    backend.namespace(config.device)
    if config.precision != "float32":
        autocast(Device(config.device).type, config.precision)


def optimizer_and_schedule(
    config: Config, model: Module, batches: int, **options: Any
) -> tuple[optim.Optimizer, optim.LRScheduler | None]:
    """Build the optimizer, with weight decay where it belongs, and the learning rate's course."""
    optimizer = optim.create(
        config.optimizer, optim.param_groups(model, config.weight_decay), lr=config.lr, **options
    )
    if config.schedule != "cosine" and not config.warmup_epochs:
        return optimizer, None
    warmup = round(min(config.warmup_epochs, config.epochs / 2) * batches)
    least = 0.0 if config.schedule == "cosine" else config.lr
    return optimizer, optim.WarmupCosineLR(optimizer, config.epochs * batches, warmup, least)


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


def train_transform(
    config: Config, spec: ImageSpec, area: tuple[float, float] = (0.08, 1.0), erase: float = 0.0
) -> T.Transform:
    """Return what happens to a training image; `area` is the part of a picture that is cut out."""
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
        steps.append(T.RandomResizedCrop(config.image_size or 224, area))
    elif config.image_size not in (0, spec.size):
        steps.append(T.Resize((config.image_size, config.image_size)))
    if config.crop:
        steps.append(T.RandomCrop(config.crop))
    if config.flip:
        steps.append(T.RandomHorizontalFlip())
    steps.append(T.Normalize(spec.mean, spec.std))
    if erase:
        steps.append(T.RandomErasing(erase))
    return T.Compose(steps)


def eval_transform(config: Config, spec: ImageSpec) -> T.Transform:
    """Return what happens to an image that is to be classified."""
    size = config.image_size or spec.size or 224
    steps: list[T.Transform] = []
    if spec.size is None:
        steps += [T.Resize(round(size * 8 / 7)), T.CenterCrop(size)]
    elif size != spec.size:
        steps.append(T.Resize((size, size)))
    return T.Compose([*steps, T.Normalize(spec.mean, spec.std)])
