"""Precision, recall and F1 of every class, as a picture."""

from __future__ import annotations

import numpy as np

from minigrad.errors import OptionError
from minigrad.loading import check_kinds
from minigrad.train import ClassReport
from minigrad.viz.axes import COLOURS, Axes
from minigrad.viz.svg import SVG, Canvas

__all__ = ["class_report_svg"]

ROW, TOP, BOTTOM, RIGHT, SCALE = 22, 62, 40, 70, 360
MOST, LETTER, LONGEST = 60, 7.0, 28  # rows; width of a letter; letters of a name
TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def class_report_svg(report: ClassReport, title: str = "classes") -> SVG:
    """Draw a row for each class that occurs: its three scores as dots, and its support.

    Of more than 60 classes those with the smallest F1 are drawn.

    Parameters
    ----------
    report : ClassReport
        What was counted.
    title : str
        Title of the picture.

    Returns
    -------
    SVG

    Raises
    ------
    OptionError
        If no class occurs.

    Examples
    --------
    >>> hits, true, predicted = np.array([3, 1]), np.array([4, 2]), np.array([4, 2])
    >>> report = ClassReport(("cat", "dog"), hits, true, predicted)
    >>> drawing = class_report_svg(report)
    >>> drawing.count("<circle"), ">dog</text>" in drawing
    (9, True)
    """
    check_kinds("class_report_svg", ClassReport, report=report)
    there = np.flatnonzero(report.true).tolist()
    if not there:
        raise OptionError("class_report_svg: no class occurs, so there is nothing to draw")
    if len(there) > MOST:
        there = sorted(sorted(there, key=lambda i: float(report.f1[i]))[:MOST])
        title = f"{title}: the {MOST} with the smallest F1"
    names = [report.classes[i][:LONGEST] for i in there]
    left, bottom = LETTER * max(map(len, names)) + 16, TOP + ROW * len(there)
    canvas = Canvas(left + SCALE + RIGHT, bottom + BOTTOM, title)
    canvas.text(canvas.width / 2, 18, title, size=14, font_weight="bold")
    axes = Axes(canvas, (left, TOP, left + SCALE, bottom), (0, 1), (0, len(there)))
    axes.grid(TICKS, [], "", "")
    scores = {"precision": report.precision, "recall": report.recall, "F1": report.f1}
    for number, (name, colour) in enumerate(zip(scores, COLOURS, strict=False)):
        at = left + number * 90
        canvas.add("circle", cx=at + 6, cy=38, r=5, fill=colour)
        canvas.text(at + 16, 42, name, text_anchor="start")
    canvas.text(left + SCALE + RIGHT - 8, 42, "support", text_anchor="end")
    for row, (i, name) in enumerate(zip(there, names, strict=True)):
        height = len(there) - row - 0.5
        _, middle = axes.place(0, height)
        canvas.add("line", x1=left, x2=left + SCALE, y1=middle, y2=middle, stroke="currentColor",
                   stroke_opacity=0.2)  # fmt: skip
        canvas.text(left - 8, middle + 4, name, text_anchor="end")
        canvas.text(left + SCALE + RIGHT - 8, middle + 4, f"{report.true[i]:,}", text_anchor="end")
        for values, colour in zip(scores.values(), COLOURS, strict=False):
            axes.dot(float(values[i]), height, colour, radius=5)
    return canvas.svg()
