"""``minigrad val``: evaluate a trained model on the held-out part of its data."""

from __future__ import annotations

import argparse
from pathlib import Path

from minigrad.cli.options import add_averaging_options, add_trained_options, averaged
from minigrad.runs import find_trained, load_trained
from minigrad.runs.evaluation import held_out
from minigrad.runs.folders import check_output
from minigrad.train.threads import blas_threads

HELP = "Evaluate a trained model on the held-out part of its data, class by class."
EXAMPLES = """examples:
  minigrad val                                       the model that was trained last
  minigrad val --checkpoint runs/digits              another one
  minigrad val --checkpoint runs/a --ensemble runs/b --tta flip
  minigrad val --data elsewhere/pictures             the data lie elsewhere, or are others
  minigrad val --data new --all                      every picture of a folder that is new to it
  minigrad val --output findings                     tables and pictures: findings/confusion.svg …
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_trained_options(parser)
    add_averaging_options(parser)
    parser.add_argument(
        "--data",
        metavar="NAME",
        help="data set or folder (default: what the model was trained on); of one that is not "
        "divided, the same fifth is held out as in training",
    )
    parser.add_argument(
        "--all",
        action="store_true",
        help="with --data: all of it, also what a training would not hold out",
    )
    parser.add_argument(
        "--output",
        metavar="DIR",
        help="write what is found to this folder: confusion, calibration and the scores of every "
        "class as pictures, and as CSV and JSON",
    )


def run(args: argparse.Namespace) -> int:
    """Print the loss, and scores of every class."""
    if args.output is not None:
        check_output(Path(args.output))
    trained = load_trained(find_trained(args.checkpoint, classes=False), args.device)
    trained = averaged(trained, args)
    with blas_threads(trained.config.threads):
        trained, split = held_out(trained, args.data, args.all)
        if asked := trained.task.asked(trained, split):
            print(asked, flush=True)
        found = trained.task.evaluate(trained, split)
    print(found)
    if args.output is not None:
        for path in found.save(args.output, trained.path.parent.name):
            print(f"  {path}")
    return 0
