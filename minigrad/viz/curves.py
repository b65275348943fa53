"""Training curves as SVG: one panel for the losses, one for the accuracies."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from minigrad.errors import OptionError
from minigrad.loading import history_of
from minigrad.viz.axes import COLOURS, Axes, ticks
from minigrad.viz.svg import SVG, Canvas

__all__ = ["curves_svg"]

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
    history = history_of("curves_svg", history)
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
    axes = Axes(
        canvas, (left, top, right, bottom), (min(epochs), max(max(epochs), min(epochs) + 1)),
        (y_ticks[0], y_ticks[-1]),
    )  # fmt: skip
    axes.grid(x_ticks, y_ticks, "epoch", "")
    for number, (name, line) in enumerate(lines.items()):
        colour = COLOURS[number % len(COLOURS)]
        axes.line(line, colour)
        if line:
            axes.dot(*line[-1], colour, radius=3)
        height = (top + 16 if kind == "loss" else bottom - 16 * len(lines)) + 16 * number
        last = f" {line[-1][1]:.4f}" if line else ""
        if smoothing := history[-1].get(f"{name.removesuffix('loss')}smoothing"):
            last += f" (smoothing {smoothing:g})"
        canvas.text(right - 8, height, name.replace("_", " ") + last, text_anchor="end",
                    fill=colour)  # fmt: skip
