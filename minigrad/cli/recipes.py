"""``minigrad recipes``: the official recipes, and every value of one."""

from __future__ import annotations

import argparse
import json

from minigrad.errors import unknown
from minigrad.runs import tasks

HELP = "List the official recipes of ConvNeXt, or print every value of one."
EXAMPLES = """examples:
  minigrad recipes                                   their names
  minigrad recipes convnext-1k --model convnext_base
  minigrad recipes convnext-1k > mine.toml           change it, then: train --config mine.toml
  minigrad train --recipe convnext-1k --data PICTURES --lr 1e-3
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("recipe", nargs="?", metavar="NAME", help="a recipe (default: list them)")
    parser.add_argument("--model", metavar="NAME", help="for which model (default: its first one)")


def run(args: argparse.Namespace) -> int:
    """Print the names, or one recipe as a file of options."""
    found = {
        name: (task, recipe)
        for task in tasks.values()
        for name, recipe in task.config.official.items()
    }
    if args.recipe is None:
        width = max(map(len, found))
        for name, (task, recipe) in found.items():
            print(f"{name:{width}}  {recipe.about} (minigrad {task.name})")
        return 0
    if args.recipe not in found:
        raise unknown("recipe", args.recipe, found)
    task, recipe = found[args.recipe]
    print(f"# {args.recipe}, for minigrad {task.name}")
    print(f"# {recipe.about}")
    print(f"# models: {', '.join(recipe.models)}")
    for name, value in recipe.of(args.model).items():
        print(f"{name} = {json.dumps(value)}")
    return 0
