"""``minigrad val``: evaluate a trained model on the held-out images."""

from __future__ import annotations

import argparse

import numpy as np

from minigrad.cli.runs import add_trained_options, load_trained
from minigrad.data import DataLoader, load_split
from minigrad.train import Trainer
from minigrad.train.progress import describe
from minigrad.train.setup import EVAL_BATCH, eval_transform
from minigrad.train.threads import blas_threads

HELP = "Evaluate a trained model on the held-out images, class by class."


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_trained_options(parser)


def run(args: argparse.Namespace) -> int:
    """Print loss, accuracy, and the accuracy of every class."""
    trained = load_trained(args.checkpoint, args.device)
    config, classes = trained.config, trained.images.classes
    test = load_split(config.data, config.download, seed=config.seed).test
    loader = DataLoader(test, EVAL_BATCH, transform=eval_transform(config, trained.images))
    trainer = Trainer(trained.model)
    print(f"{trained.path}: {config.model} on {len(test):,} images of {config.data}")
    with blas_threads(config.threads):
        print(describe(trainer.evaluate(loader)))
        guesses = trainer.predict(loader).argmax(1)
    labels = np.array([test[i][1] for i in range(len(test))])
    width = max(map(len, classes))
    for number, name in enumerate(classes):
        mine = labels == number
        if mine.any():
            good = int((guesses[mine] == number).sum())
            print(f"  {name:{width}}  {100 * good / mine.sum():6.2f} %  {good} of {mine.sum()}")
    return 0
