"""``minigrad train``: from a data set to a checkpoint, curves and a sheet of predictions."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

import numpy as np

from minigrad import io
from minigrad.cli.parser import add_config_options, given_options, plain
from minigrad.cli.runs import (
    CHECKPOINT,
    add_run_options,
    free_name,
    make_folder,
    run_name,
    saved_run,
)
from minigrad.data.dataset import Image
from minigrad.train import (
    Callback,
    Checkpoint,
    Experiment,
    Log,
    Progress,
    TrainConfig,
    Trainer,
    initial_sizes,
    prepare,
    read_toml,
)
from minigrad.train.config import FOLDER, RECIPES
from minigrad.train.threads import blas_threads
from minigrad.viz import curves_svg, predictions_svg

HELP = "Train a model; the checkpoint, the log and the pictures go to runs/NAME/."
FILES = {
    CHECKPOINT: "the whole state of the run",
    "model.safetensors": "the weights alone",
    "log.csv": "losses and accuracies by epoch (log.jsonl has them too)",
    "curves.svg": "the same as a picture",
    "predictions.svg": "pictures with what the model takes them for",
}
SHOWN = 32  # pictures on the sheet of predictions


class Curves(Callback):
    """Draw ``curves.svg`` anew after every epoch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_fit_start(self, trainer: Trainer) -> None:
        if trainer.history:  # resumed
            self.on_epoch_end(trainer)

    def on_epoch_end(self, trainer: Trainer) -> None:
        curves_svg(trainer.history, title=self.folder.name).save(self.folder / "curves.svg")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    recipes = {**{k: v for k, v in RECIPES.items() if v}, "a folder of pictures": FOLDER}
    parser.epilog = "other defaults, by data set:\n" + "\n".join(
        f"  {name}: " + ", ".join(f"{key} {plain(value)}" for key, value in recipe.items())
        for name, recipe in recipes.items()
    )
    add_run_options(parser, "that of the data set")
    add_config_options(parser.add_argument_group("what is trained, and how"))


def run(args: argparse.Namespace) -> int:
    """Train, or go on training."""
    given = given_options(args)
    file = read_toml(args.config) if args.config else {}
    output = Path(args.output)
    name = run_name(args, Path(str(given.get("data", file.get("data", TrainConfig.data)))).name)
    if args.resume:
        config, state = saved_run(output / name, file | given, TrainConfig, CHECKPOINT)
    else:
        name, state = free_name(output, name), None
        start = (file | given).get("init_from")
        config = TrainConfig.from_values(initial_sizes(start) if start else {}, file, given)
    folder = output / name
    experiment = prepare(config, initialise=state is None)
    if state is not None:
        experiment.trainer.load_state_dict(state)
    make_folder(folder)
    io.remove_leftovers(folder)
    checkpoint = Checkpoint(folder / CHECKPOINT, config.checkpoint_every, experiment.about)
    experiment.trainer.callbacks += [Progress(), checkpoint, Log(folder), Curves(folder)]
    io.write_text(folder / "config.toml", config.to_toml())
    _announce(experiment)
    try:
        experiment.fit()
    except KeyboardInterrupt:
        words = ["minigrad", "train", "--output", str(output), "--name", name, "--resume"]
        print(f"stopped; go on with: {shlex.join(words)}")
        raise
    with blas_threads(config.threads):
        _finish(experiment, folder)
    return 0


def _announce(experiment: Experiment) -> None:
    trainer, config = experiment.trainer, experiment.config
    count = sum(p.numel() for p in trainer.model.parameters())
    where = f", from epoch {trainer.epoch + 1}, batch {trainer.batch}" if trainer.step else ""
    print(
        f"{config.model} with {count:,} parameters on {config.data}: "
        f"{len(experiment.split.train):,} images to train on, {len(experiment.split.test):,} "
        f"held out{where}",
        flush=True,
    )


def _finish(experiment: Experiment, folder: Path) -> None:
    """Save bare weights and the sheet of predictions; say what came out."""
    trainer, split = experiment.trainer, experiment.split
    io.save(trainer.eval_model.state_dict(), folder / "model.safetensors")
    guesses = trainer.predict(experiment.test).argmax(1)
    labels = np.array([split.test[i][1] for i in range(len(split.test))])
    good = int((guesses == labels).sum())
    right, wrong = np.flatnonzero(guesses == labels), np.flatnonzero(guesses != labels)
    chosen = [*wrong[: SHOWN // 4], *right][:SHOWN]
    drawing = predictions_svg(
        np.stack([_picture(experiment, int(i)) for i in chosen]),
        labels[chosen],
        guesses[chosen],
        split.spec.classes,
        title=f"{folder.name}: {good:,} of {len(labels):,} held-out images are right",
    )
    drawing.save(folder / "predictions.svg")
    print(f"accuracy on {len(labels):,} held-out images: {100 * good / len(labels):.2f} %")
    for file, what in FILES.items():
        print(f"  {folder / file}  {what}")


def _picture(experiment: Experiment, index: int) -> Image:
    """Return a test image as the model sees it."""
    image, _ = experiment.split.test[index]
    transform = experiment.test.transform
    return image if transform is None else transform(image, np.random.default_rng())
