"""Images beside their maps of classes: what is there, and what a model sees."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.errors import ShapeError
from minigrad.viz.svg import SVG, Canvas, png

__all__ = ["masks_svg", "palette"]

HEADS = ("image", "truth", "prediction", "wrong")
ERROR = (204, 51, 17)


def palette(classes: int) -> NDArray[np.uint8]:
    """Return a colour for each class, (classes, 3): black for class 0, the others bright.

    Examples
    --------
    >>> palette(3).tolist()[0]
    [0, 0, 0]
    """
    colours = [(0.0, 0.0, 0.0)]
    for i in range(classes - 1):
        colours.append(colorsys.hsv_to_rgb(i * 0.618 % 1, 0.75 if i % 2 else 0.55, 0.95))
    return np.round(np.array(colours) * 255).astype(np.uint8)


def masks_svg(
    images: Any,
    masks: Any,
    predictions: Any,
    classes: Sequence[str],
    *,
    side: int = 128,
    title: str = "segmentation",
) -> SVG:
    """Draw a row for each sample: image, true classes, predicted classes, and where they differ.

    Parameters
    ----------
    images : array, (N, 1 or 3, H, W) or (N, 1, D, H, W)
        Of volumes the slice in the middle of the last axis is shown.
    masks, predictions : array of int, (N, H, W) or (N, D, H, W)
        True and predicted classes.
    classes : sequence of str
        Names, which the legend shows.
    side : int, default 128
        Width of a picture in pixels.
    title : str
        Title of the whole.

    Examples
    --------
    >>> import numpy as np
    >>> mask = np.array([[[0, 1], [1, 1]]])
    >>> drawing = masks_svg(np.zeros((1, 1, 2, 2)), mask, mask * 0, ["nothing", "thing"])
    >>> drawing.count("<image"), drawing.count("thing</text>")
    (4, 2)
    """
    pixels, truth, guess = (_flat(a, n) for a, n in ((images, 2), (masks, 1), (predictions, 1)))
    if truth.shape != guess.shape or pixels.shape[::2] + pixels.shape[3:] != truth.shape:
        raise ShapeError(
            f"masks_svg: images {np.shape(images)}, masks {np.shape(masks)} and predictions "
            f"{np.shape(predictions)} must show the same positions"
        )
    colours = palette(len(classes))
    head, cell = 52, side + 8
    height = round(side * pixels.shape[2] / pixels.shape[3])
    legend = 22 * (-(-len(classes) // 4))
    canvas = Canvas(4 * cell + 8, head + len(pixels) * (height + 8) + legend + 8, title)
    canvas.text(canvas.width / 2, 20, title, size=14, font_weight="bold")
    for column, name in enumerate(HEADS):
        canvas.text(8 + column * cell + side / 2, 42, name, size=12)
    for row, (image, true, said) in enumerate(zip(pixels, truth, guess, strict=True)):
        wrong = colours[said] // 4
        wrong[true != said] = ERROR
        for column, shown in enumerate((_grey(image), colours[true], colours[said], wrong)):
            canvas.add("image", x=8 + column * cell, y=head + row * (height + 8), width=side,
                       height=height, href=png(np.ascontiguousarray(shown)),
                       style="image-rendering:pixelated")  # fmt: skip
    top = head + len(pixels) * (height + 8)
    for i, (name, colour) in enumerate(zip(classes, colours, strict=True)):
        x, y = 8 + i % 4 * cell, top + i // 4 * 22
        fill = f"rgb({colour[0]},{colour[1]},{colour[2]})"
        canvas.add("rect", x=x, y=y, width=14, height=14, fill=fill, stroke="currentColor")
        canvas.text(x + 20, y + 12, name, size=12, text_anchor="start")
    return canvas.svg()


def _flat(array: Any, lead: int) -> NDArray[Any]:
    """Return images as they are, of volumes the middle slice, turned upright."""
    values = np.asarray(array)
    if values.ndim == lead + 3:
        values = np.swapaxes(values[..., values.shape[-1] // 2], -1, -2)[..., ::-1, :]
    if values.ndim != lead + 2:
        raise ShapeError(f"masks_svg: expected {lead + 2} or {lead + 3} axes, got {values.shape}")
    return values


def _grey(image: NDArray[Any]) -> NDArray[np.uint8]:
    low, high = float(image.min()), float(image.max())
    scaled = (image - low) * (255 / (high - low) if high > low else 0.0)
    three = np.broadcast_to(scaled.round().astype(np.uint8), (3, *image.shape[1:]))
    return np.moveaxis(three, 0, 2)
