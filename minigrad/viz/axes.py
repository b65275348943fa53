"""Two axes: where numbers have their places on a canvas, and which of them stand beside it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from minigrad.viz.svg import Canvas

__all__ = ["COLOURS", "Axes", "ticks", "ticks_of"]

COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377")  # Paul Tol, bright


class Axes:
    """A rectangle of a canvas in which numbers have their places.

    Parameters
    ----------
    canvas : Canvas
        What is drawn on.
    box : tuple
        Left, top, right and bottom of the rectangle.
    x, y : tuple
        The numbers at its left and right, and at its bottom and top.
    log : str, default ""
        The axes whose scale is logarithmic.

    Examples
    --------
    >>> axes = Axes(Canvas(100, 100, "a"), (0, 0, 100, 100), (1, 100), (0, 4), log="x")
    >>> print(*axes.place(10, 1))
    50.0 75.0
    """

    def __init__(
        self, canvas: Canvas, box: tuple[float, float, float, float], x: tuple[float, float],
        y: tuple[float, float], log: str = "",
    ) -> None:  # fmt: skip
        self.canvas, self.box, self.log = canvas, box, log
        self.x, self.y = x, y

    def place(self, x: Any, y: Any) -> tuple[Any, Any]:
        """Return where on the canvas a point is, or each of an array of points."""
        left, top, right, bottom = self.box
        across = _share(x, *self.x, "x" in self.log)
        up = _share(y, *self.y, "y" in self.log)
        return left + (right - left) * across, bottom - (bottom - top) * up

    def grid(self, x_ticks: Iterable[float], y_ticks: Iterable[float], x: str, y: str) -> None:
        """Draw the numbers along both axes, lines for those of y, and the axes' names."""
        left, top, right, bottom = self.box
        for value in y_ticks:
            if self.y[0] <= value <= self.y[1]:
                _, at = self.place(self.x[0], value)
                self.canvas.add("line", x1=left, x2=right, y1=at, y2=at, stroke="currentColor",
                                stroke_opacity=0.2)  # fmt: skip
                self.canvas.text(left - 6, at + 4, f"{value:.4g}", size=11, text_anchor="end")
        for value in x_ticks:
            if self.x[0] <= value <= self.x[1]:
                at, _ = self.place(value, self.y[0])
                self.canvas.text(at, bottom + 16, f"{value:g}", size=11)
        if x:
            self.canvas.text((left + right) / 2, bottom + 34, x)
        if y:
            self.canvas.text(left, top - 10, y, text_anchor="start")

    def line(
        self, points: Iterable[Sequence[float]], colour: str, width: float = 2,
        dash: str | None = None,
    ) -> None:  # fmt: skip
        """Draw a line through the points; `dash` has the lengths of its strokes and gaps."""
        at = " ".join("{:.1f},{:.1f}".format(*self.place(*point)) for point in points)
        self.canvas.add("polyline", points=at, fill="none", stroke=colour, stroke_width=width,
                        stroke_dasharray=dash)  # fmt: skip

    def dot(
        self, x: float, y: float, colour: str, radius: float = 4, fill: str | None = None
    ) -> None:
        """Draw a point; a ring if `fill` is "none"."""
        across, down = self.place(x, y)
        self.canvas.add("circle", cx=across, cy=down, r=radius, fill=fill or colour, stroke=colour,
                        stroke_width=2 if fill else 0)  # fmt: skip


def ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Return round numbers, about `count` of them, that enclose `low` and `high`.

    Examples
    --------
    >>> ticks(0.13, 0.97)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    >>> ticks(3, 3)
    [3.0, 4.0]
    """
    span = high - low
    if span <= 0:
        return [low * 1.0, low + 1.0]
    power = 10.0 ** math.floor(math.log10(span / count))
    step = min((m * power for m in (1, 2, 2.5, 5, 10)), key=lambda s: abs(span / s - count))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(step * i, 10) for i in range(first, last + 1)]


def ticks_of(low: float, high: float, log: bool) -> list[float]:
    """Return `ticks`, or powers of ten that enclose the two, no more than about eight."""
    if not log:
        return ticks(low, high)
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    step = 1 + (last - first) // 8
    last = first + step * max(1, -(-(last - first) // step))
    return [10.0**i for i in range(first, last + 1, step)]


def _share(value: Any, low: float, high: float, log: bool) -> Any:
    """Return 0 for `low` and 1 for `high`."""
    if log:
        return np.log(value / low) / math.log(high / low)
    return (value - low) / (high - low)
