"""The curves of several runs in one picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from minigrad.errors import OptionError
from minigrad.loading import check_kinds, history_of
from minigrad.viz.axes import COLOURS, Axes, ticks
from minigrad.viz.svg import SVG, Canvas

__all__ = ["comparison_svg"]

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM, HEAD, KEY = 440, 280, 58, 34, 16, 44, 28, 20
DASHES = (None, "7 4", "2 3")  # of the runs that come when the colours are used up


def comparison_svg(
    histories: Mapping[str, Sequence[Mapping[str, float]]], title: str = "runs compared"
) -> SVG:
    """Draw what several runs logged: a panel for each column, a colour for each run.

    Parameters
    ----------
    histories : mapping of str to sequence of mappings
        Of each run, by its name, a row per epoch, as `Trainer.fit` returns them; the columns are
        all but ``epoch``, and a run that has not got one is not in its panel.
    title : str
        Title of the picture.

    Returns
    -------
    SVG

    Raises
    ------
    OptionError
        If there is nothing to draw.

    Examples
    --------
    >>> rows = [{"epoch": 1, "val_loss": 0.7}, {"epoch": 2, "val_loss": 0.5}]
    >>> comparison_svg({"a": rows, "b": rows[:1]}).count("<polyline")
    2
    """
    check_kinds("comparison_svg", Mapping, histories=histories)
    histories = {name: history_of("comparison_svg", rows) for name, rows in histories.items()}
    columns = dict.fromkeys(
        name for rows in histories.values() for row in rows for name in row if name != "epoch"
    )
    if not columns:
        raise OptionError("comparison_svg: no run has logged an epoch yet")
    across = min(2, len(columns))
    below = HEAD + HEIGHT * math.ceil(len(columns) / across)
    canvas = Canvas(WIDTH * across, below + KEY * len(histories) + 8, title)
    canvas.text(canvas.width / 2, 18, title, size=14, font_weight="bold")
    styles = {
        name: (COLOURS[i % len(COLOURS)], DASHES[i // len(COLOURS) % len(DASHES)])
        for i, name in enumerate(histories)
    }
    for number, column in enumerate(columns):
        corner = (WIDTH * (number % across), HEAD + HEIGHT * (number // across))
        _panel(canvas, corner, column, histories, styles)
    for i, (name, (colour, dash)) in enumerate(styles.items()):
        y = below + KEY * i + 8
        canvas.add("line", x1=LEFT, x2=LEFT + 24, y1=y, y2=y, stroke=colour, stroke_width=3,
                   stroke_dasharray=dash)  # fmt: skip
        canvas.text(LEFT + 32, y + 4, name, text_anchor="start")
    return canvas.svg()


def _panel(
    canvas: Canvas,
    corner: tuple[float, float],
    column: str,
    histories: Mapping[str, Sequence[Mapping[str, float]]],
    styles: Mapping[str, tuple[str, str | None]],
) -> None:
    lines = {
        name: [
            (float(row.get("epoch", i + 1)), float(row[column]))
            for i, row in enumerate(rows)
            if math.isfinite(row.get(column, math.nan))
        ]
        for name, rows in histories.items()
    }
    points = [point for line in lines.values() for point in line] or [(1.0, 0.0)]
    last = max(max(x for x, _ in points), 2.0)
    marks = ticks(min(y for _, y in points), max(y for _, y in points))
    left, top = corner
    box = (left + LEFT, top + TOP, left + WIDTH - RIGHT, top + HEIGHT - BOTTOM)
    axes = Axes(canvas, box, (1, last), (marks[0], marks[-1]))
    axes.grid([x for x in ticks(1, last) if x == int(x)], marks, "epoch", column.replace("_", " "))
    for name, line in lines.items():
        colour, dash = styles[name]
        axes.line(line, colour, dash=dash)
        if line:
            axes.dot(*line[-1], colour, radius=3)
