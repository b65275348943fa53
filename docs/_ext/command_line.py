"""Every command of ``minigrad``, from the parser itself: page and program say the same.

```{commands}
```
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from minigrad.cli import build_parser

WIDTH = 85


def commands() -> dict[str, argparse.ArgumentParser]:
    """Return the parser of every command by name."""
    (action,) = (a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction))
    return dict(action.choices)


def usage(parser: argparse.ArgumentParser) -> str:
    """Return the usage of a command, as it prints it."""
    form = parser.formatter_class(prog=parser.prog, width=WIDTH)
    form.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups)
    return form.format_help().strip()


def options(parser: argparse.ArgumentParser) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield the groups of options: a title, and what is written and what it means."""
    form = parser._get_formatter()
    for group in parser._action_groups:
        rows = [
            (form._format_action_invocation(action), form._expand_help(action))
            for action in group._group_actions
            if action.help != argparse.SUPPRESS
        ]
        if rows:
            yield group.title or "", rows


class Commands(SphinxDirective):
    """A section for every command."""

    def run(self) -> list[nodes.Node]:
        return [self.section(name, parser) for name, parser in commands().items()]

    def section(self, name: str, parser: argparse.ArgumentParser) -> nodes.section:
        """Return what a command says about itself."""
        section = nodes.section("", nodes.title("", name), ids=[name], names=[name])
        self.state.document.note_explicit_target(section)
        section += nodes.paragraph("", parser.description or "")
        section += self.block(usage(parser))
        for title, rows in options(parser):
            section += nodes.rubric("", title.capitalize())
            section += self.meanings(rows)
        if parser.epilog:
            section += self.block(parser.epilog.strip())
        return section

    def block(self, text: str) -> nodes.literal_block:
        """Return text that keeps its line breaks."""
        return nodes.literal_block(text, text, language="text")

    def meanings(self, rows: list[tuple[str, str]]) -> nodes.definition_list:
        """Return a list of options; on a phone it needs no more room than elsewhere."""
        return nodes.definition_list(
            "",
            *(
                nodes.definition_list_item(
                    "",
                    nodes.term("", "", nodes.literal("", written)),
                    nodes.definition("", nodes.paragraph("", meaning)),
                )
                for written, meaning in rows
            ),
            classes=["options"],
        )


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the directive known."""
    app.add_directive("commands", Commands)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
