"""``minigrad explain``: where a trained model looks, drawn over the picture."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minigrad.cli.build import add_shape_options, chosen_model
from minigrad.cli.options import check_file
from minigrad.cli.predict import VOLUMES, stem_of
from minigrad.data.dicom import series_below
from minigrad.errors import DataError, OptionError, unknown
from minigrad.nn import Module
from minigrad.runs import find_trained, load_trained
from minigrad.tensor import Tensor
from minigrad.viz import (
    ClassSums,
    grad_cam,
    heat,
    layer_cam,
    overlay,
    receptive_field,
    receptive_side,
    save_png,
)
from minigrad.viz.grad_cam import find_layer, find_stages

METHODS = ("grad-cam", "layer-cam")
HELP = "Draw where a trained model looks, or how far its receptive field reaches."
EXAMPLES = """examples:
  minigrad explain picture.png                       where the last trained model looks
  minigrad explain picture.png --class 3 -o three.png
  minigrad explain picture.png --method layer-cam    all stages together, more finely
  minigrad explain --receptive-field --model convnextv2_atto --size 64
"""
LEAST_SIDE = 256  # of a written picture: smaller ones are enlarged


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    # fmt: off
    add = parser.add_argument
    add("image", nargs="?", metavar="IMAGE", help="picture, .npy array or volume")
    add("--model", "--checkpoint", dest="model", metavar="PATH",
        help="a checkpoint, or the folder of a run (default: the latest below runs/); "
        "with --receptive-field also a name that 'minigrad models' lists")
    add("--class", dest="target", metavar="NAME",
        help="explain this class (default: the model's own guess)")
    add("--method", default=METHODS[0], choices=METHODS,
        help="grad-cam weighs whole channels; layer-cam each position, so that early stages, which "
        "are finer, can be combined with the late ones")
    add("--layer", metavar="NAME",
        help="module whose map is explained, such as stages.1 (default: the last stage); several "
        "for layer-cam, as stages.0,stages.1 (default: all stages)")
    add("--receptive-field", action="store_true",
        help="draw the effective receptive field of the layer's middle instead; its square root, "
        "so that what is faint around the middle can be seen")
    add_shape_options(parser.add_argument_group("for the receptive field of a named model"))
    add("--output", "-o", metavar="FILE",
        help="the picture, .png, in colours from black, 0, over red and yellow to white, its "
        "largest number (default: beside the image, or receptive-field.png)")
    add("--device", default="cpu", metavar="NAME", help="cpu, cuda or cuda:<number>")
    # fmt: on


def run(args: argparse.Namespace) -> int:
    """Write the picture."""
    if args.output and Path(args.output).suffix.lower() != ".png":
        raise unknown("ending", Path(args.output).suffix or args.output, [".png"])
    check_file(args.output)
    if args.receptive_field:
        return _receptive_field(args)
    if args.image is None:
        raise OptionError("name a picture to explain, or ask for --receptive-field")
    checkpoint = find_trained(args.model)
    path = Path(args.image)
    if not path.exists():
        raise DataError(f"{path}: no such picture")
    trained = load_trained(checkpoint, args.device)
    classes, images = trained.images.classes, trained.images
    if path.is_dir() and not (images.spatial_dims == 3 and path in series_below(path, VOLUMES)):
        one = ("volume, or the folder of one series of DICOM slices" if images.spatial_dims == 3
               else "picture")  # fmt: skip
        raise DataError(f"{path}: a folder; name one {one}")
    if images.spatial_dims == 1:
        raise OptionError(f"{trained.path} was trained on signals; only pictures can be explained")
    if args.target is not None and args.target not in classes:
        raise unknown("class", args.target, classes)
    seen = trained.task.read(trained, path)
    (shares,), _ = trained.task.shares(trained, seen[None])
    target = int(shares.argmax()) if args.target is None else classes.index(args.target)
    layers = _layers(trained.model, args)
    said = args.layer or ("the last stage" if len(layers) == 1 else "all its stages")
    model = trained.model
    if trained.config.masks:
        model, layers = ClassSums(model), [f"model.{layer}" for layer in layers]
    x = Tensor(seen[None]).to(trained.device)
    if args.method == "layer-cam":
        cam = layer_cam(model, x, target, layers)[0]
    else:
        cam = grad_cam(model, x, target, *layers)[0]
    std = np.array(images.std, np.float32).reshape(-1, *[1] * images.spatial_dims)
    mean = np.array(images.mean, np.float32).reshape(std.shape)
    picture = (seen * std + mean)[:3]
    if images.spatial_dims == 3:
        picture, cam = _middle(picture), _middle(cam)
    beside = path if path.name not in ("", "..") else path.resolve()
    stem = beside.name if path.is_dir() else stem_of(beside)
    output = Path(args.output or beside.with_name(f"{stem}-explained.png"))
    save_png(output, overlay(*_enlarged(picture, cam)))
    print(
        f"{path}: {classes[target]} {100 * shares[target]:.1f} %; {output} shows where "
        f"{said} {'finds' if len(layers) == 1 else 'find'} it"
    )
    return 0


def _layers(model: Module, args: argparse.Namespace) -> list[str]:
    """Return the layers that are asked for, or those that the method takes by default."""
    if args.layer is None:
        return find_stages(model) if args.method == "layer-cam" else [find_layer(model, None)]
    layers = [find_layer(model, name.strip()) for name in args.layer.split(",")]
    if len(layers) > 1 and args.method == "grad-cam":
        raise OptionError(
            f"grad-cam explains one layer, got {args.layer}; several are combined by --method "
            "layer-cam"
        )
    return layers


def _middle(volume: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the slice in the middle of the last axis, turned upright."""
    return np.swapaxes(volume[..., volume.shape[-1] // 2], -1, -2)[..., ::-1, :]


def _enlarged(
    picture: NDArray[np.float32], cam: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Repeat the pixels of a small picture, so that the map over it can be smooth."""
    times = max(1, -(-LEAST_SIDE // max(picture.shape[1:])))
    return picture.repeat(times, 1).repeat(times, 2), cam


def _receptive_field(args: argparse.Namespace) -> int:
    model, shape, name = chosen_model(args, trunk=True)
    field = receptive_field(model, shape, args.layer)
    stages = any(name.startswith("stages.") for name, _ in model.named_modules())
    whole = "the last stage" if stages else "the result"
    sides = ", ".join(f"{100 * s:g} % in {receptive_side(field, s)}" for s in (0.5, 0.95))
    across = max(field.shape)
    if field.ndim == 1:  # a strip
        field = field[None].repeat(max(1, across // 8), 0)
    elif field.ndim == 3:
        field = _middle(field)
    output = Path(args.output or "receptive-field.png")
    times = max(1, -(-LEAST_SIDE // max(field.shape)))
    # the root makes the faint surroundings of the bright middle visible
    save_png(output, heat(np.sqrt(field).repeat(times, 0).repeat(times, 1)))
    print(
        f"{output}: what the middle of {args.layer or whole} of {name} looks at; "
        f"{sides} pixels of {across} across"
    )
    return 0
