"""Segmentation: a U-Net, and data whose every position has a class."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from minigrad import models, optim, random
from minigrad.data import DataLoader, ImageSpec, Split
from minigrad.data import transforms as T
from minigrad.data.catalog import list_datasets, sources
from minigrad.errors import OptionError, unknown
from minigrad.nn import functional as F
from minigrad.runs.config import Config, option
from minigrad.runs.experiment import OWN_SIZE, Experiment, check_machine, optimizer_and_schedule
from minigrad.runs.initial import load_initial
from minigrad.tensor import Tensor
from minigrad.train.callbacks import Callback
from minigrad.train.segmentation import SegmentationTrainer

__all__ = [
    "SegmentConfig",
    "build_unet",
    "prepare_segmentation",
    "segmentation_data",
]

NETWORKS: dict[str, Callable[..., models.UNet]] = {
    "unet": models.UNet,
    "attention_unet": models.AttentionUNet,
    "unet_plus_plus": models.UNetPlusPlus,
}
LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "cross_entropy": F.cross_entropy,
    "dice": F.dice_loss,
    "dice_ce": F.dice_ce_loss,
    "generalized_dice": F.generalized_dice_loss,
}


@dataclass(frozen=True)
class SegmentConfig(Config):
    """All that decides the training of a U-Net; immutable.

    Examples
    --------
    >>> config = SegmentConfig.from_values({"data": "brain", "network": "attention_unet"})
    >>> config.decoder_filters, config.image_size
    ((32, 16, 8), 32)
    >>> SegmentConfig.from_values({"network": "unett"})
    Traceback (most recent call last):
        ...
    minigrad.errors.OptionError: unknown network 'unett'; did you mean 'unet'? ...
    """

    command: ClassVar[str] = "segment"
    masks: ClassVar[bool] = True

    data: str = option("fashion-scenes", "what is segmented: fashion-scenes or brain")
    root: str = option("", "folder of the data's files, where they are in no usual place")
    samples: int = option(0, "scenes or cubes that are made for training; 0: the data's own number")
    held_out: int = option(0, "scenes that are made for testing; 0: the data's own number")
    fine: bool = option(False, "tell the ten labels of Fashion-MNIST apart, not five kinds")
    init_from: str = option("", "weights of the encoder: a run of train or pretrain, or a file")
    network: str = option("unet", "unet, attention_unet or unet_plus_plus")
    depths: tuple[int, ...] = option((1, 2, 3), "blocks of each stage of the encoder")
    dims: tuple[int, ...] = option((32, 64, 128), "channels of each stage of the encoder")
    decoder_filters: tuple[int, ...] = option((48, 16, 8), "channels of the decoder, from below")
    decoder_block_type: str = option("upsampling", "how the decoder grows: upsampling, transpose")
    decoder_normalization: str = option("batch", "batch, group, instance, layer, unit or none")
    loss: str = option("dice_ce", "cross_entropy, dice, dice_ce or generalized_dice")
    epochs: int = option(3, "passes over the training samples")
    batch_size: int = option(32, "samples per step")
    lr: float = option(4e-3, "largest learning rate")
    warmup_epochs: float = option(0.3, "epochs in which the learning rate rises from 0")
    ema: float = option(0.0, "decay of an average of the weights, which is then evaluated; 0: off")

    @classmethod
    def recipe(cls, data: str) -> dict[str, Any]:
        """Return what differs from the defaults for a data set: `RECIPES`."""
        return RECIPES.get(data, {})

    def check(self) -> None:
        """Refuse values that make no sense."""
        super().check()
        for name, value, choices in (
            ("data set to segment", self.data, list_datasets(masks=True)),
            ("network", self.network, NETWORKS),
            ("loss", self.loss, LOSSES),
        ):
            if value not in choices:
                raise unknown(name, value, choices)
        if self.model.lower() not in OWN_SIZE:
            raise unknown("encoder", self.model, OWN_SIZE)
        if self.crop or self.flip:
            raise OptionError(
                "crop and flip are for pictures with one label each; scenes and cubes are mirrored "
                "and cut at random anyway: leave the options out"
            )
        if self.fine and self.data != "fashion-scenes":
            raise OptionError(f"fine is for fashion-scenes; {self.data} has its own classes")
        if self.held_out and self.data != "fashion-scenes":
            raise OptionError(
                f"held_out is for fashion-scenes; {self.data} has its own held-out part"
            )
        if self.ema > 1:
            raise OptionError(f"ema must lie between 0 and 1, got {self.ema}")


BRAIN: dict[str, Any] = {
    "depths": (1, 1, 1),
    "dims": (16, 32, 64),
    "decoder_filters": (32, 16, 8),
    "image_size": 32,
    "kernel_size": 3,
    "epochs": 6,
    "batch_size": 4,
}
SCENES: dict[str, Any] = {
    "model": "convnext",  # GRN would see all garments of a scene at once
    "samples": 40_000,
    "decoder_filters": (64, 32, 16),
    "epochs": 2,
    "batch_size": 8,
    "warmup_epochs": 0.15,
    "ema": 0.99,
}
RECIPES: dict[str, dict[str, Any]] = {"fashion-scenes": SCENES, "brain": BRAIN}


def segmentation_data(config: SegmentConfig) -> Split:
    """Return training and held-out part, whose labels are maps of classes."""
    options: dict[str, Any] = {"root": config.root, "size": config.image_size, "seed": config.seed}
    options |= {"count": config.samples}
    if config.data == "fashion-scenes":
        options |= {"held_out": config.held_out, "fine": config.fine}
    chosen = {name: value for name, value in options.items() if value}  # else the data's own
    return sources[config.data].load(config.download, **chosen)


def build_unet(config: SegmentConfig, spec: ImageSpec, init_from: str = "") -> models.UNet:
    """Build the U-Net of a config for the channels and classes of the data.

    `init_from` names the weights that its encoder begins with, as for `load_initial`.
    """
    encoder = OWN_SIZE[config.model.lower()](
        spec.channels,
        0,
        config.depths,
        config.dims,
        patch_size=config.patch_size,
        kernel_size=config.kernel_size,
        spatial_dims=spec.spatial_dims,
    )
    if init_from:
        load_initial(encoder, init_from)
    return NETWORKS[config.network](
        encoder,
        num_classes=len(spec.classes),
        decoder_block_type=config.decoder_block_type,
        decoder_filters=config.decoder_filters,
        decoder_normalization=config.decoder_normalization,
        head_upsample="auto",
        classifier_activation=None,
        pad=True,
    )


def prepare_segmentation(
    config: SegmentConfig, callbacks: Sequence[Callback] = (), initialise: bool = True
) -> Experiment:
    """Build data, U-Net, optimizer, schedule and trainer.

    Parameters
    ----------
    config : SegmentConfig
        What to build. The global generator is seeded with ``config.seed``.
    callbacks : sequence of Callback
        Handed to the trainer.
    initialise : bool, default True
        Whether to load the encoder of ``config.init_from``; a run that goes on needs none.

    Returns
    -------
    Experiment
        Its trainer is a `SegmentationTrainer`.

    Raises
    ------
    DataError
        If the data are not on this machine; the message says how to get them.
    """
    check_machine(config)
    random.manual_seed(config.seed)
    split = segmentation_data(config)
    model = build_unet(config, split.spec, config.init_from if initialise else "")
    model.to(config.device)
    normalize = T.Normalize(split.spec.mean, split.spec.std)
    train = DataLoader(
        split.train,
        config.batch_size,
        shuffle=True,
        transform=normalize,
        num_workers=config.workers,
        drop_last=len(split.train) > config.batch_size,
        seed=config.seed,
    )
    test = DataLoader(split.test, 2 * config.batch_size, transform=normalize)
    optimizer, schedule = optimizer_and_schedule(config, model, len(train))
    trainer = SegmentationTrainer(
        model,
        optimizer,
        LOSSES[config.loss],
        schedule=schedule,
        ema=optim.ModelEma(model, config.ema) if config.ema else None,
        clip_grad=config.clip_grad or None,
        metrics={},
        callbacks=callbacks,
        precision=config.precision,
        cuda_graph=config.cuda_graph,
    )
    return Experiment(config, split, trainer, train, test)
