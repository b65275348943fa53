"""From a config to everything that takes part in training: data, model, optimizer, trainer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from minigrad import backend, models, optim, random
from minigrad.amp import autocast
from minigrad.backend import Device
from minigrad.data import DataLoader, ImageSpec, Mix, Split, load_split, stratified_subset
from minigrad.data import transforms as T
from minigrad.errors import OptionError
from minigrad.modes import no_grad
from minigrad.nn import Module
from minigrad.nn import functional as F
from minigrad.runs.config import Config, TrainConfig
from minigrad.runs.initial import load_initial
from minigrad.tensor import Tensor
from minigrad.train.callbacks import Callback
from minigrad.train.threads import blas_threads
from minigrad.train.trainer import Trainer, check_loader

__all__ = [
    "Experiment",
    "build_model",
    "check_machine",
    "eval_transform",
    "optimizer_and_schedule",
    "prepare",
    "train_transform",
]

OWN_SIZE = {"convnext": models.ConvNeXt, "convnextv2": models.ConvNeXtV2}
EVAL_BATCH = 256


@dataclass(frozen=True)
class Experiment:
    """What `prepare` builds."""

    config: Config
    split: Split
    trainer: Trainer
    train: DataLoader
    test: DataLoader

    @property
    def about(self) -> dict[str, Any]:
        """What `Checkpoint` should keep, so that the model can be used without the data."""
        return {"config": self.config.to_dict(), "images": asdict(self.split.spec)}

    def rehearse(self) -> None:
        """Let one sample through the model, so that what does not fit is found before training.

        Nothing is changed by it, not even the random numbers that follow.
        """
        for loader in (self.train, self.test):
            check_loader(loader)
        model, transform = self.trainer.model, self.test.transform
        image = np.asarray(self.split.train[0][0])
        if transform is not None:
            image = transform(image, np.random.default_rng(0))
        state, training = random.get_rng_state(), model.training
        try:
            with no_grad():
                model.eval()(Tensor(image[None]).to(self.config.device))
        finally:
            model.train(training)
            random.set_rng_state(state)

    def fit(self) -> list[dict[str, float]]:
        """Train to the end, from wherever the trainer stands; return the history."""
        with blas_threads(self.config.threads):
            return self.trainer.fit(self.train, self.test, self.config.epochs)


def check_machine(config: Config) -> None:
    """Refuse what needs a package or a device that is not here, before anything is prepared."""
    backend.namespace(config.device)
    if config.precision != "float32":
        autocast(Device(config.device).type, config.precision)


def prepare(
    config: TrainConfig, callbacks: Sequence[Callback] = (), initialise: bool = True
) -> Experiment:
    """Build data, model, optimizer, schedule and trainer.

    Parameters
    ----------
    config : TrainConfig
        What to build. The global generator is seeded with ``config.seed``.
    callbacks : sequence of Callback
        Handed to the trainer.
    initialise : bool, default True
        Whether to load the weights of ``config.init_from``; a run that goes on needs none.

    Examples
    --------
    >>> experiment = prepare(TrainConfig(epochs=1, depths=(1,), dims=(8,)))
    >>> [row["epoch"] for row in experiment.fit()]
    [1]
    """
    check_machine(config)
    random.manual_seed(config.seed)
    split = load_split(config.data, config.download, seed=config.seed)
    if config.labels < 1:
        share = stratified_subset(split.train, config.labels, config.seed)
        split = replace(split, train=share)
    model = build_model(config, split.spec)
    if config.init_from and initialise:
        load_initial(model, config.init_from)
    model.to(config.device)
    mix = None
    if config.mixup or config.cutmix:
        mix = Mix(len(split.spec.classes), config.mixup, config.cutmix)
    train = DataLoader(
        split.train,
        config.batch_size,
        shuffle=True,
        transform=train_transform(config, split.spec, erase=config.erase),
        mix=mix,
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
    optimizer, schedule = optimizer_and_schedule(config, model, len(train))
    trainer = Trainer(
        model,
        optimizer,
        partial(F.cross_entropy, label_smoothing=config.label_smoothing),
        val_loss=F.cross_entropy,  # what a model is worth does not depend on how it was trained
        schedule=schedule,
        ema=optim.ModelEma(model, config.ema) if config.ema else None,
        clip_grad=config.clip_grad or None,
        callbacks=callbacks,
        precision=config.precision,
        cuda_graph=config.cuda_graph,
    )
    return Experiment(config, split, trainer, train, test)


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


def build_model(config: Config, spec: ImageSpec) -> Module:
    """Build the model of a config for the channels and classes of the data."""
    options: dict[str, Any] = {
        "in_channels": spec.channels,
        "num_classes": len(spec.classes),
        "drop_path_rate": config.drop_path if isinstance(config, TrainConfig) else 0.0,
        "patch_size": config.patch_size,
        "kernel_size": config.kernel_size,
        "spatial_dims": spec.spatial_dims,
    }
    if config.model.lower() in OWN_SIZE:
        own = OWN_SIZE[config.model.lower()]
        return own(depths=config.depths, dims=config.dims, **options)
    return models.create_model(config.model, **options)


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
