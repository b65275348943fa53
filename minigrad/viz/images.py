"""A grid of pictures or small matrices, all in one scale of colours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.errors import ShapeError, brief
from minigrad.viz.given import numbers
from minigrad.viz.svg import SVG, Canvas, png

__all__ = ["images_svg"]

NEGATIVE, POSITIVE = (68, 119, 170), (238, 102, 119)


def images_svg(
    images: Any,
    captions: Sequence[str] = (),
    *,
    under: Any = None,
    title: str = "images",
    columns: int = 8,
    side: int = 96,
    numbers: bool = False,
) -> SVG:
    """Draw pictures in rows: one scale for all of them, and a key of it if one is not in colour.

    Numbers of both signs are red where positive and blue where negative, the paler the nearer to
    0; others go from black, the least of all, to white, the greatest.

    Parameters
    ----------
    images : Tensor, array or sequence of them
        (N, H, W), (N, 1, H, W), or (N, 3, H, W) in colour; a sequence may have pictures of
        different sizes, whose pixels are drawn in one size.
    captions : sequence of str, optional
        What stands below each.
    under : as `images`, optional
        A picture for each, drawn in grey, of which the images are maps: they lie over it in red
        and blue, the more opaque the farther from 0, stretched to its size.
    title : str
        Also what a screen reader reads out.
    columns : int, default 8
        Pictures per row.
    side : int, default 96
        Width of the widest picture in pixels.
    numbers : bool, default False
        Whether each pixel's number is written into it; for small matrices.

    Returns
    -------
    SVG

    Examples
    --------
    >>> import minigrad as mg
    >>> edges = images_svg(mg.tensor([[[1.0, -1.0]], [[2.0, 0.0]]]), ["kernel", "other"])
    >>> edges.count("<image"), "kernel" in edges
    (3, True)

    Where one of four places speaks for a class, over the picture:

    >>> cams, digit = [[[0.0, 0.5], [0.0, 0.0]]], mg.ones(1, 1, 8, 8)
    >>> images_svg(cams, under=digit).count("<image")
    3
    """
    pictures = _pictures(images)
    if not pictures:
        raise ShapeError("images_svg: there is no picture to draw")
    grounds = [] if under is None else _pictures(under)
    if under is not None and len(grounds) != len(pictures):
        raise ShapeError(
            f"images_svg: {len(pictures)} images but {len(grounds)} pictures under them; there "
            "must be one for each"
        )
    low = min(float(p.min()) for p in pictures)
    high = max(float(p.max()) for p in pictures)
    signed = low < 0 < high or bool(grounds)
    if signed:
        high = max(-low, high)
        low = -high if low < 0 else 0.0
    columns = max(1, min(columns, len(pictures)))
    pixel = side / max(p.shape[-1] for p in pictures)
    tall = pixel * max(p.shape[-2] for p in pictures)
    head, gap, foot, key = 30, 10, 18 if captions else 0, 26
    rows = -(-len(pictures) // columns)
    width = max(columns * (side + gap) + gap, 7.5 * len(title) + 16, 180)
    margin = (width - columns * (side + gap) + gap) / 2
    canvas = Canvas(width, head + rows * (tall + foot + gap) + key, title)
    canvas.text(width / 2, 18, title, size=13, font_weight="bold")
    for number, picture in enumerate(pictures):
        x = margin + number % columns * (side + gap)
        y = head + number // columns * (tall + foot + gap)
        wide, deep = pixel * picture.shape[-1], pixel * picture.shape[-2]
        left = x + (side - wide) / 2
        layers = [_colours(picture, low, high, signed)]
        if grounds:
            ground = grounds[number]
            layers.insert(0, _colours(ground, float(ground.min()), float(ground.max()), False))
        for pixels in layers:
            canvas.add("image", x=left, y=y, width=wide, height=deep, href=png(pixels),
                       preserveAspectRatio="none", style="image-rendering:pixelated")  # fmt: skip
        canvas.add("rect", x=left, y=y, width=wide, height=deep, fill="none",
                   stroke="currentColor", stroke_opacity=0.4)  # fmt: skip
        if numbers and picture.ndim == 2:
            _write(canvas, picture, left, y, pixel, (low + high) / 2, signed)
        if number < len(captions):
            canvas.text(x + side / 2, y + deep + 14, captions[number], size=11.5)
    if any(picture.ndim == 2 for picture in pictures):
        _key(canvas, low, high, signed, "black" if grounds else "none")
    return canvas.svg()


def _pictures(images: Any) -> list[NDArray[np.float64]]:
    try:
        each = list(images)
    except TypeError:
        raise ShapeError(
            f"images_svg: pictures come as (N, H, W), (N, C, H, W) or a list, not {brief(images)}"
        ) from None
    return [_picture(image) for image in each]


def _picture(image: Any) -> NDArray[np.float64]:
    """Return (H, W), or (3, H, W) in colour."""
    picture = numbers("images_svg: a picture", image)
    if picture.ndim == 3 and picture.shape[0] == 1:
        picture = picture[0]
    if not (picture.ndim == 2 or (picture.ndim == 3 and picture.shape[0] == 3)) or not picture.size:
        raise ShapeError(
            f"images_svg: a picture must be (H, W), (1, H, W) or (3, H, W), got {picture.shape}; "
            "several are (N, H, W) or (N, C, H, W)"
        )
    return picture


def _colours(
    picture: NDArray[np.float64], low: float, high: float, signed: bool
) -> NDArray[np.uint8]:
    if signed and picture.ndim == 2:
        pixels = np.where(picture[..., None] < 0, NEGATIVE, POSITIVE)
        alpha = 255 * np.abs(picture)[..., None] / (high or 1.0)
        return np.concatenate([pixels, alpha], axis=-1).round().astype(np.uint8)
    share = (picture - low) / (high - low if high > low else 1.0)
    pixels = (255 * share).round().astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(pixels, 0, 2)) if pixels.ndim == 3 else pixels


def _write(
    canvas: Canvas,
    picture: NDArray[np.float64],
    left: float,
    top: float,
    pixel: float,
    middle: float,
    signed: bool,
) -> None:
    texts = [[f"{value + 0.0:.3g}" for value in row] for row in picture]
    size = min(0.42 * pixel, 1.5 * pixel / max(len(text) for row in texts for text in row))
    for i, row in enumerate(texts):
        for j, text in enumerate(row):
            dark = "currentColor" if signed else "black" if picture[i, j] > middle else "white"
            canvas.text(left + (j + 0.5) * pixel, top + (i + 0.5) * pixel + 0.35 * size, text,
                        size=size, fill=dark)  # fmt: skip


def _key(canvas: Canvas, low: float, high: float, signed: bool, ground: str) -> None:
    """Draw the scale of colours at the foot, with its ends."""
    scale = np.linspace(low, high, 64)[None]
    x, y = canvas.width / 2 - 40, canvas.height - 18
    canvas.add("rect", x=x, y=y, width=80, height=10, fill=ground)
    canvas.add("image", x=x, y=y, width=80, height=10, preserveAspectRatio="none",
               href=png(_colours(scale, low, high, signed)))  # fmt: skip
    canvas.add("rect", x=x, y=y, width=80, height=10, fill="none", stroke="currentColor",
               stroke_opacity=0.4)  # fmt: skip
    canvas.text(x - 6, y + 9, f"{low:.3g}", size=11, text_anchor="end")
    canvas.text(x + 86, y + 9, f"{high:.3g}", size=11, text_anchor="start")
