"""``minigrad predict``: what a trained model takes pictures for."""

from __future__ import annotations

import argparse

import numpy as np

from minigrad.cli.runs import add_trained_options, load_trained
from minigrad.data import read_image, read_signal
from minigrad.data import transforms as T
from minigrad.errors import OptionError
from minigrad.modes import no_grad
from minigrad.nn.functional import softmax
from minigrad.tensor import Tensor
from minigrad.train.setup import eval_transform

HELP = "Say what pictures show, with the model that was trained last (or another one)."


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("images", nargs="+", metavar="IMAGE", help="picture, or .npy array")
    add_trained_options(parser)
    parser.add_argument("--top", type=int, default=3, metavar="K", help="how many guesses to print")


def run(args: argparse.Namespace) -> int:
    """Print the best guesses for every picture."""
    if args.top < 1:
        raise OptionError(f"--top must be 1 or more, got {args.top}")
    trained = load_trained(args.checkpoint, args.device)
    images, rng = trained.images, np.random.default_rng(0)
    transform = eval_transform(trained.config, images)
    signals = images.spatial_dims == 1
    if images.size is not None and not signals:  # pictures of any size come to that of the data's
        transform = T.Compose([T.Resize((images.size, images.size)), transform])
    for path in args.images:
        if signals:
            image = transform(read_signal(path, images.channels, images.size or 0), rng)
        else:
            image = transform(read_image(path, images.channels), rng)
        with no_grad():
            logits = trained.model(Tensor(image[None]).to(args.device))
            chances = softmax(logits, 1).cpu().numpy()[0]
        best = np.argsort(-chances, kind="stable")[: args.top]
        print(
            f"{path}: " + ", ".join(f"{images.classes[i]} {100 * chances[i]:.1f} %" for i in best)
        )
    return 0
