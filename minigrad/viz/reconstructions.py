"""What a masked autoencoder was shown, what it made of it, and the original."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.errors import OptionError, ShapeError
from minigrad.viz.svg import SVG, Canvas, png

__all__ = ["reconstructions_svg"]

GREY = 0.75  # of what was removed


def reconstructions_svg(
    rows: Mapping[str, Any], *, side: int = 84, title: str = "masked autoencoding"
) -> SVG:
    """Draw images in rows, one below the other: the same column is the same image.

    Parameters
    ----------
    rows : mapping of str to array (N, C, H, W)
        Name of a row to its images, C = 1 or 3; NaN is drawn grey. All pictures of a column have
        the brightness of its first one.
    side : int, default 84
        Width of a picture in pixels.
    title : str
        Title of the whole.

    Examples
    --------
    >>> import numpy as np
    >>> images = np.zeros((3, 1, 8, 8))
    >>> reconstructions_svg({"image": images, "reconstruction": images}).count("<image")
    6
    """
    if not rows:
        raise OptionError("reconstructions_svg: there is no row to draw")
    arrays = {name: np.asarray(images, dtype=np.float32) for name, images in rows.items()}
    shapes = {images.shape for images in arrays.values()}
    first = next(iter(arrays.values()))
    if len(shapes) > 1 or first.ndim != 4 or first.shape[1] not in (1, 3):
        raise ShapeError(
            "reconstructions_svg: all rows must have one shape (N, 1 or 3, H, W), got "
            f"{sorted(shapes)}"
        )
    left, top, gap = 110, 36, 6
    canvas = Canvas(left + len(first) * (side + gap), top + len(rows) * (side + gap), title)
    canvas.text(canvas.width / 2, 22, title, size=14, font_weight="bold")
    for i, (name, images) in enumerate(arrays.items()):
        y = top + i * (side + gap)
        canvas.text(left - 10, y + side / 2 + 4, name, text_anchor="end")
        for j, image in enumerate(images):
            pixels = _to_bytes(image, float(np.nanmin(first[j])), float(np.nanmax(first[j])))
            canvas.add("image", x=left + j * (side + gap), y=y, width=side, height=side,
                       style="image-rendering:pixelated", href=png(pixels))  # fmt: skip
    return canvas.svg()


def _to_bytes(image: NDArray[np.float32], low: float, high: float) -> NDArray[np.uint8]:
    scaled = (image - low) / (high - low if high > low else 1.0)
    scaled = np.where(np.isnan(scaled), GREY, np.clip(scaled, 0, 1))
    pixels = np.moveaxis((255 * scaled).round().astype(np.uint8), 0, 2)
    return np.ascontiguousarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
