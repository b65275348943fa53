"""Code on a page is at most 85 columns wide, so that it is read without scrolling to the side."""

from __future__ import annotations

import ast
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILT = {"_build", "node_modules"}
PAGES = [p for p in sorted((ROOT / "docs").rglob("*.md")) if not BUILT & set(p.parts)]
MODULES = sorted((ROOT / "minigrad").rglob("*.py"))
WIDTH = 85
FENCE = re.compile(
    r"^(`{3,})(?:python|pycon|bash|toml|elixir|text|\{code-(?:cell|block)\}.*)\n(.*?)^\1$",
    re.M | re.S,
)


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def examples(path: Path) -> Iterator[str]:
    """Yield the lines of the examples in docstrings, as far to the left as a page has them."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            text = textwrap.dedent(ast.get_docstring(node) or "")
            yield from (line for line in text.splitlines() if re.match(r" *(>>>|\.\.\.) ", line))


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_code_of_a_page(path: Path) -> None:
    lines = [line for _, code in FENCE.findall(path.read_text()) for line in code.splitlines()]
    assert not [line for line in lines if len(line) > WIDTH]


def test_examples_of_docstrings() -> None:
    wide = {name(path): [x for x in examples(path) if len(x) > WIDTH] for path in MODULES}
    assert not {path: lines for path, lines in wide.items() if lines}
