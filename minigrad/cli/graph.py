"""``minigrad graph``: the autograd graph of a model's forward pass, drawn."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from minigrad import io
from minigrad.cli.build import add_model_options, chosen_model
from minigrad.cli.options import check_file
from minigrad.errors import unknown
from minigrad.ops.create import zeros
from minigrad.viz import SVG, graph_dot, graph_mermaid, graph_svg

HELP = "Draw the autograd graph of a model (SVG), or print it for Graphviz or Mermaid."
EXAMPLES = """examples:
  minigrad graph                                     a small ConvNeXt V2, as graph.svg
  minigrad graph unet -o unet.mmd                    a U-Net, for Mermaid
  minigrad graph runs/digits                         the model of a run
"""
FORMATS: dict[str, Callable[..., str]] = {
    ".svg": graph_svg,
    ".dot": graph_dot,
    ".mmd": graph_mermaid,
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_model_options(parser, "convnextv2", [1], [8], side=32)
    parser.add_argument(
        "--output",
        "-o",
        default="graph.svg",
        metavar="FILE",
        help="its ending decides: .svg, .dot or .mmd (Mermaid)",
    )


def run(args: argparse.Namespace) -> int:
    """Write the drawing."""
    path = Path(args.output)
    if path.suffix.lower() not in FORMATS:
        raise unknown("ending", path.suffix or str(path), FORMATS)
    check_file(args.output)
    model, shape, _ = chosen_model(args)
    result = model(zeros(1, *shape))
    if isinstance(result, tuple):  # of an autoencoder: the loss stands first
        result = result[0]
    drawing = FORMATS[path.suffix.lower()](result, model)
    io.write_text(path, drawing.on_white() if isinstance(drawing, SVG) else drawing)
    print(f"{path}: the graph of {args.model}, leaves above, result below")
    return 0
