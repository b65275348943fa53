"""The command of a task: ``minigrad train``, ``pretrain``, ``segment``."""

from __future__ import annotations

import argparse
from typing import Any

from minigrad.cli.options import add_config_options, given_options
from minigrad.data.dataset import whole_number
from minigrad.distributed import init, launch
from minigrad.errors import OptionError
from minigrad.runs import Task, cross_validate, find, read_toml, run
from minigrad.runs.config import plain
from minigrad.runs.finding import FOUND

__all__ = ["TaskCommand"]


class TaskCommand:
    """A command that trains; for the rest of the package it looks like the module of one."""

    def __init__(self, task: Task[Any]) -> None:
        self.task, self.HELP, self.EXAMPLES = task, task.help, task.examples

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        config = self.task.config
        recipes: dict[str, Any] = {**config.recipes, "a folder of pictures": config.folder}
        lines = [
            f"  {name}: " + ", ".join(f"{key} {plain(value)}" for key, value in recipe.items())
            for name, recipe in recipes.items()
            if recipe
        ]
        parser.epilog = "\n".join(["other defaults, by data set:", *lines]) if lines else None
        suffix = self.task.suffix
        called = "that of the data set" + (f" and {suffix}" if suffix else "")
        add = parser.add_argument
        if not config.masks:
            add("folder", nargs="?", metavar="FOLDER", help="pictures of yours; the same as --data")
        add("--config", metavar="FILE", help="TOML file of the options below")
        add("--name", help=f"name of the run (default: {called})")
        add("--output", default="runs", metavar="DIR", help="folder of the runs (default: runs)")
        add(
            "--find",
            choices=tuple(FOUND),
            help="train nothing; measure which learning rate or batch size suits, and draw it",
        )
        add("--resume", action="store_true", help="resume that run from its last checkpoint")
        add(
            "--ranks",
            type=int,
            default=1,
            metavar="N",
            help="processes of this machine that share the work of every batch (default: 1)",
        )
        add_config_options(parser.add_argument_group("what is trained, and how"), config)

    def run(self, args: argparse.Namespace) -> int:
        """Train, or resume training; then say what came out."""
        if whole_number("ranks", args.ranks, 1) > 1 and init().size == 1:
            return launch(args.ranks, ["-m", "minigrad", *args.words])
        file = read_toml(args.config) if args.config else {}
        given = given_options(args, self.task.config)
        if folder := vars(args).get("folder"):
            if given.get("data", folder) != folder:
                raise OptionError(f"{folder} and --data {given['data']}: train on one of them")
            given["data"] = folder
        wanted = file | given
        if args.find:
            find(self.task, wanted, args.find, output=args.output, name=args.name)
            return 0
        if wanted.get("folds") and not wanted.get("fold") and not args.resume:
            cross_validate(self.task, wanted, output=args.output, name=args.name)
            return 0
        run(self.task, wanted, output=args.output, name=args.name, resume=args.resume)
        return 0
