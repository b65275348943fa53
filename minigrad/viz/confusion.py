"""Which class was taken for which, as a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from minigrad.errors import ShapeError
from minigrad.loading import check_kinds, several
from minigrad.train import ConfusionMatrix
from minigrad.viz.svg import SVG, Canvas, png

__all__ = ["confusion_svg"]

RIGHT, WRONG = (68, 119, 170), (204, 51, 17)
CELL, SIDE, NAMED, COUNTED = 40, 640, 10, 22  # pixels: most of a cell, of all; least for words
LETTER, LONGEST = 6.6, 24  # width of a letter; letters of a name that are written
DARK = 0.8  # share from which white is read better


def confusion_svg(
    matrix: ConfusionMatrix, classes: Sequence[str] | None = None, title: str = "confusion matrix"
) -> SVG:
    """Draw the true class by row and the predicted one by column.

    A cell is the stronger in colour the larger its share of the row is: blue on the diagonal, red
    elsewhere. Its count stands in it, as long as there is room for it.

    Parameters
    ----------
    matrix : ConfusionMatrix
        What was counted.
    classes : sequence of str, optional
        Names of the classes; by default their numbers.
    title : str
        Title of the picture.

    Returns
    -------
    SVG

    Raises
    ------
    ShapeError
        If there is not a name for each class.

    Examples
    --------
    >>> matrix = ConfusionMatrix(2)
    >>> matrix.update(np.array([0, 0, 1]), np.array([0, 1, 1]))
    >>> drawing = confusion_svg(matrix, ["cat", "dog"])
    >>> drawing.count(">cat</text>"), drawing.count(">1</text>")
    (2, 3)
    """
    check_kinds("confusion_svg", ConfusionMatrix, matrix=matrix)
    check_kinds("confusion_svg", str, title=title)
    names: Sequence[str] = [str(i) for i in range(matrix.classes)]
    if classes is not None:
        names = several("confusion_svg", "classes", classes, str)
    if len(names) != matrix.classes:
        raise ShapeError(
            f"confusion_svg: {matrix.classes} classes but {len(names)} names; there must be one "
            "for each"
        )
    counts, count = matrix.matrix, matrix.classes
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    cell = min(CELL, SIDE / count)
    names = [name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…" for name in names]
    room = LETTER * max(map(len, names)) + 12 if cell >= NAMED else 12
    left, top, side = 24 + room, 58 + room, count * cell
    width = max(left + side + 12, LETTER * 1.2 * len(title) + 16)
    canvas = Canvas(width, top + side + 12, title)
    canvas.text(width / 2, 18, title, size=14, font_weight="bold")
    canvas.text(left + side / 2, 42, "predicted")
    canvas.text(0, 0, "true", transform=f"translate(14 {top + side / 2:.1f}) rotate(-90)")
    pixels = np.empty((count, count, 4), np.uint8)
    pixels[..., :3] = np.where(np.eye(count, dtype=bool)[..., None], RIGHT, WRONG)
    pixels[..., 3] = np.ceil(255 * shares)
    canvas.add("image", x=left, y=top, width=side, height=side, href=png(pixels),
               preserveAspectRatio="none", style="image-rendering:pixelated")  # fmt: skip
    canvas.add("rect", x=left, y=top, width=side, height=side, fill="none", stroke="currentColor",
               stroke_opacity=0.4)  # fmt: skip
    if cell >= NAMED:
        size = min(12.0, 0.9 * cell)
        for i, name in enumerate(names):
            middle = (i + 0.5) * cell
            canvas.text(left - 6, top + middle + 0.35 * size, name, size, text_anchor="end")
            place = f"translate({left + middle + 0.35 * size:.1f} {top - 6:.1f}) rotate(-90)"
            canvas.text(0, 0, name, size, text_anchor="start", transform=place)
    if cell >= COUNTED:
        for i, j in np.argwhere(counts):
            text = f"{counts[i, j]:,}"
            size = min(12.0, 1.5 * cell / max(len(text), 1))
            fill = "white" if shares[i, j] > DARK else "currentColor"
            canvas.text(left + (j + 0.5) * cell, top + (i + 0.5) * cell + 0.35 * size, text, size,
                        fill=fill)  # fmt: skip
    return canvas.svg()
