"""How tensors, modules and reports show themselves in a notebook: a little HTML, no script.

Colours and fonts are those of the page, and whatever a user may have named is escaped.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

__all__ = ["branch", "matrix", "table"]

EDGE = 4  # rows and columns at either end of what is too large to be shown whole
RULE = "border-bottom:1px solid currentColor"


def escape(text: str) -> str:
    """Return text with what HTML reads as its own written out."""
    import html  # takes longer than all of this file, and a program may never show anything

    return html.escape(text)


def table(
    rows: Iterable[Sequence[str]], head: Sequence[str] = (), caption: str = "", words: int = 1
) -> str:
    """Return a table that scrolls by itself where the page is narrow.

    Parameters
    ----------
    rows : iterable of sequence of str
        The cells; spaces at the beginning of the first one stay.
    head : sequence of str, optional
        Names of the columns.
    caption : str, optional
        A line below.
    words : int, default 1
        How many columns hold words; the others are numbers, and stand to the right.

    Examples
    --------
    >>> table([["<a>", "1"]]).count("&lt;a&gt;")
    1
    """
    lines = [_row("th", head, words, RULE)] if head else []
    lines += [_row("td", row, words) for row in rows]
    below = f'<caption style="caption-side:bottom;text-align:left">{escape(caption)}</caption>'
    return (
        '<div style="overflow-x:auto"><table style="border-collapse:collapse">'
        f"{below if caption else ''}{''.join(lines)}</table></div>"
    )


def _row(tag: str, cells: Sequence[str], words: int, style: str = "") -> str:
    sides = ["left"] * words + ["right"] * (len(cells) - words)
    return "<tr>{}</tr>".format(
        "".join(
            f'<{tag} style="padding:.1em .6em;white-space:pre;text-align:{side};{style}">'
            f"{escape(cell)}</{tag}>"
            for cell, side in zip(cells, sides, strict=True)
        )
    )


def matrix(array: Any, caption: str) -> str:
    """Return the numbers of an array: all of a small one, of a large one the corners.

    Numbers are read one by one, so that of an array on a GPU no more than is shown is copied. Of
    more than two axes the first matrix is shown.

    Examples
    --------
    >>> import numpy as np
    >>> matrix(np.zeros((1000, 1000)), "zeros").count("<td")  # 4, a gap, 4; both ways
    81
    """
    if array.size == 0:
        return table([], caption=f"{caption}, empty")
    lead = array.ndim - 2
    if lead > 0:
        first = ", ".join(["0"] * lead)
        caption = f"[{first}] of {caption}"
        array = array[(0,) * lead]
    if array.ndim < 2:
        array = array.reshape(1, -1)
    rows, columns = map(_edges, array.shape)
    cells = [["⋮" if i is None else _value(array, i, j) for j in columns] for i in rows]
    return table(cells, caption=caption, words=0)


def _edges(length: int) -> list[int | None]:
    """Return the places that are shown, None for a gap."""
    if length <= 2 * EDGE + 1:
        return list(range(length))
    return [*range(EDGE), None, *range(length - EDGE, length)]


def _value(array: Any, row: int, column: int | None) -> str:
    if column is None:
        return "…"
    value = array[row, column].item()
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def branch(title: str, note: str, inside: Sequence[str] = (), is_open: bool = False) -> str:
    """Return a line of a tree; a click unfolds what is inside.

    Examples
    --------
    >>> branch("Linear(2, 3)", "9 parameters")
    '<div>Linear(2, 3) <span style="opacity:.7">9 parameters</span></div>'
    """
    line = f'{escape(title)} <span style="opacity:.7">{escape(note)}</span>'
    if not inside:
        return f"<div>{line}</div>"
    return (
        f"<details{' open' if is_open else ''}><summary>{line}</summary>"
        f'<div style="padding-left:1.5em">{"".join(inside)}</div></details>'
    )
