"""Lines over an axis of powers of two, as SVG, with minigrad's own pencil."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from minigrad.viz.axes import COLOURS, ticks
from minigrad.viz.svg import SVG, Canvas

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 420, 300, 62, 40, 16, 62

Points = Sequence[tuple[float, float]]


def lines(title: str, x_label: str, panels: Mapping[str, Mapping[str, Points]]) -> SVG:
    """Draw one panel per quantity and in it one line per name.

    Parameters
    ----------
    title, x_label : str
        What stands above, and under every panel.
    panels : mapping of str to mapping of str to sequence of (x, y)
        Quantity -> name -> points. All x must be above 0, their axis is logarithmic; y starts at 0.

    Examples
    --------
    >>> lines("t", "batch", {"ms": {"a": [(1, 2.0), (2, 3.0)]}}).count("<polyline")
    1
    """
    canvas = Canvas(WIDTH * len(panels), HEIGHT, title)
    canvas.text(WIDTH * len(panels) / 2, 18, title, size=14, font_weight="bold")
    for number, (quantity, series) in enumerate(panels.items()):
        _panel(canvas, WIDTH * number, x_label, quantity, series)
    return canvas.svg()


def _panel(
    canvas: Canvas, offset: float, x_label: str, quantity: str, series: Mapping[str, Points]
) -> None:
    xs = sorted({x for points in series.values() for x, _ in points})
    highest = max(y for points in series.values() for _, y in points)
    levels = ticks(0.0, highest)
    left, right = offset + LEFT, offset + WIDTH - RIGHT
    top, bottom = float(TOP), float(HEIGHT - BOTTOM)
    span = math.log(xs[-1] / xs[0]) or 1.0

    def x_of(x: float) -> float:
        return left + (right - left) * math.log(x / xs[0]) / span

    def y_of(y: float) -> float:
        return bottom - (bottom - top) * y / levels[-1]

    for y in levels:
        canvas.add("line", x1=left, x2=right, y1=y_of(y), y2=y_of(y), stroke="#ddd")
        canvas.text(left - 6, y_of(y) + 4, f"{y:g}", size=11, text_anchor="end")
    for x in xs:
        canvas.text(x_of(x), bottom + 16, f"{x:g}", size=11)
    canvas.text((left + right) / 2, bottom + 32, x_label, size=12)
    canvas.text((left + right) / 2, top - 8, quantity, size=12)
    for number, (name, points) in enumerate(series.items()):
        colour = COLOURS[number % len(COLOURS)]
        drawn = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in points)
        canvas.add("polyline", points=drawn, fill="none", stroke=colour, stroke_width=2)
        for x, y in points:
            canvas.add("circle", cx=x_of(x), cy=y_of(y), r=3, fill=colour)
        place = left + (right - left) * (number + 0.5) / len(series)
        canvas.text(place, bottom + 50, name, size=10, fill=colour)
