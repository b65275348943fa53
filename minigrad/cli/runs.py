"""Run folders: where a training run keeps its files, and how the last one is found."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from minigrad.backend import Device
from minigrad.data import ImageSpec
from minigrad.errors import DataError, OptionError
from minigrad.nn import Module
from minigrad.train import TrainConfig, load_checkpoint
from minigrad.train.setup import build_model

__all__ = ["CHECKPOINT", "Trained", "add_trained_options", "free_name", "load_trained"]

CHECKPOINT = "checkpoint.safetensors"


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


def free_name(output: Path, name: str) -> str:
    """Return `name`, or ``name-2``, ``name-3`` … if a run has it already."""
    number, candidate = 1, name
    while (output / candidate).exists():
        number += 1
        candidate = f"{name}-{number}"
    return candidate


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
