"""``minigrad pretrain``: a masked autoencoder on images without labels."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

from minigrad import io
from minigrad.cli.parser import add_config_options, given_options, plain
from minigrad.cli.runs import (
    PRETRAINING,
    add_run_options,
    free_name,
    make_folder,
    run_name,
    saved_run,
)
from minigrad.cli.train import Curves
from minigrad.models import from_fcmae
from minigrad.train import (
    Callback,
    Checkpoint,
    Experiment,
    Log,
    PretrainConfig,
    Progress,
    Trainer,
    prepare_pretraining,
    read_toml,
    reconstructions,
)
from minigrad.train.pretrain import FOLDER, RECIPES
from minigrad.viz import reconstructions_svg

HELP = "Pre-train a ConvNeXt V2 without labels: it learns to fill in what a mask hides (FCMAE)."
FILES = {
    PRETRAINING: "the whole state of the run",
    "encoder.safetensors": "the encoder's weights alone",
    "log.csv": "losses by epoch (log.jsonl has them too)",
    "curves.svg": "the same as a picture",
    "reconstructions.svg": "held-out images, what was shown of them, and what the model made of it",
}


class Pictures(Callback):
    """Draw ``reconstructions.svg`` anew after every epoch."""

    def __init__(self, folder: Path, experiment: Experiment) -> None:
        self.folder, self.experiment = folder, experiment

    def on_epoch_end(self, trainer: Trainer) -> None:
        title = f"{self.folder.name}, epoch {trainer.epoch}"
        drawing = reconstructions_svg(reconstructions(self.experiment), title=title)
        drawing.save(self.folder / "reconstructions.svg")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    recipes = {**RECIPES, "a folder of pictures": FOLDER}
    parser.epilog = "other defaults, by data set:\n" + "\n".join(
        f"  {name}: " + ", ".join(f"{key} {plain(value)}" for key, value in recipe.items())
        for name, recipe in recipes.items()
    )
    add_run_options(parser, "that of the data set and -pretrained")
    options = parser.add_argument_group("what is trained, and how")
    add_config_options(options, PretrainConfig)


def run(args: argparse.Namespace) -> int:
    """Pre-train, or go on with it."""
    given = given_options(args, PretrainConfig)
    file = read_toml(args.config) if args.config else {}
    output = Path(args.output)
    data = Path(str(given.get("data", file.get("data", PretrainConfig.data)))).name
    name = run_name(args, f"{data}-pretrained")
    if args.resume:
        config, state = saved_run(output / name, file | given, PretrainConfig, PRETRAINING)
    else:
        name, state = free_name(output, name), None
        config = PretrainConfig.from_values(file, given)
    folder = output / name
    experiment = prepare_pretraining(config)
    trainer = experiment.trainer
    if state is not None:
        trainer.load_state_dict(state)
    make_folder(folder)
    io.remove_leftovers(folder)
    checkpoint = Checkpoint(folder / PRETRAINING, config.checkpoint_every, experiment.about)
    trainer.callbacks += [Progress(), checkpoint, Log(folder), Curves(folder)]
    images = experiment.split.spec
    if images.spatial_dims == 2 and images.channels in (1, 3):  # else there is no picture of them
        trainer.callbacks.append(Pictures(folder, experiment))
    io.write_text(folder / "config.toml", config.to_toml())
    count = sum(p.numel() for p in trainer.model.parameters())
    where = f", from epoch {trainer.epoch + 1}, batch {trainer.batch}" if trainer.step else ""
    print(
        f"masked autoencoder around {config.model} with {count:,} parameters on {config.data}: "
        f"{len(experiment.split.train):,} images without labels{where}",
        flush=True,
    )
    try:
        experiment.fit()
    except KeyboardInterrupt:
        words = ["minigrad", "pretrain", "--output", str(output), "--name", name, "--resume"]
        print(f"stopped; go on with: {shlex.join(words)}")
        raise
    io.save(from_fcmae(trainer.model.state_dict()), folder / "encoder.safetensors")
    for written, what in FILES.items():
        if (folder / written).is_file():
            print(f"  {folder / written}  {what}")
    words = ["minigrad", "train", "--data", config.data, "--init-from", str(folder)]
    print(f"fine-tune it with: {shlex.join(words)}")
    return 0
