"""Where the elements of a small tensor lie in memory, as SVG."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.backend import to_device
from minigrad.errors import OptionError, ShapeError
from minigrad.tensor import Tensor
from minigrad.viz.axes import COLOURS
from minigrad.viz.svg import SVG, Canvas

__all__ = ["memory_svg"]

CELL, HEAD, PER_LINE, MOST = 40, 26, 12, 96


def memory_svg(x: Tensor | NDArray[Any], title: str = "") -> SVG:
    """Draw a tensor as rows and columns and, below, the piece of memory that it is a view of.

    Every element carries its place in memory. A row and the memory that it reads have one colour;
    memory that several elements share says how many.

    Parameters
    ----------
    x : Tensor or array
        Of one or two axes; it and its memory have no more than 96 elements.
    title : str
        Stands before the shape and the strides.

    Returns
    -------
    SVG

    Raises
    ------
    ShapeError
        If `x` has no axis or more than two.
    OptionError
        If there is too much, or nothing, to be drawn.

    Examples
    --------
    >>> import minigrad as mg
    >>> drawing = memory_svg(mg.arange(6).reshape(2, 3).T)
    >>> "shape (3, 2), strides (1, 3)" in drawing, drawing.count("<rect")
    (True, 12)
    """
    array = to_device(x.array, "cpu") if isinstance(x, Tensor) else np.asarray(x)
    if array.ndim not in (1, 2):
        raise ShapeError(f"memory_svg: x must have one or two axes, got shape {array.shape}")
    memory = _owner(array).ravel(order="K")
    if not 0 < memory.size <= MOST or array.size > MOST:
        raise OptionError(
            f"memory_svg: x has {array.size} elements in a memory of {memory.size}; 1 to {MOST} "
            "can be drawn"
        )
    strides = tuple(s // array.itemsize for s in array.strides)
    rows = np.atleast_2d(_places(array, memory))
    readers = Counter(rows.ravel().tolist())
    row_of = {place: i for i, row in reversed(list(enumerate(rows.tolist()))) for place in row}

    head = f"shape {array.shape}, strides {strides}"
    head = f"{title}: {head}" if title else head
    lines = -(-memory.size // PER_LINE)
    below = HEAD + CELL * len(rows) + HEAD + 8
    canvas = Canvas(
        max(CELL * max(rows.shape[1], min(memory.size, PER_LINE)) + 2, 300),
        below + (CELL + HEAD) * lines, head,
    )  # fmt: skip
    canvas.text(1, 16, head, text_anchor="start")
    canvas.text(1, below - 8, "memory, with the place of each element", text_anchor="start")
    for i, row in enumerate(rows):
        for j, place in enumerate(row):
            _cell(canvas, CELL * j, HEAD + CELL * i, memory[place], f"at {place}", COLOURS[i % 6])
    for place, value in enumerate(memory):
        left, top = CELL * (place % PER_LINE), below + (CELL + HEAD) * (place // PER_LINE)
        colour = COLOURS[row_of[place] % 6] if place in row_of else None
        _cell(canvas, left, top, value, f"{readers[place]}×" if readers[place] > 1 else "", colour)
        canvas.text(left + CELL / 2, top + CELL + 13, str(place), size=10, fill_opacity=0.75)
    return canvas.svg()


def _cell(
    canvas: Canvas, left: float, top: float, value: Any, note: str, colour: str | None
) -> None:
    canvas.add("rect", x=left + 1, y=top, width=CELL - 2, height=CELL - 2, rx=3,
               fill=colour or "none", fill_opacity=0.25, stroke=colour or "currentColor",
               stroke_opacity=1 if colour else 0.4)  # fmt: skip
    canvas.text(left + CELL / 2, top + 19, f"{float(value):.3g}", size=13)
    if note:
        canvas.text(left + CELL / 2, top + 33, note, size=9.5, fill_opacity=0.75)


def _owner(array: NDArray[Any]) -> NDArray[Any]:
    """Return the array whose memory `array` is a view of."""
    owner, base = array, array.base
    while base is not None:  # as_strided puts an object between that is no array
        owner = base if isinstance(base, np.ndarray) else owner
        base = getattr(base, "base", None)
    return owner


def _places(array: NDArray[Any], memory: NDArray[Any]) -> NDArray[np.int64]:
    """Return, for every element, its place in memory."""
    start = (array.ctypes.data - memory.ctypes.data) // array.itemsize
    steps = [
        np.arange(n) * (s // array.itemsize)
        for n, s in zip(array.shape, array.strides, strict=True)
    ]
    return start + sum(np.ix_(*steps), np.zeros(array.shape, np.int64))
