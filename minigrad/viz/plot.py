"""Lines and dots over two axes as SVG: a function, its tangent, an error over step sizes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from minigrad.errors import OptionError, ShapeError
from minigrad.viz.svg import SVG, Canvas

__all__ = ["COLOURS", "Axes", "plot_svg", "ticks"]

COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377")  # Paul Tol, bright
WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM, ROW = 480, 300, 62, 36, 16, 46, 18


def plot_svg(
    lines: Mapping[str, tuple[Any, Any]],
    dots: Mapping[str, tuple[Any, Any]] | None = None,
    *,
    title: str = "plot",
    x: str = "x",
    y: str = "y",
    log: str = "",
) -> SVG:
    """Draw lines, and single points as dots, with a colour key below.

    Parameters
    ----------
    lines, dots : mapping of str to (x, y)
        What the key calls each, and its coordinates: two sequences of one length.
    title, x, y : str
        Title of the picture and names of its axes.
    log : str, default ""
        Axes with a logarithmic scale: ``"x"``, ``"y"`` or ``"xy"``.

    Returns
    -------
    SVG
        Points that are not finite, or not positive on a logarithmic scale, are left out.

    Raises
    ------
    ShapeError
        If the coordinates of a line are not of one length.
    OptionError
        If nothing is left to draw, or `log` names another axis.

    Examples
    --------
    >>> x = [0.0, 1.0, 2.0]
    >>> drawing = plot_svg({"x²": (x, [0.0, 1.0, 4.0])}, {"here": ([1.0], [1.0])})
    >>> drawing.count("<polyline"), "here" in drawing
    (1, True)
    """
    if set(log) - {"x", "y"}:
        raise OptionError(f'plot_svg: log must be "", "x", "y" or "xy", got {log!r}')
    series = [(name, _points(name, xy, log), False) for name, xy in lines.items()]
    series += [(name, _points(name, xy, log), True) for name, xy in (dots or {}).items()]
    points = np.concatenate([np.empty((0, 2)), *(p for _, p, _ in series)])
    if not len(points):
        raise OptionError("plot_svg: there is no point to draw; are the values finite?")
    canvas = Canvas(WIDTH, HEIGHT + ROW * len(series), title)
    canvas.text(WIDTH / 2, 20, title, size=14, font_weight="bold")
    (x_low, y_low), (x_high, y_high) = points.min(0).tolist(), points.max(0).tolist()
    y_ticks = _ticks(y_low, y_high, "y" in log)
    axes = Axes(
        canvas, (LEFT, TOP, WIDTH - RIGHT, HEIGHT - BOTTOM),
        (x_low, x_high if x_high > x_low else x_low + 1), (y_ticks[0], y_ticks[-1]), log,
    )  # fmt: skip
    axes.grid(_ticks(x_low, x_high, "x" in log), y_ticks, x, y)
    for number, (name, line, dotted) in enumerate(series):
        colour, at = COLOURS[number % len(COLOURS)], HEIGHT + ROW * number
        if dotted:
            canvas.add("circle", cx=LEFT + 12, cy=at, r=4, fill=colour)
            for across, up in line.tolist():
                axes.dot(across, up, colour)
        else:
            canvas.add("line", x1=LEFT, x2=LEFT + 24, y1=at, y2=at, stroke=colour, stroke_width=3)
            axes.line(line.tolist(), colour)
        canvas.text(LEFT + 32, at + 4, name, text_anchor="start")
    return canvas.svg()


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
    >>> axes.place(10, 1)
    (50.0, 75.0)
    """

    def __init__(
        self, canvas: Canvas, box: tuple[float, float, float, float], x: tuple[float, float],
        y: tuple[float, float], log: str = "",
    ) -> None:  # fmt: skip
        self.canvas, self.box, self.log = canvas, box, log
        self.x, self.y = x, y

    def place(self, x: float, y: float) -> tuple[float, float]:
        """Return where on the canvas a point is."""
        left, top, right, bottom = self.box
        across = _share(x, *self.x, "x" in self.log)
        up = _share(y, *self.y, "y" in self.log)
        return left + (right - left) * across, bottom - (bottom - top) * up

    def grid(self, x_ticks: Iterable[float], y_ticks: Iterable[float], x: str, y: str) -> None:
        """Draw the numbers along both axes, lines for those of y, and the axes' names."""
        left, top, right, bottom = self.box
        for value in y_ticks:
            _, at = self.place(self.x[0], value)
            self.canvas.add("line", x1=left, x2=right, y1=at, y2=at, stroke="currentColor",
                            stroke_opacity=0.2)  # fmt: skip
            self.canvas.text(left - 6, at + 4, f"{value:.4g}", size=11, text_anchor="end")
        for value in x_ticks:
            if self.x[0] <= value <= self.x[1]:
                at, _ = self.place(value, self.y[0])
                self.canvas.text(at, bottom + 16, f"{value:g}", size=11)
        self.canvas.text((left + right) / 2, bottom + 34, x)
        if y:
            self.canvas.text(left, top - 10, y)

    def line(self, points: Iterable[tuple[float, float]], colour: str) -> None:
        """Draw a line through the points."""
        at = " ".join("{:.1f},{:.1f}".format(*self.place(*point)) for point in points)
        self.canvas.add("polyline", points=at, fill="none", stroke=colour, stroke_width=2)

    def dot(self, x: float, y: float, colour: str, radius: float = 4) -> None:
        """Draw a point."""
        across, down = self.place(x, y)
        self.canvas.add("circle", cx=across, cy=down, r=radius, fill=colour)


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


def _ticks(low: float, high: float, log: bool) -> list[float]:
    """Return `ticks`, or powers of ten that enclose the two, no more than about eight."""
    if not log:
        return ticks(low, high)
    first, last = math.floor(math.log10(low) + 1e-9), math.ceil(math.log10(high) - 1e-9)
    step = 1 + (last - first) // 8
    last = first + step * max(1, -(-(last - first) // step))
    return [10.0**i for i in range(first, last + 1, step)]


def _share(value: float, low: float, high: float, log: bool) -> float:
    """Return 0 for `low` and 1 for `high`."""
    if log:
        return math.log(value / low) / math.log(high / low)
    return (value - low) / (high - low)


def _points(name: str, xy: tuple[Any, Any], log: str) -> Any:
    """Return the points (n, 2) of a series that can be drawn."""
    x, y = (np.asarray(values, np.float64).reshape(-1) for values in xy)
    if len(x) != len(y):
        raise ShapeError(f"plot_svg: {name!r} has {len(x)} values of x and {len(y)} of y")
    points = np.stack([x, y], axis=1)
    keep = np.isfinite(points).all(1)
    for axis in log:
        keep &= points[:, "xy".index(axis)] > 0
    return points[keep]
