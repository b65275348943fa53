"""Drawings and tables: plots, pictures, the graph, training curves, explanations, summaries."""

from minigrad.viz.calibration import calibration_svg
from minigrad.viz.class_report import class_report_svg
from minigrad.viz.comparison import comparison_svg
from minigrad.viz.confusion import confusion_svg
from minigrad.viz.curves import curves_svg
from minigrad.viz.folder_page import folder_page
from minigrad.viz.grad_cam import ClassSums, grad_cam
from minigrad.viz.graph import graph_dot, graph_mermaid, graph_svg
from minigrad.viz.heat import heat, overlay
from minigrad.viz.images import images_svg
from minigrad.viz.layer_cam import layer_cam
from minigrad.viz.masks import masks_svg, palette
from minigrad.viz.memory import memory_svg
from minigrad.viz.plot import Plot, plot_svg
from minigrad.viz.predictions import predictions_svg
from minigrad.viz.receptive_field import receptive_field, receptive_side
from minigrad.viz.reconstructions import reconstructions_svg
from minigrad.viz.summary import Summary, summary
from minigrad.viz.svg import SVG, Row, save_png
from minigrad.viz.timeline import timeline_svg
from minigrad.viz.walking import Walk, walk

__all__ = [
    "SVG",
    "ClassSums",
    "Plot",
    "Row",
    "Summary",
    "Walk",
    "calibration_svg",
    "class_report_svg",
    "comparison_svg",
    "confusion_svg",
    "curves_svg",
    "folder_page",
    "grad_cam",
    "graph_dot",
    "graph_mermaid",
    "graph_svg",
    "heat",
    "images_svg",
    "layer_cam",
    "masks_svg",
    "memory_svg",
    "overlay",
    "palette",
    "plot_svg",
    "predictions_svg",
    "receptive_field",
    "receptive_side",
    "reconstructions_svg",
    "save_png",
    "summary",
    "timeline_svg",
    "walk",
]
