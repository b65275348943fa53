"""Training curves as SVG: one panel for the losses, one for the accuracies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from minigrad.errors import OptionError
from minigrad.viz.svg import SVG, Canvas

__all__ = ["curves_svg"]

COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377")  # Paul Tol, bright
WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 440, 300, 58, 36, 16, 44


def curves_svg(history: Sequence[Mapping[str, float]], title: str = "training") -> SVG:
    """Draw what a run logged, epoch by epoch.

    Parameters
    ----------
    history : sequence of mappings
        One per epoch; the entries whose names end in ``loss`` share a panel, those that end in
        ``accuracy`` another one. `Trainer.fit` returns such a list.
    title : str
        Title of the picture.

    Returns
    -------
    SVG

    Examples
    --------
    >>> history = [{"epoch": 1, "train_loss": 2.0, "val_accuracy": 0.5},
    ...            {"epoch": 2, "train_loss": 1.0, "val_accuracy": 0.9}]
    >>> curves_svg(history).count("<polyline")
    2
    """
    names = list(dict.fromkeys(name for row in history for name in row))
    panels = [
        (kind, [name for name in names if name.endswith(kind)]) for kind in ("loss", "accuracy")
    ]
    panels = [(kind, members) for kind, members in panels if members]
    if not panels:
        raise OptionError("curves_svg: the history has no entry that ends in 'loss' or 'accuracy'")
    canvas = Canvas(WIDTH * len(panels), HEIGHT, title)
    canvas.text(WIDTH * len(panels) / 2, 18, title, size=14, font_weight="bold")
    for number, (kind, members) in enumerate(panels):
        _panel(canvas, WIDTH * number, kind, members, history)
    return canvas.svg()


def _panel(
    canvas: Canvas,
    offset: float,
    kind: str,
    names: Sequence[str],
    history: Sequence[Mapping[str, float]],
) -> None:
    epochs = [float(row.get("epoch", i + 1)) for i, row in enumerate(history)]
    lines = {
        name: [
            (epoch, float(row[name]))
            for epoch, row in zip(epochs, history, strict=True)
            if name in row and math.isfinite(row[name])
        ]
        for name in names
    }
    values = [y for line in lines.values() for _, y in line] or [0.0]
    y_ticks = ticks(min(values), max(values))
    x_ticks = [t for t in ticks(min(epochs), max(epochs)) if t == int(t)]
    left, right = offset + LEFT, offset + WIDTH - RIGHT
    top, bottom = float(TOP), float(HEIGHT - BOTTOM)
    x_low, x_high = min(epochs), max(max(epochs), min(epochs) + 1)
    y_low, y_high = y_ticks[0], y_ticks[-1]

    def x_of(x: float) -> float:
        return left + (right - left) * (x - x_low) / (x_high - x_low)

    def y_of(y: float) -> float:
        return bottom - (bottom - top) * (y - y_low) / (y_high - y_low)

    for y in y_ticks:
        canvas.add("line", x1=left, x2=right, y1=y_of(y), y2=y_of(y), stroke="#ddd")
        canvas.text(left - 6, y_of(y) + 4, f"{y:.4g}", size=11, text_anchor="end")
    for x in x_ticks:
        if x_low <= x <= x_high:
            canvas.text(x_of(x), bottom + 16, f"{x:g}", size=11)
    canvas.text((left + right) / 2, bottom + 34, "epoch", size=12)
    for number, (name, line) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        points = " ".join(f"{x_of(x):.1f},{y_of(y):.1f}" for x, y in line)
        canvas.add("polyline", points=points, fill="none", stroke=colour, stroke_width=2)
        if line:
            x, y = line[-1]
            canvas.add("circle", cx=x_of(x), cy=y_of(y), r=3, fill=colour)
        height = (top + 16 if kind == "loss" else bottom - 16 * len(lines)) + 16 * number
        last = f" {line[-1][1]:.4f}" if line else ""
        if smoothing := history[-1].get(f"{name.removesuffix('loss')}smoothing"):
            last += f" (smoothing {smoothing:g})"
        canvas.text(right - 8, height, name.replace("_", " ") + last, text_anchor="end",
                    fill=colour)  # fmt: skip


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
