"""Building an untrained model from words of the command line: `summary`, `graph`, `explain`."""

from __future__ import annotations

import argparse
from typing import Any

from minigrad import models
from minigrad.errors import OptionError
from minigrad.models.registry import encoders_of
from minigrad.nn import Module
from minigrad.runs.parts import OWN_SIZE

__all__ = ["add_model_options", "add_shape_options", "model_from", "sample_shape", "takes_encoder"]

SIDES = {1: 224, 2: 224, 3: 64}  # by number of axes: a volume of 224 has eleven million voxels
AXES = {1: "one number", 2: "one or two numbers", 3: "one or three numbers"}


def add_model_options(
    parser: argparse.ArgumentParser, model: str, depths: list[int], dims: list[int]
) -> None:
    """Add the model's name, sizes and the shape of one sample."""
    own = f"with {' or '.join(OWN_SIZE)}"
    # fmt: off
    add = parser.add_argument
    add("model", nargs="?", default=model, metavar="MODEL",
        help="convnext, convnextv2 or a name that 'minigrad models' lists (default: %(default)s)")
    add_shape_options(parser)
    add("--classes", type=int, metavar="N", help="outputs (default: the model's own number)")
    add("--depths", type=int, nargs="+", default=depths, metavar="N",
        help=f"blocks of each stage, {own} (default: {' '.join(map(str, depths))})")
    add("--dims", type=int, nargs="+", default=dims, metavar="N",
        help=f"channels of each stage, {own} (default: {' '.join(map(str, dims))})")
    add("--patch-size", type=int, metavar="N",
        help="kernel and stride of the stem (default: the model's own)")
    # fmt: on


def add_shape_options(parser: argparse._ActionsContainer) -> None:
    """Add what a sample looks like, and the encoder of a U-Net."""
    # fmt: off
    add = parser.add_argument
    add("--encoder", metavar="MODEL",
        help="of a U-Net: convnext, convnextv2 or a name (default: convnext_tiny)")
    add("--channels", type=int, default=3, metavar="N", help="of the images")
    add("--spatial-dims", type=int, default=2, metavar="N", choices=(1, 2, 3),
        help="1 for signals, 2 for images, 3 for volumes")
    add("--size", type=int, nargs="+", metavar="N",
        help="side of the samples, or every one of them (default: 224, of volumes 64)")
    # fmt: on


def model_from(args: argparse.Namespace) -> Module:
    """Build the model, in evaluation mode."""
    own = {"depths": args.depths, "dims": args.dims} if "depths" in args else {}
    options: dict[str, Any] = {"in_channels": args.channels, "spatial_dims": args.spatial_dims}
    if "patch_size" in args and args.patch_size is not None:
        options["patch_size"] = args.patch_size
    classes = {}
    if "classes" in args and args.classes is not None:
        classes["num_classes"] = args.classes
    if not takes_encoder(args.model):
        if args.encoder is not None:
            raise OptionError(f"--encoder is for a U-Net, which {args.model} is not")
        return _convnext(args.model, own, options | classes).eval()
    encoder = _convnext(args.encoder or "convnext_tiny", own, options | {"num_classes": 0})
    whole: dict[str, Any] = {"head_upsample": "auto", "pad": True}  # any size, and restored
    return models.create_model(args.model, encoder=encoder, **whole, **classes).eval()


def takes_encoder(name: str) -> bool:
    """Say whether a name is that of a U-Net."""
    return name.lower() not in OWN_SIZE and bool(encoders_of(name))


def _convnext(name: str, own: dict[str, Any], options: dict[str, Any]) -> Module:
    if name.lower() in OWN_SIZE:
        return OWN_SIZE[name.lower()](**own, **options)
    return models.create_model(name, **options)


def sample_shape(args: argparse.Namespace) -> tuple[int, ...]:
    """Return the shape (C, *spatial) of one sample."""
    dims = args.spatial_dims
    sides = args.size or [SIDES[dims]]
    if len(sides) not in (1, dims):
        raise OptionError(f"--size takes {AXES[dims]}, got {' '.join(map(str, sides))}")
    if min(*sides, args.channels) < 1:
        raise OptionError(f"--size and --channels must be 1 or more, got {sides}, {args.channels}")
    return args.channels, *(sides * dims if len(sides) == 1 else sides)
