"""Exercises and teacher's notes of the course.

    ```{exercise} A short title
    What to do.
    ```

    ```{teacher} 45 minutes
    What to ask.
    ```

The code cells after an exercise say by a tag what they are: ``exercise`` is the reader's start,
``check`` holds asserts whose messages are hints, ``solution`` stays closed until it is opened.
"""

from __future__ import annotations

import re
from html import escape
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util.docutils import SphinxDirective
from sphinx_design.dropdown import DropdownDirective
from sphinx_design.shared import create_component


class Exercise(SphinxDirective):
    """The statement of an exercise; `Cells` numbers it."""

    required_arguments = 1
    final_argument_whitespace = True
    has_content = True

    def run(self) -> list[nodes.Node]:
        title, messages = self.parse_inline(self.arguments[0])
        box = nodes.admonition("", nodes.title("", "", *title), classes=["exercise"])
        self.set_source_info(box)
        box += self.parse_content_to_nodes()
        return [box, *messages]


class Teacher(DropdownDirective):
    """A closed note for whoever gives the lesson; its argument is how long that takes."""

    required_arguments, optional_arguments = 1, 0

    def run_with_defaults(self) -> list[nodes.Node]:
        self.arguments = [f"Teacher's note: {self.arguments[0]}"]
        self.options["class-container"] = ["teacher"]
        return super().run_with_defaults()


def closed(title: str, content: nodes.Node) -> nodes.Element:
    """Return what the directive ``dropdown`` makes."""
    return create_component(
        "dropdown",
        opened=False,
        type="dropdown",
        has_title=True,
        icon=None,
        chevron=None,
        container_classes=["solution", "sd-mb-3"],
        title_classes=[],
        body_classes=[],
        children=[nodes.rubric("", title), content],
    )


class Cells(SphinxTransform):
    """Number a page's exercises, close its solutions, carry its checks unseen for live.py."""

    default_priority = 400

    def apply(self, **kwargs: Any) -> None:
        lesson = re.search(r"(\d+)-[^/]*$", self.env.docname)
        boxes = [n for n in self.document.findall(nodes.admonition) if "exercise" in n["classes"]]
        for number, box in enumerate(boxes, 1):
            box["ids"].append(f"exercise-{number}")
            name = f"{int(lesson[1])}.{number}" if lesson else str(number)
            box[0].insert(0, nodes.Text(f"Exercise {name}: "))
        for cell in list(self.document.findall(nodes.container)):
            if "tag_solution" in cell["classes"]:
                cell.replace_self(closed("Solution", cell.deepcopy()))
            elif "tag_check" in cell["classes"]:
                source = escape(next(cell.findall(nodes.literal_block)).astext(), quote=False)
                unseen = f'<pre class="check" hidden>{source}</pre>'
                cell.parent.replace(cell, nodes.raw("", unseen, format="html"))


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the directives known, and what becomes of the cells."""
    app.add_directive("exercise", Exercise)
    app.add_directive("teacher", Teacher)
    app.add_transform(Cells)
    return {"parallel_read_safe": True}
