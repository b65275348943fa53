"""``minigrad explain``: where a trained model looks, drawn over the picture."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from minigrad import models
from minigrad.cli.runs import Trained, load_trained
from minigrad.data import read_image
from minigrad.data import transforms as T
from minigrad.errors import OptionError, unknown
from minigrad.modes import no_grad
from minigrad.nn import Module
from minigrad.nn.functional import softmax
from minigrad.tensor import Tensor
from minigrad.train.setup import eval_transform
from minigrad.viz import grad_cam, heat, overlay, receptive_field, receptive_side, save_png

HELP = "Draw where a trained model looks (Grad-CAM), or how far its receptive field reaches."
LEAST_SIDE = 256  # of a written picture: smaller ones are enlarged


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    # fmt: off
    add = parser.add_argument
    add("image", nargs="?", metavar="IMAGE", help="picture, or .npy array")
    add("--model", "--checkpoint", dest="model", metavar="PATH",
        help="a checkpoint, or the folder of a run (default: the latest below runs/); "
        "with --receptive-field also a name that 'minigrad models' lists")
    add("--class", dest="target", metavar="NAME",
        help="explain this class (default: the model's own guess)")
    add("--layer", metavar="NAME",
        help="module whose map is explained, such as stages.1 (default: the last stage)")
    add("--receptive-field", action="store_true",
        help="draw the effective receptive field of the layer's middle instead")
    add("--size", type=int, default=224, metavar="N",
        help="side of the input for the receptive field of a named model")
    add("--output", "-o", metavar="FILE",
        help="the picture, .png (default: beside the image, or receptive-field.png)")
    add("--device", default="cpu", metavar="NAME", help="cpu, cuda or cuda:<number>")
    # fmt: on


def run(args: argparse.Namespace) -> int:
    """Write the picture."""
    if args.output and Path(args.output).suffix.lower() != ".png":
        raise unknown("ending", Path(args.output).suffix or args.output, [".png"])
    if args.receptive_field:
        return _receptive_field(args)
    if args.image is None:
        raise OptionError("name a picture to explain, or ask for --receptive-field")
    trained = load_trained(args.model, args.device)
    classes, images = trained.images.classes, trained.images
    if images.spatial_dims != 2:
        raise OptionError(f"{trained.path} was trained on signals; only pictures can be explained")
    if args.target is not None and args.target not in classes:
        raise unknown("class", args.target, classes)
    path = Path(args.image)
    seen = _as_seen(trained, path)
    x = Tensor(seen[None]).to(args.device)
    with no_grad():
        chances = softmax(trained.model(x), 1).cpu().numpy()[0]
    target = int(chances.argmax()) if args.target is None else classes.index(args.target)
    cam = grad_cam(trained.model, x, target, args.layer)[0]
    std = np.array(images.std, np.float32).reshape(-1, 1, 1)
    mean = np.array(images.mean, np.float32).reshape(-1, 1, 1)
    picture = (seen * std + mean)[:3]
    output = Path(args.output or path.with_name(f"{path.stem}-explained.png"))
    save_png(output, overlay(*_enlarged(picture, cam)))
    print(
        f"{path}: {classes[target]} {100 * chances[target]:.1f} %; {output} shows where "
        f"{args.layer or 'the last stage'} finds it"
    )
    return 0


def _as_seen(trained: Trained, path: Path) -> NDArray[np.float32]:
    """Return the picture as the model gets it."""
    images = trained.images
    transform = eval_transform(trained.config, images)
    if images.size is not None:  # a picture of any size is brought to that of the data's
        transform = T.Compose([T.Resize((images.size, images.size)), transform])
    return transform(read_image(path, images.channels), np.random.default_rng(0))


def _enlarged(
    picture: NDArray[np.float32], cam: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Repeat the pixels of a small picture, so that the map over it can be smooth."""
    times = max(1, -(-LEAST_SIDE // max(picture.shape[1:])))
    return picture.repeat(times, 1).repeat(times, 2), cam


def _receptive_field(args: argparse.Namespace) -> int:
    model, shape, name = _model_of(args)
    field = receptive_field(model, shape, args.layer)
    output = Path(args.output or "receptive-field.png")
    times = max(1, -(-LEAST_SIDE // max(field.shape)))
    # the root makes the faint surroundings of the bright middle visible
    save_png(output, heat(np.sqrt(field).repeat(times, 0).repeat(times, 1)))
    sides = ", ".join(f"{100 * s:g} % in {receptive_side(field, s)}" for s in (0.5, 0.95))
    print(
        f"{output}: what the middle of {args.layer or 'the last stage'} of {name} looks at; "
        f"{sides} pixels of {max(field.shape)} across"
    )
    return 0


def _model_of(args: argparse.Namespace) -> tuple[Module, tuple[int, ...], str]:
    """Return a trained model or an untrained named one, the shape of its input, and its name."""
    if args.model and args.model.lower() in models.list_models():
        model = models.create_model(args.model).to(args.device).eval()
        return model, (3, args.size, args.size), f"{args.model}, untrained"
    trained = load_trained(args.model, args.device)
    images = trained.images
    sides = (trained.config.image_size or images.size or args.size,) * images.spatial_dims
    if len(sides) != 2:
        raise OptionError(f"{trained.path} was trained on signals; only pictures can be drawn")
    return trained.model, (images.channels, *sides), str(trained.path.parent)
