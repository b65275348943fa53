"""The command of a task: ``minigrad train``, ``pretrain``, ``segment``."""

from __future__ import annotations

import argparse
from typing import Any

from minigrad.cli.options import add_config_options, given_options
from minigrad.runs import Task, read_toml, run
from minigrad.runs.config import plain

__all__ = ["TaskCommand"]


class TaskCommand:
    """A command that trains; for the rest of the package it looks like the module of one."""

    def __init__(self, task: Task[Any]) -> None:
        self.task, self.HELP, self.EXAMPLES = task, task.help, task.examples

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Declare the options."""
        config = self.task.config
        recipes = {**config.recipes, "a folder of pictures": config.folder}
        lines = [
            f"  {name}: " + ", ".join(f"{key} {plain(value)}" for key, value in recipe.items())
            for name, recipe in recipes.items()
            if recipe
        ]
        parser.epilog = "\n".join(["other defaults, by data set:", *lines]) if lines else None
        suffix = self.task.suffix
        called = "that of the data set" + (f" and {suffix}" if suffix else "")
        add = parser.add_argument
        add("--config", metavar="FILE", help="TOML file of the options below")
        add("--name", help=f"name of the run (default: {called})")
        add("--output", default="runs", metavar="DIR", help="folder of the runs (default: runs)")
        add("--resume", action="store_true", help="resume that run from its last checkpoint")
        add_config_options(parser.add_argument_group("what is trained, and how"), config)

    def run(self, args: argparse.Namespace) -> int:
        """Train, or resume training; then say what came out."""
        file = read_toml(args.config) if args.config else {}
        wanted = file | given_options(args, self.task.config)
        run(self.task, wanted, output=args.output, name=args.name, resume=args.resume)
        return 0
