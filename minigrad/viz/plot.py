"""Lines, points, regions and contours in one frame, in the colour of the page around it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minigrad.errors import OptionError, ShapeError, brief
from minigrad.loading import check_numbers
from minigrad.modes import no_grad
from minigrad.viz.axes import COLOURS, Axes, ticks_of
from minigrad.viz.contours import crossings
from minigrad.viz.given import numbers
from minigrad.viz.svg import SVG, Canvas, png

__all__ = ["Plot", "plot_svg"]

Floats = NDArray[np.float64]
Draw = Callable[[Axes], None]

TOP, RIGHT, LEFT, BOTTOM, LABEL, KEY = 34, 14, 48, 24, 18, 20
RGB = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in COLOURS], np.uint8)
REGION_SIDE, CONTOUR_SIDE = 96, 64  # positions at which a function is asked, along each axis


class Entry(NamedTuple):
    """A line of the key."""

    name: str
    colour: str
    strength: float = 1.0
    dot: bool = False


class Plot:
    """A frame with two axes; what is added to it is drawn in that order.

    Each method returns the plot, so that a cell may be one expression; a notebook shows it, and
    `svg` makes the picture. Coordinates may be lists, arrays or tensors; what is not finite is
    left out.

    Parameters
    ----------
    title : str
        Also what a screen reader reads out.
    x, y : (low, high), optional
        What the frame shows; by default all lines and points.
    xlabel, ylabel : str, optional
        What stands beside the axes.
    log : str, default ""
        The axes that are logarithmic: "x", "y" or "xy".
    width, height : int
        Of the picture, in pixels, without its key.

    Examples
    --------
    >>> x = np.linspace(-1, 1, 50)
    >>> plot = Plot("a parabola", xlabel="x").line(x, x**2, "x²").points([0.5], [0.25])
    >>> plot.svg().count("<polyline"), plot.svg().count("<circle")
    (1, 1)

    Decision regions, with what a model was shown:

    >>> def chance(points):  # of class 1, for points (N, 2)
    ...     return 1 / (1 + np.exp(-points[:, 0] * points[:, 1]))
    >>> plot = Plot("signs", x=(-2, 2), y=(-2, 2)).regions(chance)
    >>> plot = plot.points([1, 1, -1], [1, -1, -1], [1, 0, 1], names=["differ", "equal"])

    And the way of an optimizer over a surface:

    >>> surface = lambda points: points[:, 0] ** 2 + 10 * points[:, 1] ** 2
    >>> plot = Plot("a valley", x=(-2, 2), y=(-1, 1)).contours(surface)
    >>> plot = plot.path([-1.5, -1.0, 0.0], [0.8, -0.4, 0.0], "steps")
    """

    def __init__(
        self,
        title: str,
        *,
        x: tuple[float, float] | None = None,
        y: tuple[float, float] | None = None,
        xlabel: str = "",
        ylabel: str = "",
        log: str = "",
        width: int = 360,
        height: int = 270,
    ) -> None:
        if not set(log) <= {"x", "y"}:
            raise OptionError(f"Plot: log names the axes, as in 'xy', got {log!r}")
        for name, limits in (("x", x), ("y", y)):
            if limits is None:
                continue
            ends = numbers(f"Plot: {name}", limits)
            if not (ends.shape == (2,) and ends[0] < ends[1] and (name not in log or ends[0] > 0)):
                raise OptionError(
                    f"Plot: {name} must be (low, high) with low < high, above 0 where the axis is "
                    f"logarithmic, got {limits}"
                )
        check_numbers("Plot", width=width, height=height)
        if width <= LEFT + RIGHT or height <= TOP + BOTTOM + LABEL:
            raise OptionError(
                f"Plot: no room for a frame in {width} × {height} pixels; the axes need more than "
                f"{LEFT + RIGHT} × {TOP + BOTTOM + LABEL}"
            )
        self.title, self.limits, self.labels, self.log = title, (x, y), (xlabel, ylabel), log
        self.width, self.height = width, height
        self._draws: list[Draw] = []
        self._seen: list[Floats] = []
        self._key: list[Entry] = []
        self._lines = 0

    def line(self, x: Any, y: Any, name: str = "") -> Plot:
        """Join the points (x, y) by a line; `name` stands in the key."""
        points, colour = self._points("line", x, y), self._next_colour()
        return self._add(lambda axes: axes.line(points.tolist(), colour), Entry(name, colour))

    def path(self, x: Any, y: Any, name: str = "") -> Plot:
        """Draw the way of a moving point, each step a dot: from a ring to a disc."""
        points, colour = self._points("path", x, y), self._next_colour()

        def draw(axes: Axes) -> None:
            axes.line(points.tolist(), colour, width=1.5)
            for x, y in points[1:-1].tolist():
                axes.dot(x, y, colour, radius=1.8)
            for end, fill in ((points[:1], "none"), (points[-1:], None)):
                for x, y in end.tolist():
                    axes.dot(x, y, colour, radius=4.5, fill=fill)

        return self._add(draw, Entry(name, colour))

    def points(
        self, x: Any, y: Any, classes: Any = None, *, name: str = "", names: Sequence[str] = ()
    ) -> Plot:
        """Mark the points (x, y).

        Parameters
        ----------
        x, y : sequences of N numbers
            Where they lie.
        classes : sequence of N ints, optional
            A colour and a shape for each class, the same in every plot.
        name : str, optional
            What the key calls them, without classes.
        names : sequence of str, optional
            What the key calls the classes; by default their numbers.

        Returns
        -------
        Plot
        """
        points = self._points("points", x, y, keep=True)
        if classes is None:
            kinds, colours = np.zeros(len(points), np.int64), [self._next_colour()]
            keys = {0: name}
        else:
            given, colours = numbers("Plot.points: classes", classes).reshape(-1), list(COLOURS)
            if not (given >= 0).all() or not (given == given.round()).all():
                raise OptionError("Plot.points: classes must be whole numbers from 0 on")
            kinds = given.astype(np.int64)
            if len(kinds) != len(points):
                raise ShapeError(
                    f"Plot.points: {len(points)} points but {len(kinds)} classes; there must be "
                    "one for each"
                )
            keys = {k: names[k] if k < len(names) else str(k) for k in np.unique(kinds).tolist()}

        def draw(axes: Axes) -> None:
            for (x, y), kind in zip(points.tolist(), kinds.tolist(), strict=True):
                if math.isfinite(x + y):
                    _mark(axes.canvas, *axes.place(x, y), kind, colours[kind % len(colours)])

        key = [Entry(n, colours[k % len(colours)], dot=True) for k, n in keys.items()]
        return self._add(draw, *key)

    def regions(self, f: Callable[[NDArray[np.float32]], Any]) -> Plot:
        """Colour the frame by the class that `f` gives, the paler the less it is sure.

        Parameters
        ----------
        f : callable
            Takes points (N, 2), float32, and returns probabilities: (N,) or (N, 1) of class 1, or
            (N, classes). It is asked at once, without recording.

        Returns
        -------
        Plot
        """
        said = self._ask("regions", f, REGION_SIDE)
        if said.ndim not in (1, 2) or len(said) != REGION_SIDE**2:
            raise ShapeError(
                f"Plot.regions: f must return (N,) or (N, classes) for the N = {REGION_SIDE**2} "
                f"points, got shape {said.shape}"
            )
        said = said.reshape(len(said), -1)
        if not (said.min() >= 0 and said.max() <= 1):
            raise OptionError(
                "Plot.regions: f must return probabilities, between 0 and 1; these go from "
                f"{said.min():.4g} to {said.max():.4g}: end it with sigmoid or softmax"
            )
        shares = np.concatenate([1 - said, said], axis=1) if said.shape[1] == 1 else said
        count = shares.shape[1]
        sure = (shares.max(1) * count - 1) / (count - 1)
        pixels = np.empty((len(shares), 4), np.uint8)
        pixels[:, :3] = RGB[shares.argmax(1) % len(RGB)]
        pixels[:, 3] = np.clip(25 + 100 * sure, 0, 255)
        href = png(pixels.reshape(REGION_SIDE, REGION_SIDE, 4)[::-1])

        def draw(axes: Axes) -> None:
            left, top, right, bottom = axes.box
            axes.canvas.add("image", x=left, y=top, width=right - left, height=bottom - top,
                            href=href, preserveAspectRatio="none")  # fmt: skip

        return self._add(draw)

    def contours(
        self, f: Callable[[NDArray[np.float32]], Any], levels: int | Sequence[float] = 6
    ) -> Plot:
        """Draw lines along which `f` is constant, the stronger the higher; the key has the values.

        Parameters
        ----------
        f : callable
            Takes points (N, 2), float32, and returns N numbers. It is asked at once, without
            recording.
        levels : int or sequence of float, default 6
            The values, or how many: then as much of the frame lies between any two lines.

        Returns
        -------
        Plot
        """
        values = self._ask("contours", f, CONTOUR_SIDE)
        if values.size != CONTOUR_SIDE**2:
            raise ShapeError(
                f"Plot.contours: f must return a number for each of the {CONTOUR_SIDE**2} points, "
                f"got shape {values.shape}"
            )
        surface = values.reshape(CONTOUR_SIDE, CONTOUR_SIDE)
        if isinstance(levels, int) and levels < 1:
            raise OptionError(f"Plot.contours: levels must be at least 1, got {levels}")
        if isinstance(levels, int):
            shares = (np.arange(levels) + 0.5) / levels
            levels = [float(f"{level:.1e}") for level in np.nanquantile(surface, shares)]
        levels = numbers("Plot.contours: levels", levels).reshape(-1).tolist()
        for number, level in enumerate(levels):
            strength = 0.25 + 0.65 * number / max(len(levels) - 1, 1)
            ends = self._from_shares(*np.moveaxis(crossings(surface, level), -1, 0))
            outline = _outline(ends, strength)
            self._add(outline, Entry(f"{level:.3g}", "currentColor", strength))
        return self

    def svg(self) -> SVG:
        """Return the picture."""
        limits = self._limits(0), self._limits(1)
        rows = _rows(self._key, self.width - 16)
        canvas = Canvas(self.width, self.height + KEY * len(rows), self.title)
        canvas.text(self.width / 2, 16, self.title, size=13, font_weight="bold")
        bottom = self.height - BOTTOM - (LABEL if self.labels[0] else 0)
        axes = Axes(canvas, (LEFT, TOP, self.width - RIGHT, bottom), *limits, self.log)
        across, up = (ticks_of(*limits[i], "xy"[i] in self.log) for i in range(2))
        axes.grid(across, up, *self.labels)
        with canvas.inside(*axes.box):
            for draw in self._draws:
                draw(axes)
        canvas.add("rect", x=LEFT, y=TOP, width=self.width - RIGHT - LEFT, height=bottom - TOP,
                   fill="none", stroke="currentColor", stroke_opacity=0.5)  # fmt: skip
        for row, entries in enumerate(rows):
            y = self.height + KEY * row + 6
            for x, entry in entries:
                if entry.dot:
                    canvas.add("circle", cx=x + 15, cy=y - 3, r=4, fill=entry.colour)
                else:
                    canvas.add("line", x1=x + 6, x2=x + 24, y1=y - 3, y2=y - 3, stroke_width=3,
                               stroke=entry.colour, stroke_opacity=entry.strength)  # fmt: skip
                canvas.text(x + 30, y + 1, entry.name, size=11.5, text_anchor="start")
        return canvas.svg()

    def _repr_html_(self) -> str:
        return self.svg()._repr_html_()

    def _points(self, method: str, x: Any, y: Any, keep: bool = False) -> Floats:
        """Return pairs (N, 2); those that are not finite only if `keep`."""
        owner = f"Plot.{method}"
        across, up = (numbers(f"{owner}: {n}", v).reshape(-1) for n, v in (("x", x), ("y", y)))
        if len(across) != len(up) or not len(across):
            raise ShapeError(
                f"Plot.{method}: x has {len(across)} values and y has {len(up)}; there must be as "
                "many, and at least one"
            )
        points = np.stack([across, up], axis=1)
        for i, name in enumerate("xy"):
            if name in self.log:
                points[:, i] = np.where(points[:, i] > 0, points[:, i], np.nan)
        finite = points[np.isfinite(points).all(1)]
        self._seen.append(finite)
        return points if keep else finite

    def _add(self, draw: Draw, *key: Entry) -> Plot:
        self._draws.append(draw)
        self._key += [entry for entry in key if entry.name and entry not in self._key]
        return self

    def _next_colour(self) -> str:
        self._lines += 1
        return COLOURS[(self._lines - 1) % len(COLOURS)]

    def _limits(self, i: int) -> tuple[float, float]:
        """Return what the frame shows of x (0) or y (1)."""
        if (limits := self.limits[i]) is not None:
            return limits
        seen = np.concatenate([np.empty(0), *(points[:, i] for points in self._seen)])
        if not len(seen):
            raise OptionError("Plot: there is no point to draw; are the values finite?")
        low, high = float(seen.min()), float(seen.max())
        log = "xy"[i] in self.log
        if i == 0 and high > low:  # a little room, so that nothing sits on the rim
            room = (high / low) ** 0.02 if log else 0.02 * (high - low)
            return (low / room, high * room) if log else (low - room, high + room)
        even = ticks_of(low, high, log)
        return even[0], even[-1]

    def _from_shares(self, across: Floats, up: Floats) -> Floats:
        """Return the points (..., 2) at shares of the frame, from its lower left corner."""
        points = []
        for i, share in enumerate((across, up)):
            low, high = self._limits(i)
            by = (high / low) ** share * low if "xy"[i] in self.log else low + share * (high - low)
            points.append(by)
        return np.stack(points, axis=-1)

    def _ask(self, method: str, f: Callable[[NDArray[np.float32]], Any], side: int) -> Floats:
        """Return what `f` says at side² points of the frame, from its lower left corner on."""
        if not callable(f):
            raise OptionError(f"Plot.{method}: f is a function of points (N, 2), not {brief(f)}")
        if None in self.limits:
            raise OptionError(
                f"Plot.{method}: say what the frame shows, as in x=(-2, 2), y=(-2, 2)"
            )
        shares = (np.arange(side) + 0.5) / side if method == "regions" else np.linspace(0, 1, side)
        grid = self._from_shares(*np.meshgrid(shares, shares)).reshape(-1, 2)
        with no_grad():
            return numbers(f"Plot.{method}: what f returns", f(grid.astype(np.float32)))


def _mark(canvas: Canvas, x: float, y: float, kind: int, colour: str) -> None:
    """Draw a disc, a square or a diamond: colours alone do not tell classes apart for everyone."""
    rim: dict[str, Any] = {"fill": colour, "stroke": "currentColor", "stroke_width": 0.7}
    if kind % 3 == 0:
        canvas.add("circle", cx=x, cy=y, r=3.2, **rim)
    else:
        turn = f"rotate(45 {x:.1f} {y:.1f})" if kind % 3 == 2 else None
        canvas.add("rect", x=x - 2.8, y=y - 2.8, width=5.6, height=5.6, transform=turn, **rim)


def _outline(ends: Floats, strength: float) -> Draw:
    """Draw segments (n, 2 ends, 2)."""

    def draw(axes: Axes) -> None:
        places = np.stack(axes.place(ends[..., 0], ends[..., 1]), axis=-1).reshape(-1, 4)
        d = "".join("M{:.1f} {:.1f}L{:.1f} {:.1f}".format(*segment) for segment in places)
        axes.canvas.add("path", d=d, fill="none", stroke="currentColor", stroke_width=1.2,
                        stroke_opacity=strength)  # fmt: skip

    return draw


def _rows(key: Sequence[Entry], width: float) -> list[list[tuple[float, Entry]]]:
    """Break the key into rows of entries, each with its distance from the left."""
    rows: list[list[tuple[float, Entry]]] = []
    left = math.inf
    for entry in key:
        needed = 42 + 7 * len(entry.name)
        if left + needed > width:
            rows.append([])
            left = 0.0
        rows[-1].append((left, entry))
        left += needed
    return rows


def plot_svg(
    lines: Mapping[str, tuple[Any, Any]],
    dots: Mapping[str, tuple[Any, Any]] | None = None,
    *,
    title: str = "plot",
    x: str = "x",
    y: str = "y",
    log: str = "",
) -> SVG:
    """Draw lines, and single points as dots, in one call: `Plot` for what needs no more.

    Parameters
    ----------
    lines, dots : mapping of str to (x, y)
        What the key calls each, and its coordinates: two sequences of one length.
    title, x, y : str
        Title of the picture and names of its axes.
    log : str, default ""
        Axes with a logarithmic scale: ``"x"``, ``"y"`` or ``"xy"``.

    Examples
    --------
    >>> x = [0.0, 1.0, 2.0]
    >>> drawing = plot_svg({"x²": (x, [0.0, 1.0, 4.0])}, {"here": ([1.0], [1.0])})
    >>> drawing.count("<polyline"), "here" in drawing
    (1, True)
    """
    for what, given in (("lines", lines), ("dots", dots or {})):
        if not isinstance(given, Mapping):
            raise OptionError(f"plot_svg: {what} is a dict of names and (x, y), not {brief(given)}")
    plot = Plot(title, xlabel=x, ylabel=y, log=log, width=480, height=300)
    for name, xy in lines.items():
        plot.line(*xy, name)
    for name, xy in (dots or {}).items():
        plot.points(*xy, name=name)
    return plot.svg()
