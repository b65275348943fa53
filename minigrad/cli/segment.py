"""``minigrad segment``: train a U-Net to say what every pixel or voxel is."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from minigrad import io
from minigrad.cli.task import Task, Trained, count
from minigrad.data import DataLoader, ImageSpec, Split, read_image, read_nifti
from minigrad.data import transforms as T
from minigrad.data.npy import read_npy
from minigrad.errors import DataError
from minigrad.modes import no_grad
from minigrad.nn import Module
from minigrad.runs import Experiment
from minigrad.runs.folders import SEGMENTATION
from minigrad.runs.segmentation import (
    LOSSES,
    RECIPES,
    SegmentConfig,
    build_unet,
    prepare_segmentation,
    segmentation_data,
)
from minigrad.tensor import Tensor
from minigrad.train import ConfusionMatrix
from minigrad.train.segmentation import SegmentationTrainer
from minigrad.viz.masks import masks_svg

HELP = "Train a U-Net to say what every pixel of an image or voxel of a volume is."
EXAMPLES = """examples:
  minigrad segment --data brain                      tissues of a brain
  minigrad segment --data brain --resume             go on after Ctrl-C
  minigrad segment --network unet_plus_plus          another of the three networks
"""
SHOWN = 6  # samples in the picture


class Segmentation(Task[SegmentConfig]):
    """Every position has a class."""

    config = SegmentConfig
    checkpoint = SEGMENTATION
    files: ClassVar[Mapping[str, str]] = {
        SEGMENTATION: "the whole state of the run",
        "model.safetensors": "the weights alone",
        "scores.csv": "IoU and Dice of every class on the held-out part",
        "log.csv": "losses and mean scores by epoch (log.jsonl has them too)",
        "curves.svg": "the same as a picture",
        "masks.svg": "held-out images, their true and their predicted classes",
    }
    recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = RECIPES
    knows = "share"

    def prepare(self, config: SegmentConfig, initialise: bool) -> Experiment:
        return prepare_segmentation(config, initialise=initialise)

    def build(self, config: SegmentConfig, images: ImageSpec) -> Module:
        return build_unet(config, images)

    def data(self, config: SegmentConfig) -> Split:
        return segmentation_data(config)

    def announce(self, experiment: Experiment) -> str:
        config = experiment.config
        assert isinstance(config, SegmentConfig)
        return (
            f"{config.network} over {config.model} with {count(experiment.trainer.model):,} "
            f"parameters on {experiment.split.train!r}"
        )

    def finish(self, experiment: Experiment, folder: Path) -> None:
        """Save bare weights, scores and pictures; say what came out."""
        trainer, classes = experiment.trainer, experiment.split.spec.classes
        assert isinstance(trainer, SegmentationTrainer)
        io.save(trainer.eval_model.state_dict(), folder / "model.safetensors")
        matrix = trainer.confusion(experiment.test)
        _print_scores(matrix, classes)
        mean = (matrix.mean_iou(), matrix.mean_dice())
        rows = [*zip(classes, matrix.iou(), matrix.dice(), strict=True), ("mean", *mean)]
        lines = ["class,iou,dice", *(f"{name},{iou:.6f},{dice:.6f}" for name, iou, dice in rows)]
        io.write_text(folder / "scores.csv", "\n".join(lines) + "\n")
        _draw(experiment, folder, f"{folder.name}: mean IoU {mean[0]:.3f}, mean Dice {mean[1]:.3f}")

    def evaluate(self, trained: Trained[SegmentConfig], split: Split) -> None:
        """Print the loss, and IoU and Dice of every class."""
        config, classes = trained.config, trained.images.classes
        if split.spec.classes != classes:
            raise DataError(
                f"{config.data} has the classes {', '.join(split.spec.classes)}, but the model was "
                f"trained for {', '.join(classes)}"
            )
        print(f"{trained.path}: {config.network} over {config.model} on {split.test!r}", flush=True)
        normalize = T.Normalize(trained.images.mean, trained.images.std)
        loader = DataLoader(split.test, 2 * config.batch_size, transform=normalize)
        trainer = SegmentationTrainer(
            trained.model, loss=LOSSES[config.loss], metrics={}, precision=config.precision
        )
        means, matrix = trainer.measured(loader)
        print(f"loss {means['loss']:.4f} ({config.loss})")
        _print_scores(matrix, classes)

    def read(self, trained: Trained[SegmentConfig], path: Path) -> NDArray[Any]:
        images = trained.images
        if images.spatial_dims == 2:
            image = read_image(path, images.channels)
        else:
            image = _volume(path)
        return T.Normalize(images.mean, images.std)(image, np.random.default_rng(0))

    def shares(
        self, trained: Trained[SegmentConfig], image: NDArray[Any]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return the share of the positions that every class takes, and the classes themselves."""
        with no_grad():
            scores = trained.model(Tensor(image[None]).to(trained.device))
        mask = scores.cpu().numpy()[0].argmax(0)
        return np.bincount(mask.ravel(), minlength=len(scores[0])) / mask.size, mask


TASK = Segmentation()
add_options, run = TASK.add_options, TASK.run


def _print_scores(matrix: ConfusionMatrix, classes: tuple[str, ...]) -> None:
    width = max(map(len, classes))
    for name, iou, dice in zip(classes, matrix.iou(), matrix.dice(), strict=True):
        print(f"  {name:{width}}  IoU {iou:.4f}  Dice {dice:.4f}")
    print(f"  {'mean':{width}}  IoU {matrix.mean_iou():.4f}  Dice {matrix.mean_dice():.4f}")


def _volume(path: Path) -> NDArray[np.float32]:
    """Read a volume (1, D, H, W), its brightest voxel 1: NIfTI, or an array of such a shape."""
    read = read_npy if path.suffix.lower() == ".npy" else read_nifti
    volume = np.asarray(read(path), np.float32)
    if volume.ndim == 4 and len(volume) == 1:
        volume = volume[0]
    if volume.ndim != 3 or not volume.size:
        raise DataError(f"{path}: expected a volume (D, H, W), found {volume.shape}")
    return volume[None] / (volume.max() or np.float32(1))


def _draw(experiment: Experiment, folder: Path, title: str) -> None:
    trainer, split = experiment.trainer, experiment.split
    samples = [split.test[i] for i in range(min(SHOWN, len(split.test)))]
    transform, rng = experiment.test.transform, np.random.default_rng()
    images = np.stack([transform(x, rng) if transform else x for x, _ in samples])
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
