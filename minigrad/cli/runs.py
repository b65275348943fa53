"""Run folders: where a training run keeps its files, and how the last one is found."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from minigrad.backend import Device
from minigrad.cli.parser import plain
from minigrad.data import ImageSpec
from minigrad.errors import DataError, OptionError, unknown
from minigrad.nn import Module
from minigrad.train import Config, TrainConfig, load_checkpoint, read_toml
from minigrad.train.setup import build_model

__all__ = [
    "CHECKPOINT",
    "PRETRAINING",
    "SEGMENTATION",
    "Trained",
    "add_run_options",
    "add_trained_options",
    "free_name",
    "load_trained",
    "make_folder",
    "run_name",
    "saved_run",
]

CHECKPOINT = "checkpoint.safetensors"
PRETRAINING = "pretraining.safetensors"  # the checkpoint of a run of 'minigrad pretrain'
SEGMENTATION = "segmentation.safetensors"  # … of 'minigrad segment'
COMMANDS = {CHECKPOINT: "train", PRETRAINING: "pretrain", SEGMENTATION: "segment"}
HARMLESS = {"workers", "checkpoint_every", "download"}  # may change on resume

C = TypeVar("C", bound=Config)


@dataclass(frozen=True)
class Trained:
    """A trained model with what it was trained on."""

    path: Path
    config: TrainConfig
    images: ImageSpec
    model: Module


def add_trained_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose a trained model and where it runs."""
    parser.add_argument(
        "--checkpoint",
        metavar="PATH",
        help="a checkpoint, or the folder of a run (default: the latest below runs/)",
    )
    parser.add_argument(
        "--device", default="cpu", metavar="NAME", help="cpu, cuda or cuda:<number>"
    )


def add_run_options(parser: argparse.ArgumentParser, name: str) -> None:
    """Add the options that say where a run's files go; `name` is its name by default."""
    parser.add_argument("--config", metavar="FILE", help="TOML file of the options below")
    parser.add_argument("--name", help=f"name of the run (default: {name})")
    parser.add_argument(
        "--output", default="runs", metavar="DIR", help="folder of the runs (default: runs)"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with that run from its last checkpoint"
    )


def run_name(args: argparse.Namespace, default: str) -> str:
    """Return the name of a run that is asked for, or refuse it."""
    name: str = args.name or default
    if not name or Path(name).name != name:
        raise OptionError(f"--name must be the name of a folder, got {name!r}")
    return name


def free_name(output: Path, name: str) -> str:
    """Return `name`, or ``name-2``, ``name-3`` … if a run has it already."""
    number, candidate = 1, name
    while (output / candidate).exists():
        number += 1
        candidate = f"{name}-{number}"
    return candidate


def saved_run(
    folder: Path, wanted: dict[str, Any], kind: type[C], checkpoint: str
) -> tuple[C, dict[str, Any] | None]:
    """Return config and last checkpoint of a run, after checking that nothing else is asked."""
    if not folder.is_dir():
        others = [path.parent.name for path in folder.parent.glob("*/config.toml")]
        raise unknown("run", folder.name, others)
    for file, command in COMMANDS.items():
        if file != checkpoint and (folder / file).is_file():
            raise OptionError(
                f"{folder} is a run of 'minigrad {command}'; resume it with that command"
            )
    if not (folder / "config.toml").is_file():  # killed before anything was written
        return kind.from_values(wanted), None
    saved = read_toml(folder / "config.toml")
    for key, value in wanted.items():
        value = list(value) if isinstance(value, tuple) else value
        if key not in HARMLESS and key in saved and saved[key] != value:
            raise OptionError(
                f"{folder} was trained with {key}={plain(saved[key])}, not {plain(value)}; "
                "leave the option out to resume it, or give a new --name"
            )
    config = kind.from_values(saved, wanted)
    path = folder / checkpoint
    return config, load_checkpoint(path) if path.is_file() else None


def make_folder(folder: Path) -> None:
    """Make the folder of a run."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: this folder cannot be made ({error.strerror})") from None


def load_trained(checkpoint: str | None, device: str) -> Trained:
    """Load a model for evaluation: the averaged weights if there are any.

    Raises
    ------
    DataError
        If there is no checkpoint, or it is damaged.
    """
    Device(device)
    path = _latest() if checkpoint is None else Path(checkpoint)
    if path.is_dir():
        if (path / PRETRAINING).is_file():
            raise OptionError(
                f"{path} is a pre-training, which knows no classes; fine-tune it with "
                f"'minigrad train --init-from {path}'"
            )
        path = path / CHECKPOINT
    state = load_checkpoint(path)
    if not state["about"]:
        raise DataError(f"{path}: this checkpoint was not made by 'minigrad train'")
    config = TrainConfig.from_values(state["about"]["config"])
    images = ImageSpec(**state["about"]["images"])
    model = build_model(config, images)
    model.load_state_dict(state["ema"] or state["model"])
    return Trained(path, config, images, model.to(device).eval())


def _latest() -> Path:
    found = list(Path("runs").glob(f"*/{CHECKPOINT}"))
    if not found:
        raise OptionError(
            "there is no trained model below runs/; train one with 'minigrad train', "
            "or name one with --checkpoint"
        )
    return max(found, key=lambda path: path.stat().st_mtime_ns)
