"""Options that several commands share."""

from __future__ import annotations

import argparse
import dataclasses
import os
import typing
from dataclasses import replace
from pathlib import Path
from typing import Any

from minigrad.errors import DataError, OptionError
from minigrad.models.ensemble import VIEWS, Ensemble
from minigrad.models.sliding_window import MODES
from minigrad.models.tiled import Tiled
from minigrad.runs import Config, TrainConfig, Trained, find_trained, load_trained
from minigrad.runs.config import plain

__all__ = [
    "add_averaging_options",
    "add_config_options",
    "add_trained_options",
    "averaged",
    "check_file",
    "given_options",
]

_METAVAR: dict[Any, str] = {int: "N", float: "X", str: "NAME"}


def add_config_options(
    parser: argparse._ActionsContainer, config: type[Config] = TrainConfig
) -> None:
    """Add an option for every field of a kind of config with its help and default.

    An option that is not given does not appear in the parsed arguments, so that a file can set it.
    """
    hints = typing.get_type_hints(config)
    for field in dataclasses.fields(config):
        kind = hints[field.name]
        shown = plain(field.default) or "none"
        settings: dict[str, Any] = {
            "default": argparse.SUPPRESS,
            "help": f"{field.metadata['help']} (default: {shown})".replace("%", "%%"),
        }
        if kind is bool:
            settings["action"] = argparse.BooleanOptionalAction
        elif kind in (int, float, str):
            settings |= {"type": kind, "metavar": _METAVAR[kind]}
        else:
            number = typing.get_args(kind)[0]
            settings |= {"type": number, "nargs": "+", "metavar": _METAVAR[number]}
        parser.add_argument(f"--{field.name.replace('_', '-')}", **settings)


def given_options(args: argparse.Namespace, config: type[Config] = TrainConfig) -> dict[str, Any]:
    """Return the options of a kind of config that stood on the command line."""
    names = {field.name for field in dataclasses.fields(config)}
    return {name: value for name, value in vars(args).items() if name in names}


def add_trained_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that choose a trained model and where it runs."""
    parser.add_argument(
        "--checkpoint",
        "--model",
        dest="checkpoint",
        metavar="PATH",
        help="a checkpoint, or the folder of a run (default: the latest below runs/)",
    )
    parser.add_argument(
        "--device", default="cpu", metavar="NAME", help="cpu, cuda or cuda:<number>"
    )


def add_averaging_options(parser: argparse.ArgumentParser) -> None:
    """Add the options by which answers of several models, views or tiles become one."""
    parser.add_argument(
        "--ensemble",
        action="append",
        default=[],
        metavar="PATH",
        help="average the probabilities with those of this run; may be given several times",
    )
    parser.add_argument(
        "--tta",
        nargs="+",
        default=[],
        choices=tuple(VIEWS),
        help="test-time augmentation: average over views of the input, mirrored or turned",
    )
    parser.add_argument(
        "--tile",
        nargs="+",
        type=int,
        metavar="N",
        help="segment large inputs in tiles of these sides that overlap, so that memory is enough",
    )
    parser.add_argument(
        "--overlap",
        type=float,
        metavar="X",
        help="with --tile: share of a tile that the next has too (default 0.25)",
    )
    parser.add_argument(
        "--blend",
        choices=MODES,
        help="with --tile: how the rim of a tile counts beside its middle (default gaussian)",
    )


def averaged(trained: Trained[Any], args: argparse.Namespace) -> Trained[Any]:
    """Return the trained model, or the ensemble, perhaps in tiles, that the options ask for.

    Raises
    ------
    OptionError
        If a run of the ensemble is of another kind, or sees its data otherwise; or tiles are asked
        for where whole inputs have one answer.
    """
    trained = _ensemble(trained, args) if args.ensemble or args.tta else trained
    if args.tile is None:
        for name in ("overlap", "blend"):
            if getattr(args, name) is not None:
                raise OptionError(f"--{name} is for tiles: give their sides with --tile")
        return trained
    dims = trained.images.spatial_dims
    if not trained.config.masks:
        raise OptionError(
            f"--tile is for a segmentation, but {trained.path} gives a whole picture one answer"
        )
    if len(args.tile) not in (1, dims):
        raise OptionError(
            f"--tile takes one number or {dims}, as {trained.path} sees {dims} axes; got "
            f"{' '.join(map(str, args.tile))}"
        )
    overlap = 0.25 if args.overlap is None else args.overlap
    batch = getattr(args, "batch", 1)
    tiled = Tiled(trained.model, args.tile, overlap, args.blend or "gaussian", batch)
    return replace(trained, model=tiled.eval())


def _ensemble(trained: Trained[Any], args: argparse.Namespace) -> Trained[Any]:
    """Return the trained model and others, in several views, as one."""
    if trained.images.targets != "class":
        raise OptionError(
            f"{trained.path} tells {trained.images.targets}; --ensemble and --tta average the "
            "probabilities of classes"
        )
    models = [trained.model]
    for path in args.ensemble:
        other = load_trained(find_trained(path), args.device)
        for what in ("task", "images"):
            if getattr(other, what) != getattr(trained, what):
                raise OptionError(
                    f"{other.path} differs from {trained.path} in its {what}: an ensemble is of "
                    "runs on the same data and classes"
                )
        for name in ("image_size", "interpolation", "crop_pct"):
            ours, theirs = (getattr(t.config, name, None) for t in (trained, other))
            if ours != theirs:
                raise OptionError(
                    f"{other.path} was trained with {name}={plain(theirs)}, {trained.path} with "
                    f"{plain(ours)}: an ensemble is shown one picture"
                )
        models.append(other.model)
    return replace(trained, model=Ensemble(models, args.tta).eval())


def check_file(name: str | None) -> None:
    """Refuse the name of a file that cannot be written, before anything is computed for it."""
    if name is None:
        return
    path = Path(name)
    if path.is_dir():
        raise DataError(f"{path}: a folder; name a file in it")
    if not path.parent.is_dir():
        raise DataError(f"{path}: cannot be written, as there is no folder {path.parent}")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise DataError(f"{path}: cannot be written, as {path.parent} must not be written to")
