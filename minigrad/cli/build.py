"""The model that `summary`, `graph` and `explain` look into: a trained one, or one by name."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from minigrad import models
from minigrad.errors import OptionError
from minigrad.models.registry import encoders_of, find
from minigrad.nn import Module
from minigrad.runs import find_trained, load_trained
from minigrad.runs.parts import OWN_SIZE

__all__ = ["add_model_options", "add_shape_options", "chosen_model"]

SIDES = {1: 224, 2: 224, 3: 64}  # by number of axes: a volume of 224 has eleven million voxels
AXES = {1: "one number", 2: "one or two numbers", 3: "one or three numbers"}
OF_A_NAME = ("encoder", "classes", "depths", "dims", "patch_size", "channels", "spatial_dims")


def add_model_options(
    parser: argparse.ArgumentParser,
    model: str,
    depths: list[int],
    dims: list[int],
    side: int | None = None,
) -> None:
    """Add the model's name, sizes and the shape of one sample."""
    own = f"with {' or '.join(OWN_SIZE)}"
    parser.set_defaults(sizes={"depths": depths, "dims": dims}, device="cpu")
    # fmt: off
    add = parser.add_argument
    add("model", nargs="?", default=model, metavar="MODEL",
        help="convnext, convnextv2, a name that 'minigrad models' lists, or the folder of a run "
        "(default: %(default)s)")
    add_shape_options(parser, side)
    add("--classes", type=int, metavar="N", help="outputs (default: the model's own number)")
    add("--depths", type=int, nargs="+", metavar="N",
        help=f"blocks of each stage, {own} (default: {' '.join(map(str, depths))})")
    add("--dims", type=int, nargs="+", metavar="N",
        help=f"channels of each stage, {own} (default: {' '.join(map(str, dims))})")
    add("--patch-size", type=int, metavar="N",
        help="kernel and stride of the stem (default: the model's own)")
    # fmt: on


def add_shape_options(parser: argparse._ActionsContainer, side: int | None = None) -> None:
    """Add what a sample looks like, and the encoder of a U-Net."""
    parser.set_defaults(side=side)
    shown = "224, of volumes 64" if side is None else side
    # fmt: off
    add = parser.add_argument
    add("--encoder", metavar="MODEL",
        help="of a U-Net: convnext, convnextv2 or a name (default: convnext_tiny)")
    add("--channels", type=int, metavar="N", help="of the images (default: 3)")
    add("--spatial-dims", type=int, metavar="N", choices=(1, 2, 3),
        help="1 for signals, 2 for images, 3 for volumes (default: 2)")
    add("--size", type=int, nargs="+", metavar="N",
        help=f"side of the samples, or every one of them (default: {shown}; that of a run)")
    # fmt: on


def chosen_model(
    args: argparse.Namespace, trunk: bool = False
) -> tuple[Module, tuple[int, ...], str]:
    """Return a model in evaluation mode, the shape (C, *spatial) of a sample, and its name.

    A name that is known means the untrained model of that name; else it is the place of a run,
    of whose model only the part that sees whole images may be asked for.
    """
    if args.model is None or (Path(args.model).exists() and not _is_known(args.model)):
        return _trained(args, trunk)
    channels = 3 if args.channels is None else args.channels
    shape = _shape(args, channels, args.spatial_dims or 2, args.side)
    return _named(args, channels).to(args.device).eval(), shape, f"{args.model}, untrained"


def _trained(args: argparse.Namespace, trunk: bool) -> tuple[Module, tuple[int, ...], str]:
    trained = load_trained(find_trained(args.model), args.device)
    for option in OF_A_NAME:
        if getattr(args, option, None) is not None:
            raise OptionError(
                f"--{option.replace('_', '-')} is for a model by name; {trained.path.parent} has "
                "its own"
            )
    images = trained.images
    side = trained.config.image_size or images.size or 224
    shape = _shape(args, images.channels, images.spatial_dims, side)
    model = trained.task.trunk(trained) if trunk else trained.model
    return model, shape, str(trained.path.parent)


def _is_known(name: str) -> bool:
    try:
        return name.lower() in OWN_SIZE or find(name) is not None
    except OptionError:
        return False


def _named(args: argparse.Namespace, channels: int) -> Module:
    sizes = vars(args).get("sizes", {})  # explain has none: a model's own
    own = {name: getattr(args, name) or default for name, default in sizes.items()}
    options: dict[str, Any] = {"in_channels": channels, "spatial_dims": args.spatial_dims or 2}
    if vars(args).get("patch_size") is not None:
        options["patch_size"] = args.patch_size
    classes = {}
    if vars(args).get("classes") is not None:
        classes["num_classes"] = args.classes
    if args.model.lower() in OWN_SIZE or not encoders_of(args.model):
        if args.encoder is not None:
            raise OptionError(f"--encoder is for a U-Net, which {args.model} is not")
        return _convnext(args.model, own, options | classes)
    encoder = _convnext(args.encoder or "convnext_tiny", own, options | {"num_classes": 0})
    whole: dict[str, Any] = {"head_upsample": "auto", "pad": True}  # any size, and restored
    return models.create_model(args.model, encoder=encoder, **whole, **classes)


def _convnext(name: str, own: dict[str, Any], options: dict[str, Any]) -> Module:
    if name.lower() in OWN_SIZE:
        return OWN_SIZE[name.lower()](**own, **options)
    return models.create_model(name, **find(name).fitting(options))


def _shape(args: argparse.Namespace, channels: int, dims: int, side: int | None) -> tuple[int, ...]:
    """Return (C, *spatial) of one sample."""
    sides = args.size or [side or SIDES[dims]]
    if len(sides) not in (1, dims):
        raise OptionError(f"--size takes {AXES[dims]}, got {' '.join(map(str, sides))}")
    if min(*sides, channels) < 1:
        raise OptionError(f"--size and --channels must be 1 or more, got {sides}, {channels}")
    return channels, *(sides * dims if len(sides) == 1 else sides)
