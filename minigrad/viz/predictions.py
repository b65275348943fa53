"""A grid of pictures with what the model says they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.errors import ShapeError
from minigrad.viz.svg import SVG, Canvas, png

__all__ = ["predictions_svg"]

RIGHT, WRONG = "#228833", "#cc3311"


def predictions_svg(
    images: Any,
    labels: Sequence[Any] | NDArray[np.integer[Any]],
    predictions: Sequence[Any] | NDArray[np.integer[Any]],
    classes: Sequence[str] | None = None,
    *,
    columns: int = 8,
    side: int = 96,
    title: str = "predictions",
) -> SVG:
    """Draw samples with the predicted class below each: green if right, else red with the truth.

    Parameters
    ----------
    images : array of shape (N, C, H, W) or (N, C, L)
        Pictures with C = 1 or 3, every one stretched to its own range of brightness; or signals, a
        curve for each of the C channels.
    labels, predictions : sequences
        True and predicted class numbers; or what is said of each, if there are no `classes`.
    classes : sequence of str, optional
        Class names; by default the numbers.
    columns : int, default 8
        Pictures per row.
    side : int, default 96
        Width of a picture in pixels.
    title : str
        Title of the whole.

    Examples
    --------
    >>> import numpy as np
    >>> drawing = predictions_svg(np.zeros((3, 1, 8, 8)), [0, 1, 2], [0, 1, 1])
    >>> drawing.count("<image"), drawing.count("not 2")
    (3, 1)
    """
    pixels = np.asarray(images, dtype=np.float32)
    if pixels.ndim != 3 and (pixels.ndim != 4 or pixels.shape[1] not in (1, 3)):
        raise ShapeError(
            "predictions_svg: signals must have shape (N, C, L), images (N, 1 or 3, H, W), got "
            f"{pixels.shape}"
        )
    if not len(pixels) == len(labels) == len(predictions):
        raise ShapeError(
            f"predictions_svg: {len(pixels)} images, {len(labels)} labels, "
            f"{len(predictions)} predictions; there must be one of each"
        )
    columns = max(1, min(columns, len(pixels)))
    rows = -(-len(pixels) // columns)
    cell_width, cell_height, head = side + 16, side + 40, 36
    canvas = Canvas(columns * cell_width + 8, head + rows * cell_height, title)
    canvas.text(canvas.width / 2, 22, title, size=14, font_weight="bold")
    for number, (image, label, guess) in enumerate(zip(pixels, labels, predictions, strict=True)):
        x = 12 + number % columns * cell_width
        y = head + number // columns * cell_height
        if image.ndim == 2:
            _curves(canvas, image, x, y, side)
        else:
            canvas.add("image", x=x, y=y, width=side, height=side, href=png(_to_bytes(image)),
                       style="image-rendering:pixelated")  # fmt: skip
        good = label == guess
        name, truth = (str(classes[i]) if classes else str(i) for i in (guess, label))
        colour = RIGHT if good else WRONG
        canvas.text(x + side / 2, y + side + 14, name, size=12, fill=colour, font_weight="bold")
        if not good:
            canvas.text(x + side / 2, y + side + 28, f"not {truth}", size=11, fill=colour)
    return canvas.svg()


def _curves(canvas: Canvas, signal: NDArray[np.float32], x: float, y: float, side: int) -> None:
    """Draw a signal (C, L) into a square, from its least to its largest value."""
    low, high = float(signal.min()), float(signal.max())
    scale = side / (high - low) if high > low else 0.0
    across = x + np.arange(signal.shape[1]) * (side / max(signal.shape[1] - 1, 1))
    for values in signal:
        points = zip(across, y + (high - values) * scale, strict=True)
        text = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        canvas.add("polyline", points=text, fill="none", stroke="currentColor", stroke_width=1.5)


def _to_bytes(image: NDArray[np.float32]) -> NDArray[np.uint8]:
    low, high = float(image.min()), float(image.max())
    scaled = (image - low) * (255 / (high - low) if high > low else 0)
    pixels = np.moveaxis(scaled.round().astype(np.uint8), 0, 2)
    return pixels[..., 0] if pixels.shape[2] == 1 else pixels
