"""``minigrad export``: a model as a file that another runtime runs."""

from __future__ import annotations

import argparse

from minigrad import onnx
from minigrad.cli.build import add_model_options, chosen_model
from minigrad.models import load_pretrained
from minigrad.random import randn

HELP = "Write a model as an ONNX file for other runtimes."
EXAMPLES = """examples:
  minigrad export runs/digits digits.onnx --to onnx       the model of a run
  minigrad export convnext_tiny tiny.onnx --to onnx --weights convnext_tiny_1k_224_ema.pth --verify
"""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_model_options(parser, "convnext_tiny", [3, 3, 9, 3], [96, 192, 384, 768])
    parser.add_argument("output", metavar="OUT", help="the new file")
    parser.add_argument("--to", required=True, choices=["onnx"], help="the format: onnx")
    parser.add_argument(
        "--weights", metavar="FILE", help="weights of a model by name, under any library's names"
    )
    parser.add_argument(
        "--verify",
        action="store_true",
        help="run the file with onnxruntime, at another size, and compare layer by layer",
    )


def run(args: argparse.Namespace) -> int:
    """Export; say where the weights are from, and what another runtime makes of it."""
    model, shape, name = chosen_model(args)
    if args.weights is not None:
        model, _ = load_pretrained(model, args.weights)
        name = f"{args.model}, weights of {args.weights}"
    onnx.export(model, args.output, randn(1, *shape))
    print(f"{name}: {args.output}")
    if args.verify:
        channels, *sides = shape
        other = randn(2, channels, *(side + 32 * i for i, side in enumerate(sides, 1)))
        print(onnx.verify(model, args.output, other))
    return 0
