"""``minigrad graph``: the autograd graph of a model's forward pass, drawn."""

from __future__ import annotations

import argparse
from pathlib import Path

from minigrad import io
from minigrad.cli.build import add_model_options, model_from, sample_shape
from minigrad.cli.options import check_file
from minigrad.errors import unknown
from minigrad.ops.create import zeros
from minigrad.viz import graph_dot, graph_mermaid, graph_svg

HELP = "Draw the autograd graph of a model (SVG), or print it for Graphviz or Mermaid."
EXAMPLES = """examples:
  minigrad graph                                     a small ConvNeXt V2, as graph.svg
  minigrad graph unet -o unet.mmd                    a U-Net, for Mermaid
"""
FORMATS = {".svg": graph_svg, ".dot": graph_dot, ".mmd": graph_mermaid}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_model_options(parser, "convnextv2", [1], [8])
    parser.set_defaults(size=[32])
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
    shape = sample_shape(args)  # refused before a model is built
    model = model_from(args)
    io.write_text(path, FORMATS[path.suffix.lower()](model(zeros(1, *shape)), model))
    print(f"{path}: the graph of {args.model}, leaves above, result below")
    return 0
