"""Segmentation (`minigrad segment`): a U-Net, and data whose every position has a class."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from minigrad import io, models
from minigrad.data import ImageSpec, Split, Volume, load_split, read_image, read_volume
from minigrad.data import transforms as T
from minigrad.data.catalog import list_datasets
from minigrad.data.npy import read_npy
from minigrad.data.volume import Grid
from minigrad.errors import DataError, OptionError, unknown
from minigrad.models.registry import encoders_of
from minigrad.modes import no_grad
from minigrad.nn import Module
from minigrad.nn import functional as F
from minigrad.runs.config import Config, option
from minigrad.runs.experiment import Experiment
from minigrad.runs.findings import Findings
from minigrad.runs.initial import load_initial
from minigrad.runs.parts import OWN_SIZE, count
from minigrad.runs.task import Task, Trained
from minigrad.tensor import Tensor
from minigrad.train import Calibration, ConfusionMatrix, SegmentationTrainer
from minigrad.viz.masks import masks_svg

__all__ = ["SegmentConfig", "Segmentation"]

SHOWN = 6  # samples in the picture
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
    >>> values = {"data": "brain", "network": "attention_unet"}
    >>> config = SegmentConfig.from_values(values)
    >>> config.decoder_filters, config.image_size
    ((32, 16, 8), 32)
    >>> SegmentConfig.from_values({"network": "unett"})
    Traceback (most recent call last):
        ...
    minigrad.errors.OptionError: unknown network 'unett'; did you mean 'unet'? ...
    """

    masks: ClassVar[bool] = True
    monitors: ClassVar[tuple[str, ...]] = ("val_iou", "val_dice", "val_loss")
    recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "fashion-scenes": {
            "model": "convnext",  # GRN would see all garments of a scene at once
            "samples": 40_000,
            "decoder_filters": (64, 32, 16),
            "epochs": 2,
            "batch_size": 8,
            "warmup_epochs": 0.15,
            "ema": 0.99,
        },
        "brain": {
            "depths": (1, 1, 1),
            "dims": (16, 32, 64),
            "decoder_filters": (32, 16, 8),
            "image_size": 32,
            "kernel_size": 3,
            "epochs": 6,
            "batch_size": 4,
        },
    }

    data: str = option("fashion-scenes", "what is segmented; 'minigrad data' lists what has masks")
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
    monitor: str = option("val_iou", "what the best epoch is judged by; or val_dice, val_loss")
    ema: float = option(0.0, "decay of an average of the weights, which is then evaluated; 0: off")

    def check(self) -> None:
        """Refuse values that make no sense."""
        super().check()
        for name, value, choices in (
            ("data set to segment", self.data, list_datasets(masks=True)),
            ("network", self.network, [name for name in models.list_models() if encoders_of(name)]),
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


class Segmentation(Task[SegmentConfig]):
    """Every position has a class."""

    name = "segment"
    help = "Train a U-Net to say what every pixel of an image or voxel of a volume is."
    examples = """examples:
  minigrad segment --data brain                      tissues of a brain
  minigrad segment --data brain --resume             continue after Ctrl-C
  minigrad segment --network unet_plus_plus          another of the three networks
"""
    config = SegmentConfig
    checkpoint = "segmentation.safetensors"
    files: ClassVar[Mapping[str, str]] = {
        "model.safetensors": "the weights alone",
        "scores.csv": "IoU and Dice of every class on the held-out part",
        "masks.svg": "held-out images, their true and their predicted classes",
    }
    knows = "share"

    def data(self, config: SegmentConfig) -> Split:
        options: dict[str, Any] = {"root": config.root, "size": config.image_size}
        options |= {"count": config.samples, "held_out": config.held_out, "fine": config.fine}
        given = {name: value for name, value in options.items() if value}  # else the data's own
        return load_split(config.data, config.download, seed=config.seed, **given)

    def build(self, config: SegmentConfig, images: ImageSpec) -> Module:
        encoder = OWN_SIZE[config.model.lower()](
            images.channels,
            0,
            config.depths,
            config.dims,
            patch_size=config.patch_size,
            kernel_size=config.kernel_size,
            spatial_dims=images.spatial_dims,
        )
        return models.create_model(
            config.network,
            encoder=encoder,
            num_classes=len(images.classes),
            decoder_block_type=config.decoder_block_type,
            decoder_filters=config.decoder_filters,
            decoder_normalization=config.decoder_normalization,
            head_upsample="auto",
            classifier_activation=None,
            pad=True,
        )

    def start(self, config: SegmentConfig, model: Module) -> None:
        if config.init_from:
            load_initial(model.get_submodule("encoder"), config.init_from)

    def train_options(self, config: SegmentConfig, images: ImageSpec) -> dict[str, Any]:
        return {"transform": T.Normalize(images.mean, images.std)}

    def test_options(self, config: SegmentConfig, images: ImageSpec) -> dict[str, Any]:
        return {
            "batch_size": 2 * config.batch_size,
            "transform": T.Normalize(images.mean, images.std),
        }

    def trainer(self, config: SegmentConfig, model: Module, **options: Any) -> SegmentationTrainer:
        return SegmentationTrainer(model, loss=LOSSES[config.loss], metrics={}, **options)

    def average(self, config: SegmentConfig) -> float:
        return config.ema

    def announce(self, experiment: Experiment[SegmentConfig]) -> str:
        config = experiment.config
        return (
            f"{config.network} over {config.model} with {count(experiment.trainer.model):,} "
            f"parameters on {experiment.split.train!r}"
        )

    def finish(self, experiment: Experiment[SegmentConfig], folder: Path) -> None:
        """Save bare weights, scores and pictures; say what came out."""
        trainer, classes = experiment.trainer, experiment.split.spec.classes
        assert isinstance(trainer, SegmentationTrainer)
        io.save(trainer.eval_model.state_dict(), folder / "model.safetensors")
        matrix = trainer.confusion(experiment.test)
        print(*_scores(matrix, classes), sep="\n")
        mean = (matrix.mean_iou(), matrix.mean_dice())
        rows = [*zip(classes, matrix.iou(), matrix.dice(), strict=True), ("mean", *mean)]
        lines = ["class,iou,dice", *(f"{name},{iou:.6f},{dice:.6f}" for name, iou, dice in rows)]
        io.write_text(folder / "scores.csv", "\n".join(lines) + "\n")
        _draw(experiment, folder, f"{folder.name}: mean IoU {mean[0]:.3f}, mean Dice {mean[1]:.3f}")

    def asked(self, trained: Trained[SegmentConfig], split: Split) -> str:
        config = trained.config
        return f"{trained.path}: {config.network} over {config.model} on {split.test!r}"

    def evaluate(self, trained: Trained[SegmentConfig], split: Split) -> Findings:
        """Return the loss, and IoU and Dice of every class."""
        config, classes = trained.config, trained.images.classes
        if split.spec.classes != classes:
            raise DataError(
                f"{config.data} has the classes {', '.join(split.spec.classes)}, but the model was "
                f"trained for {', '.join(classes)}"
            )
        trainer = self.trainer(config, trained.model, precision=config.precision)
        calibration = Calibration()
        means, matrix = trainer.measured(trained.held_out(split), calibration)
        lines = [f"loss {means['loss']:.4f} ({config.loss})", *_scores(matrix, classes)]
        return Findings({}, lines, matrix.report(classes), matrix, calibration)

    def read(self, trained: Trained[SegmentConfig], path: Path) -> NDArray[Any]:
        images = trained.images
        if images.spatial_dims == 3:
            return _bright(trained, path, _grid(trained, path).there())
        return _normalized(trained, read_image(path, images.channels))

    def shares(
        self, trained: Trained[SegmentConfig], images: NDArray[Any]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return the share of the positions that every class takes, and the classes themselves."""
        masks = _chances(trained, images).argmax(1)
        return np.stack([_taken(mask, trained) for mask in masks]), masks

    def ask(
        self, trained: Trained[SegmentConfig], path: Path
    ) -> tuple[NDArray[np.float64], NDArray[np.int64] | Volume | None]:
        """Return shares and mask, that of a volume in the file's own voxels.

        A model that works on others, or on other axes, gives probabilities, and these are
        interpolated: the mask has the class that is then most probable.
        """
        if trained.images.spatial_dims != 3:
            return super().ask(trained, path)
        grid = _grid(trained, path)
        mask = grid.back(_chances(trained, _bright(trained, path, grid.there())[None])[0])
        return _taken(mask, trained), replace(grid.volume, array=mask)


def _normalized(trained: Trained[SegmentConfig], image: NDArray[Any]) -> NDArray[Any]:
    images = trained.images
    return T.Normalize(images.mean, images.std)(image, np.random.default_rng(0))


def _chances(trained: Trained[SegmentConfig], images: NDArray[Any]) -> NDArray[Any]:
    """Return the probability of every class at every position, (N, K, *spatial)."""
    with no_grad():
        scores = trained.model(Tensor(images).to(trained.device))
        return np.asarray(F.softmax(scores.float(), 1).cpu().numpy())


def _taken(mask: NDArray[np.int64], trained: Trained[SegmentConfig]) -> NDArray[np.float64]:
    """Return the share of the positions that every class takes."""
    return np.bincount(mask.ravel(), minlength=len(trained.images.classes)) / mask.size


def _scores(matrix: ConfusionMatrix, classes: tuple[str, ...]) -> Iterator[str]:
    width = max(map(len, classes))
    mean = ("mean", matrix.mean_iou(), matrix.mean_dice())
    for name, iou, dice in (*zip(classes, matrix.iou(), matrix.dice(), strict=True), mean):
        yield f"  {name:{width}}  IoU {iou:.4f}  Dice {dice:.4f}"


def _grid(trained: Trained[SegmentConfig], path: Path) -> Grid:
    """Read a volume: NIfTI or what nibabel reads, or an array, which lies nowhere."""
    if path.suffix.lower() != ".npy":
        return Grid(path, read_volume(path), trained.images.spacing)
    array = read_npy(path)
    array = array[0] if array.ndim == 4 and len(array) == 1 else array
    return Grid(path, Volume(array, np.eye(4), (1.0,) * array.ndim))


def _bright(
    trained: Trained[SegmentConfig], path: Path, array: NDArray[np.float32]
) -> NDArray[Any]:
    """Return the numbers as the model gets them (1, D, H, W): the brightest voxel was 1."""
    if not np.isfinite(array).all():
        raise DataError(
            f"{path}: holds NaN or infinities, which would spread to every voxel; save it with "
            "numbers in their places (numpy.nan_to_num)"
        )
    return _normalized(trained, array[None] / (array.max() or np.float32(1)))


def _draw(experiment: Experiment[SegmentConfig], folder: Path, title: str) -> None:
    trainer, split = experiment.trainer, experiment.split
    samples = [split.test[i] for i in range(min(SHOWN, len(split.test)))]
    images = np.stack([experiment.seen(x) for x, _ in samples])
    model = trainer.eval_model.eval()
    with no_grad():
        scores = model(Tensor(images).to(experiment.config.device))
    drawing = masks_svg(
        images,
        np.stack([np.asarray(mask) for _, mask in samples]),
        scores.cpu().numpy().argmax(1),
        split.spec.classes,
        title=title,
    )
    drawing.save(folder / "masks.svg")
