"""Building an untrained model from words of the command line, for `summary` and `graph`."""

from __future__ import annotations

import argparse

from minigrad import models
from minigrad.errors import OptionError
from minigrad.nn import Module
from minigrad.train.setup import OWN_SIZE

__all__ = ["add_model_options", "model_from", "sample_shape"]


def add_model_options(
    parser: argparse.ArgumentParser, model: str, size: int, depths: list[int], dims: list[int]
) -> None:
    """Add the model's name, sizes and the shape of one sample."""
    own = f"with {' or '.join(OWN_SIZE)}"
    # fmt: off
    add = parser.add_argument
    add("model", nargs="?", default=model, metavar="MODEL",
        help="convnext, convnextv2 or a name that 'minigrad models' lists (default: %(default)s)")
    add("--channels", type=int, default=3, metavar="N", help="of the images")
    add("--size", type=int, nargs="+", default=[size], metavar="N",
        help=f"side of the images, or height and width (default: {size})")
    add("--classes", type=int, default=1000, metavar="N", help="outputs")
    add("--depths", type=int, nargs="+", default=depths, metavar="N",
        help=f"blocks of each stage, {own} (default: {' '.join(map(str, depths))})")
    add("--dims", type=int, nargs="+", default=dims, metavar="N",
        help=f"channels of each stage, {own} (default: {' '.join(map(str, dims))})")
    add("--patch-size", type=int, default=4, metavar="N", help="kernel and stride of the stem")
    # fmt: on


def model_from(args: argparse.Namespace) -> Module:
    """Build the model, in evaluation mode."""
    options = {
        "in_channels": args.channels,
        "num_classes": args.classes,
        "patch_size": args.patch_size,
    }
    if args.model.lower() in OWN_SIZE:
        options |= {"depths": args.depths, "dims": args.dims}
        return OWN_SIZE[args.model.lower()](**options).eval()
    return models.create_model(args.model, **options).eval()


def sample_shape(args: argparse.Namespace) -> tuple[int, ...]:
    """Return the shape (C, H, W) of one sample."""
    if len(args.size) > 2:
        raise OptionError(f"--size takes one or two numbers, got {args.size}")
    return args.channels, args.size[0], args.size[-1]
