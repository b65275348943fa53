"""Options that several commands share."""

from __future__ import annotations

import argparse
import dataclasses
import os
import typing
from pathlib import Path
from typing import Any

from minigrad.errors import DataError
from minigrad.runs import Config, TrainConfig
from minigrad.runs.config import plain

__all__ = ["add_config_options", "add_trained_options", "check_file", "given_options"]

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
            settings |= {"type": int, "nargs": "+", "metavar": "N"}
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
