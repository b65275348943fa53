"""Captions of the table of contents are headings to a screen reader; this gives them a level."""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx

HEADING = 'role="heading"'


def give_levels(app: Sphinx, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Complete what Sphinx wrote, in the page and in Furo's sidebar."""
    for part in ("body", "furo_navigation_tree"):
        if part in context:
            context[part] = context[part].replace(f"{HEADING}>", f'{HEADING} aria-level="2">')


def setup(app: Sphinx) -> dict[str, bool]:
    """Come after Furo, which makes the sidebar in the same event."""
    app.connect("html-page-context", give_levels, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
