"""The lessons of the course as the tests read them: their cells, exercises and notes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

COURSE = Path(__file__).resolve().parents[2] / "docs" / "course"
LESSONS = sorted(COURSE.glob("[0-9][0-9]-*.md"))
FENCE = re.compile(r"^(`{3,}|:{3,})\{([\w-]+)\}([^\n]*)\n(.*?)^\1$", re.MULTILINE | re.DOTALL)
TAGS = re.compile(r"^:tags: \[(.*)\]$", re.MULTILINE)


@dataclass(frozen=True)
class Cell:
    """A code cell: its source, its tags, the line of the page where its code begins."""

    source: str
    tags: frozenset[str]
    line: int


def directives(page: Path, name: str) -> list[re.Match[str]]:
    """Return the directives of one name, in order."""
    return [found for found in FENCE.finditer(page.read_text()) if found[2] == name]


def cells(page: Path) -> list[Cell]:
    """Return a page's code cells, in order."""
    text, found = page.read_text(), []
    for match in directives(page, "code-cell"):
        options = re.match(r"(:[^\n]*\n)*\n*", match[4])
        assert options
        tags = TAGS.search(options[0])
        line = text.count("\n", 0, match.start(4)) + options[0].count("\n") + 1
        names = frozenset(re.findall(r"[\w-]+", tags[1] if tags else ""))
        found.append(Cell(match[4][options.end() :], names, line))
    return found
