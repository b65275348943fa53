"""The list of models that prints as a table."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import NamedTuple

__all__ = ["ModelList", "Shelf"]

TITLE = "Model Registry Catalog"
HEAD = ("Segmentor", "Backbone Family", "Variants")


class Shelf(NamedTuple):
    """One family: its models, and the segmentation models that can be built on them."""

    family: str
    variants: tuple[str, ...]
    segmentors: tuple[str, ...]

    @property
    def cells(self) -> tuple[list[str], list[str], list[str]]:
        """The lines of the three columns."""
        segmentors = [f"• {name}" for name in self.segmentors] or ["–"]
        return segmentors, [self.family], [f"• {name}" for name in self.variants]


class ModelList(list[str]):
    """Names of models: a list, shown as a table in the terminal and in notebooks.

    Parameters
    ----------
    names : iterable of str
        What the list holds.
    shelves : sequence of Shelf
        The rows of the table.

    Examples
    --------
    >>> ModelList(["a", "b"], [Shelf("letters", ("a", "b"), ("unet",))])
              Model Registry Catalog
    ┏━━━━━━━━━━━┳━━━━━━━━━━━━━━━━━┳━━━━━━━━━━┓
    ┃ Segmentor ┃ Backbone Family ┃ Variants ┃
    ┡━━━━━━━━━━━╇━━━━━━━━━━━━━━━━━╇━━━━━━━━━━┩
    │ • unet    │ letters         │ • a      │
    │           │                 │ • b      │
    └───────────┴─────────────────┴──────────┘
    """

    def __init__(self, names: Iterable[str], shelves: Sequence[Shelf]) -> None:
        super().__init__(names)
        self.shelves = list(shelves)

    def __repr__(self) -> str:
        rows = [shelf.cells for shelf in self.shelves]
        widths = [
            max([len(HEAD[i]), *(len(line) for row in rows for line in row[i])]) for i in range(3)
        ]

        def rule(left: str, line: str, cross: str, right: str) -> str:
            return left + cross.join(line * (width + 2) for width in widths) + right

        def text(cells: Sequence[str], bar: str) -> str:
            padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
            return f"{bar} " + f" {bar} ".join(padded) + f" {bar}"

        table = [rule("┏", "━", "┳", "┓"), text(HEAD, "┃"), rule("┡", "━", "╇", "┩")]
        for number, row in enumerate(rows):
            if number:
                table.append(rule("├", "─", "┼", "┤"))
            for i in range(max(map(len, row))):
                table.append(text([column[i] if i < len(column) else "" for column in row], "│"))
        table.append(rule("└", "─", "┴", "┘"))
        indent = (len(table[0]) - len(TITLE)) // 2
        return "\n".join([" " * indent + TITLE, *table])

    def _repr_html_(self) -> str:
        """Return the table for notebooks."""
        style = 'style="text-align: left; vertical-align: top; border: 1px solid"'
        head = "".join(f"<th {style}>{name}</th>" for name in HEAD)
        lines = [f"<table><caption>{TITLE}</caption>", f"<thead><tr>{head}</tr></thead>", "<tbody>"]
        for shelf in self.shelves:
            cells = ("<br>".join(html.escape(line) for line in column) for column in shelf.cells)
            lines.append("<tr>" + "".join(f"<td {style}>{cell}</td>" for cell in cells) + "</tr>")
        return "\n".join([*lines, "</tbody></table>"])
