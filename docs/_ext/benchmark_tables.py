"""Write the tables and plots of docs/benchmarks.md from benchmarks/results, before Sphinx reads it.

So no figure on the page can be other than one that was measured; where none is recorded, the page
says so.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

from benchmarks import page
from minigrad.viz.svg import Canvas

DOCS = Path(__file__).parents[1]
PAGE, FOLDER = DOCS / "benchmarks.md", DOCS / "benchmarks"
USED = re.compile(r"\{(?:include|image)\} benchmarks/(\S+)")


NOTHING = "Not measured yet."


def write(app: Sphinx) -> None:
    """Write what the page includes."""
    written = page.write(FOLDER)
    for name in USED.findall(PAGE.read_text(encoding="utf-8")):
        if name not in written:
            text: str = NOTHING
            if name.endswith(".svg"):
                canvas = Canvas(400, 40, NOTHING)
                canvas.text(200, 24, NOTHING)
                text = canvas.svg().on_white()
            (FOLDER / name).write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    """Write the tables as soon as Sphinx starts."""
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
