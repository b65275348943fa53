"""Drawings and tables: the autograd graph, training curves, predictions, model summaries."""

from minigrad.viz.curves import curves_svg
from minigrad.viz.graph import graph_dot, graph_mermaid, graph_svg
from minigrad.viz.masks import masks_svg, palette
from minigrad.viz.predictions import predictions_svg
from minigrad.viz.reconstructions import reconstructions_svg
from minigrad.viz.summary import Summary, summary
from minigrad.viz.svg import SVG

__all__ = [
    "SVG",
    "Summary",
    "curves_svg",
    "graph_dot",
    "graph_mermaid",
    "graph_svg",
    "masks_svg",
    "palette",
    "predictions_svg",
    "reconstructions_svg",
    "summary",
]
