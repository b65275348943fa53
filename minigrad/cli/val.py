"""``minigrad val``: evaluate a trained model on the held-out part of its data."""

from __future__ import annotations

import argparse
from dataclasses import replace

from minigrad.cli.options import add_trained_options
from minigrad.errors import DataError, OptionError
from minigrad.runs import find_trained, load_trained
from minigrad.train.threads import blas_threads

HELP = "Evaluate a trained model on the held-out part of its data, class by class."
EXAMPLES = """examples:
  minigrad val                                       the model that was trained last
  minigrad val --checkpoint runs/digits              another one
  minigrad val --data elsewhere/pictures             the data lie elsewhere, or are others
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_trained_options(parser)
    parser.add_argument(
        "--data",
        metavar="NAME",
        help="data set or folder (default: what the model was trained on); of one that is not "
        "divided, the same fifth is held out as in training",
    )


def run(args: argparse.Namespace) -> int:
    """Print the loss, and scores of every class."""
    trained = load_trained(find_trained(args.checkpoint, classes=False), args.device)
    config = trained.config
    if args.data is not None:
        chosen = trained.task.config.from_values(config.to_dict(), {"data": args.data})
        trained = replace(trained, config=chosen)
    with blas_threads(config.threads):
        try:
            split = trained.task.data(trained.config)
        except (DataError, OptionError) as error:
            if args.data is None:
                raise DataError(
                    f"{error}; {trained.path} was trained on it: say where the data are now with "
                    "--data"
                ) from None
            raise
        trained.task.evaluate(trained, split)
    return 0
