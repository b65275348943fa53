"""Run folders: where a training run keeps its files, and how the last one is found."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minigrad.data import Split, load_split
from minigrad.errors import DataError, OptionError
from minigrad.nn import Module
from minigrad.train import TrainConfig, load_checkpoint
from minigrad.train.setup import build_model

__all__ = ["CHECKPOINT", "Trained", "add_checkpoint_option", "free_name", "load_trained"]

CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True)
class Trained:
    """A trained model with what it was trained on."""

    path: Path
    config: TrainConfig
    split: Split
    model: Module


def add_checkpoint_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--checkpoint``."""
    parser.add_argument(
        "--checkpoint",
        metavar="PATH",
        help="a checkpoint, or the folder of a run (default: the latest below runs/)",
    )


def free_name(output: Path, name: str) -> str:
    """Return `name`, or ``name-2``, ``name-3`` … if a run has it already."""
    number, candidate = 1, name
    while (output / candidate).exists():
        number += 1
        candidate = f"{name}-{number}"
    return candidate


def load_trained(checkpoint: str | None) -> Trained:
    """Load a model for evaluation: the averaged weights if there are any.

    Raises
    ------
    DataError
        If there is no checkpoint, or it is damaged.
    """
    path = _latest() if checkpoint is None else Path(checkpoint)
    if path.is_dir():
        path = path / CHECKPOINT
    state: dict[str, Any] = load_checkpoint(path)
    if not state["config"]:
        raise DataError(f"{path}: this checkpoint was not made by 'minigrad train'")
    config = TrainConfig.from_values(state["config"])
    split = load_split(config.data, config.download, seed=config.seed)
    model = build_model(config, split)
    model.load_state_dict(state["ema"] or state["model"])
    return Trained(path, config, split, model.to(config.device).eval())


def _latest() -> Path:
    found = list(Path("runs").glob(f"*/{CHECKPOINT}"))
    if not found:
        raise OptionError(
            "there is no trained model below runs/; train one with 'minigrad train', "
            "or name one with --checkpoint"
        )
    return max(found, key=lambda path: path.stat().st_mtime_ns)
