"""``minigrad export``: a model as a file that another runtime or library reads."""

from __future__ import annotations

import argparse

from minigrad import onnx
from minigrad.cli.build import add_model_options, chosen_model
from minigrad.errors import OptionError
from minigrad.io import save_torch
from minigrad.models import export_state_dict
from minigrad.models.weights.tables import NAMINGS
from minigrad.nn import Module
from minigrad.random import randn

HELP = "Write a model as an ONNX file, or its weights for PyTorch."
EXAMPLES = """examples:
  minigrad export runs/digits digits.onnx --to onnx       the model of a run
  minigrad export convnext_tiny tiny.onnx --to onnx --weights convnext_tiny_1k_224_ema.pth --verify
  minigrad export runs/digits digits.pth --to torch --naming timm
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_model_options(parser, "convnext_tiny", [3, 3, 9, 3], [96, 192, 384, 768])
    parser.add_argument("output", metavar="OUT", help="the new file")
    parser.add_argument(
        "--to",
        required=True,
        choices=["onnx", "torch"],
        help="onnx: the whole model for any runtime; torch: weights that torch.load reads",
    )
    parser.add_argument(
        "--weights",
        metavar="FILE",
        help="weights of a model by name, under any library's names; what is not given otherwise, "
        "such as --classes, is as they have it",
    )
    parser.add_argument(
        "--naming",
        metavar="NAMING",
        choices=sorted({naming.name for naming in NAMINGS}),
        help="of torch: whose names, such as facebook or timm (default: the model's own)",
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="of onnx: run the file with onnxruntime, at another size, and compare layer by layer",
    )


def run(args: argparse.Namespace) -> int:
    """Export; say where the weights are from, and what another runtime makes of it."""
    if args.verify and args.to != "onnx":
        raise OptionError("--verify runs an ONNX file; it goes with --to onnx")
    if args.naming is not None and args.to != "torch":
        raise OptionError("--naming is for weights; it goes with --to torch")
    model, shape, name = chosen_model(args)
    if args.weights is not None:
        print(getattr(model, "pretrained_report"))  # noqa: B009  (no module declares it)
        name = f"{args.model}, weights of {args.weights}"
    if args.to == "torch":
        _write_torch(model, args)
    else:
        onnx.export(model, args.output, randn(1, *shape))
    print(f"{name}: {args.output}")
    if args.verify:
        channels, *sides = shape
        other = randn(2, channels, *(side + 32 * i for i, side in enumerate(sides, 1)))
        print(onnx.verify(model, args.output, other))
    return 0


def _write_torch(model: Module, args: argparse.Namespace) -> None:
    if args.naming is None:
        save_torch(model.state_dict(), args.output)
    else:
        save_torch(export_state_dict(model, args.naming), args.output)
