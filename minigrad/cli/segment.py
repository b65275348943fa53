"""``minigrad segment``: train a U-Net to say what every pixel or voxel is."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

import numpy as np

from minigrad import io
from minigrad.cli.parser import add_config_options, given_options, plain
from minigrad.cli.runs import (
    SEGMENTATION,
    add_run_options,
    free_name,
    make_folder,
    run_name,
    saved_run,
)
from minigrad.cli.train import Curves
from minigrad.modes import no_grad
from minigrad.tensor import Tensor
from minigrad.train import Checkpoint, Experiment, Log, Progress, initial_sizes, read_toml
from minigrad.train.segment import (
    RECIPES,
    SegmentationTrainer,
    SegmentConfig,
    prepare_segmentation,
)
from minigrad.train.threads import blas_threads
from minigrad.viz.masks import masks_svg

HELP = "Train a U-Net to say what every pixel of an image or voxel of a volume is."
FILES = {
    SEGMENTATION: "the whole state of the run",
    "model.safetensors": "the weights alone",
    "scores.csv": "IoU and Dice of every class on the held-out part",
    "log.csv": "losses and mean scores by epoch (log.jsonl has them too)",
    "curves.svg": "the same as a picture",
    "masks.svg": "held-out images, their true and their predicted classes",
}
SHOWN = 6  # samples in the picture


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.epilog = "other defaults, by data set:\n" + "\n".join(
        f"  {name}: " + ", ".join(f"{key} {plain(value)}" for key, value in recipe.items())
        for name, recipe in RECIPES.items()
    )
    add_run_options(parser, "that of the data set")
    add_config_options(parser.add_argument_group("what is trained, and how"), SegmentConfig)


def run(args: argparse.Namespace) -> int:
    """Train, or go on training; then score every class on the held-out part."""
    given = given_options(args, SegmentConfig)
    file = read_toml(args.config) if args.config else {}
    output = Path(args.output)
    name = run_name(args, str(given.get("data", file.get("data", SegmentConfig.data))))
    if args.resume:
        config, state = saved_run(output / name, file | given, SegmentConfig, SEGMENTATION)
    else:
        name, state = free_name(output, name), None
        start = (file | given).get("init_from")
        config = SegmentConfig.from_values(initial_sizes(start) if start else {}, file, given)
    folder = output / name
    experiment = prepare_segmentation(config, initialise=state is None)
    trainer = experiment.trainer
    if state is not None:
        trainer.load_state_dict(state)
    make_folder(folder)
    io.remove_leftovers(folder)
    checkpoint = Checkpoint(folder / SEGMENTATION, config.checkpoint_every, experiment.about)
    trainer.callbacks += [Progress(), checkpoint, Log(folder), Curves(folder)]
    io.write_text(folder / "config.toml", config.to_toml())
    count = sum(p.numel() for p in trainer.model.parameters())
    where = f", from epoch {trainer.epoch + 1}, batch {trainer.batch}" if trainer.step else ""
    print(
        f"{config.network} over {config.model} with {count:,} parameters on "
        f"{experiment.split.train!r}{where}",
        flush=True,
    )
    try:
        experiment.fit()
    except KeyboardInterrupt:
        words = ["minigrad", "segment", "--output", str(output), "--name", name, "--resume"]
        print(f"stopped; go on with: {shlex.join(words)}")
        raise
    with blas_threads(config.threads):
        _finish(experiment, folder)
    return 0


def _finish(experiment: Experiment, folder: Path) -> None:
    """Save bare weights, scores and pictures; say what came out."""
    trainer, classes = experiment.trainer, experiment.split.spec.classes
    assert isinstance(trainer, SegmentationTrainer)
    io.save(trainer.eval_model.state_dict(), folder / "model.safetensors")
    matrix = trainer.confusion(experiment.test)
    iou, dice = matrix.iou(), matrix.dice()
    lines = ["class,iou,dice"]
    width = max(map(len, classes))
    for name, a, b in zip(classes, iou, dice, strict=True):
        print(f"  {name:{width}}  IoU {a:.4f}  Dice {b:.4f}")
        lines.append(f"{name},{a:.6f},{b:.6f}")
    mean = (matrix.mean_iou(), matrix.mean_dice())
    print(f"  {'mean':{width}}  IoU {mean[0]:.4f}  Dice {mean[1]:.4f}")
    lines.append(f"mean,{mean[0]:.6f},{mean[1]:.6f}")
    io.write_text(folder / "scores.csv", "\n".join(lines) + "\n")
    _draw(experiment, folder, f"{folder.name}: mean IoU {mean[0]:.3f}, mean Dice {mean[1]:.3f}")
    for file, what in FILES.items():
        print(f"  {folder / file}  {what}")


def _draw(experiment: Experiment, folder: Path, title: str) -> None:
    trainer, split = experiment.trainer, experiment.split
    count = min(SHOWN, len(split.test))
    samples = [split.test[i] for i in range(count)]
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
