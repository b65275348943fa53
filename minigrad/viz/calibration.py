"""How sure a model is and how often it is right: the reliability diagram."""

from __future__ import annotations

import math

from minigrad.errors import OptionError
from minigrad.loading import check_kinds
from minigrad.train import Calibration
from minigrad.viz.axes import COLOURS, Axes
from minigrad.viz.svg import SVG, Canvas

__all__ = ["calibration_svg"]

WIDTH, LEFT, RIGHT, TOP, SIDE, BELOW, TALL = 460, 52, 14, 70, 300, 84, 70
TICKS = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)


def calibration_svg(calibration: Calibration, title: str = "calibration") -> SVG:
    """Draw the accuracy of each bin over its confidence, and how much lies in it.

    Above, the bars reach up to the accuracy; red is what lies between it and the confidence, which
    a calibrated model has on the dashed diagonal. Below stand the numbers of predictions.

    Parameters
    ----------
    calibration : Calibration
        What was counted.
    title : str
        Title of the picture.

    Returns
    -------
    SVG

    Raises
    ------
    OptionError
        If nothing was counted.

    Examples
    --------
    >>> calibration = Calibration(bins=10)
    >>> calibration.update([[0.95, 0.05], [0.35, 0.65]], [0, 0])
    >>> drawing = calibration_svg(calibration)
    >>> "ECE 0.3500" in drawing, drawing.count("<rect")
    (True, 6)
    """
    check_kinds("calibration_svg", Calibration, calibration=calibration)
    counts = calibration.counts
    if not counts.any():
        raise OptionError("calibration_svg: nothing was counted yet")
    bottom = TOP + SIDE
    canvas = Canvas(WIDTH, bottom + BELOW + TALL, title)
    canvas.text(WIDTH / 2, 18, title, size=14, font_weight="bold")
    errors = f"ECE {calibration.ece():.4f}, worst bin {calibration.mce():.4f}"
    canvas.text(WIDTH / 2, 38, f"{errors}, {counts.sum():,} predictions")
    axes = Axes(canvas, (LEFT, TOP, WIDTH - RIGHT, bottom), (0, 1), (0, 1))
    axes.grid(TICKS, TICKS, "confidence", "accuracy")
    most, foot = int(counts.max()), canvas.height - 20
    numbers = zip(
        calibration.edges, calibration.edges[1:], counts.tolist(), calibration.confidence(),
        calibration.accuracy(), strict=False,
    )  # fmt: skip
    for low, high, count, sure, right in numbers:
        if not count:
            continue
        (start, base), (end, top) = axes.place(low, 0), axes.place(high, right)
        _, ideal = axes.place(0, sure)
        wide = end - start
        place = {"x": start + 1, "width": wide - 2}
        canvas.add("rect", **place, y=top, height=base - top, fill=COLOURS[0])
        canvas.add("rect", **place, y=min(top, ideal), height=max(abs(ideal - top), 0.5),
                   fill=COLOURS[1], fill_opacity=0.6)  # fmt: skip
        tall = (TALL - 14) * count / most
        canvas.add("rect", **place, y=foot - tall, height=tall, fill=COLOURS[0], fill_opacity=0.5)
        text = _short(count)
        size = min(11.0, 1.5 * wide / len(text))
        canvas.text((start + end) / 2, foot - tall - 3, text, size)
    axes.line(((0, 0), (1, 1)), "currentColor", width=1, dash="5 4")
    canvas.text(WIDTH / 2, canvas.height - 4, "predictions in each bin")
    return canvas.svg()


def _short(count: int) -> str:
    """Return a count in at most four letters or so.

    Examples
    --------
    >>> _short(987), _short(12_345), _short(3_000_000)
    ('987', '12k', '3M')
    """
    power = min(int(math.log10(count)) // 3, 3)
    return f"{count / 1000**power:.0f}{'kMG'[power - 1] if power else ''}"
