"""What happened when, as bars along one axis of time."""

from __future__ import annotations

from collections.abc import Iterable

from minigrad.errors import OptionError, brief
from minigrad.loading import check_kinds, check_numbers
from minigrad.viz.axes import COLOURS, Axes, ticks
from minigrad.viz.svg import SVG, Canvas

__all__ = ["timeline_svg"]

WIDTH, LEFT, TOP, RIGHT, BOTTOM = 720, 130, 40, 24, 48
LANE, BAR = 30, 20


def timeline_svg(
    spans: Iterable[tuple[str, str, float, float]], title: str = "", unit: str = "s"
) -> SVG:
    """Draw spans of time, such as what a rank computes beside what it sends.

    Parameters
    ----------
    spans : iterable of (lane, name, start, end)
        Every lane is a row, in the order in which they first come, every name a colour. The bars
        of one lane may overlap.
    title : str
        Stands above.
    unit : str, default "s"
        Of the times; stands below.

    Returns
    -------
    SVG

    Raises
    ------
    OptionError
        If there is no span, or one ends before it starts.

    Examples
    --------
    >>> spans = [("rank 0", "backward", 0.0, 3.0), ("rank 0, link", "bucket", 1.0, 4.0)]
    >>> timeline_svg(spans).count("<rect")
    4
    """
    check_kinds("timeline_svg", str, title=title, unit=unit)
    spans = list(spans) if isinstance(spans, Iterable) else [spans]
    if not spans:
        raise OptionError("timeline_svg: there is no span to draw")
    for span in spans:
        kinds = tuple(map(type, span)) if isinstance(span, tuple | list) else ()
        if len(kinds) != 4 or kinds[:2] != (str, str):
            raise OptionError(
                f"timeline_svg: a span is (lane, name, start, end), got {brief(span)}"
            )
        lane, name, start, end = span
        check_numbers("timeline_svg", start=start, end=end)
        if not start <= end:
            raise OptionError(
                f"timeline_svg: a span starts before it ends, {name!r} of {lane!r} goes from "
                f"{start} to {end}"
            )
    lanes = list(dict.fromkeys(lane for lane, *_ in spans))
    colours = {name: COLOURS[i % len(COLOURS)]
               for i, name in enumerate(dict.fromkeys(name for _, name, *_ in spans))}  # fmt: skip
    marks = ticks(min(start for *_, start, _ in spans), max(end for *_, end in spans))
    bottom = TOP + LANE * len(lanes)
    canvas = Canvas(WIDTH, bottom + BOTTOM + 20, title or "timeline")
    canvas.text(WIDTH / 2, 18, title, size=14, font_weight="bold")
    box = (LEFT, TOP, WIDTH - RIGHT, bottom)
    axes = Axes(canvas, box, (marks[0], marks[-1]), (0, len(lanes)))
    axes.grid(marks, [], unit, "")
    for row, lane in enumerate(lanes):
        middle = TOP + LANE * (row + 0.5)
        canvas.text(LEFT - 8, middle + 4, lane, text_anchor="end")
        for of, name, start, end in spans:
            if of == lane:
                left, right = (axes.place(at, 0)[0] for at in (start, end))
                canvas.add("rect", x=left, y=middle - BAR / 2, width=max(right - left, 0.5),
                           height=BAR, fill=colours[name], fill_opacity=0.8)  # fmt: skip
    step = (WIDTH - LEFT - RIGHT) / len(colours)
    for i, (name, colour) in enumerate(colours.items()):
        at, down = LEFT + step * i, bottom + BOTTOM
        canvas.add("rect", x=at, y=down, width=12, height=12, fill=colour, fill_opacity=0.8)
        canvas.text(at + 18, down + 10, name, text_anchor="start")
    return canvas.svg()
