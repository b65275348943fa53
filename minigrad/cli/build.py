"""The model that `summary`, `graph` and `explain` look into: a trained one, or one by name."""

from __future__ import annotations

import argparse
import inspect
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
NEEDED = {"in_channels": 3, "spatial_dims": 2}  # of models that have no defaults of their own
AXES = {1: "one number", 2: "one or two numbers", 3: "one or three numbers"}
OF_A_NAME = (
    "weights", "encoder", "classes", "depths", "dims", "patch_size", "channels", "spatial_dims"
)  # fmt: skip


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
    add("--channels", type=int, metavar="N",
        help="of the images (default: the model's own number, mostly 3)")
    add("--spatial-dims", type=int, metavar="N", choices=(1, 2, 3),
        help="1 for signals, 2 for images, 3 for volumes (default: the model's own, mostly 2)")
    add("--size", type=int, nargs="+", metavar="N",
        help=f"side of the samples, or every one of them (default: {shown}; that of a run)")
    # fmt: on


def chosen_model(
    args: argparse.Namespace, trunk: bool = False
) -> tuple[Module, tuple[int, ...], str]:
    """Return a model in evaluation mode, the shape (C, *spatial) of a sample, and its name.

    A name that is known means the untrained model of that name, or one for the weights that were
    given; else it is the place of a run, of whose model only the part that sees whole images may be
    asked for.
    """
    given = [*(args.size or ()), *([] if args.channels is None else [args.channels])]
    if min(given, default=1) < 1:
        raise OptionError(f"--size and --channels must be 1 or more, got {given}")
    if args.model is None or (Path(args.model).exists() and not _is_known(args.model)):
        return _trained(args, trunk)
    model = _named(args)
    channels = args.channels or getattr(model, "in_channels", NEEDED["in_channels"])
    dims = args.spatial_dims or getattr(model, "spatial_dims", NEEDED["spatial_dims"])
    return (
        model.to(args.device).eval(),
        _shape(args, channels, dims, args.side),
        f"{args.model}, untrained",
    )


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


def _named(args: argparse.Namespace) -> Module:
    """Return a model by name, with weights and their `pretrained_report` if there are some."""
    name, weights = args.model, vars(args).get("weights")
    sizes = vars(args).get("sizes", {})  # explain has none: a model's own
    given = {"in_channels": args.channels, "spatial_dims": args.spatial_dims}
    given |= {key: vars(args).get(key) for key in ("patch_size", *sizes)}
    options = {key: value for key, value in given.items() if value is not None}
    classes = vars(args).get("classes")
    own = {} if classes is None else {"num_classes": classes}
    if name.lower() not in OWN_SIZE and encoders_of(name):
        encoder = _convnext(args.encoder or "convnext_tiny", sizes, options | {"num_classes": 0})
        whole: dict[str, Any] = {"head_upsample": "auto", "pad": True}  # any size, and restored
        model = models.create_model(name, encoder=encoder, **whole, **own)
        if weights is not None:
            _, model.pretrained_report = models.load_pretrained(model, weights)
    elif args.encoder is not None:
        raise OptionError(f"--encoder is for a U-Net, which {name} is not")
    elif weights is None:
        model = _convnext(name, sizes, options | own)
    else:  # what is not given is as the weights have it
        known = None if name.lower() in OWN_SIZE else name
        model, report = models.load_pretrained(known, weights, **options, **own)
        model.pretrained_report = report
    return model


def _convnext(name: str, sizes: dict[str, Any], options: dict[str, Any]) -> Module:
    if name.lower() in OWN_SIZE:
        return OWN_SIZE[name.lower()](**sizes | options)
    entry = find(name)
    takes = inspect.signature(entry.build).parameters
    empty = inspect.Parameter.empty
    needed = {
        key: value for key, value in NEEDED.items() if key in takes and takes[key].default is empty
    }
    return models.create_model(name, **needed | entry.fitting(options))


def _shape(args: argparse.Namespace, channels: int, dims: int, side: int | None) -> tuple[int, ...]:
    """Return (C, *spatial) of one sample."""
    sides = args.size or [side or SIDES[dims]]
    if len(sides) not in (1, dims):
        raise OptionError(f"--size takes {AXES[dims]}, got {' '.join(map(str, sides))}")
    return channels, *(sides * dims if len(sides) == 1 else sides)
