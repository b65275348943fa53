"""Tables of the source: the layers, as pyproject.toml orders them, and a list of files to read.

What a layer or a file is, its own first docstring line says; the tables only repeat it.

    ```{layers}
    ```

    ```{files}
    errors.py
    dtypes.py
    ```
"""

from __future__ import annotations

import ast
import tomllib
from collections.abc import Iterable
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "minigrad"


def layers() -> list[str]:
    """Return the layers of the house, from the ground up."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (contract,) = settings["tool"]["importlinter"]["contracts"]
    return list(reversed(contract["layers"]))


def source(layer: str) -> Path:
    """Return the file that says what a layer is."""
    folder = PACKAGE.joinpath(*layer.split("."))
    return folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")


def first_line(path: Path) -> str:
    """Return the first line of a module's docstring, without its full stop."""
    text = ast.get_docstring(ast.parse(path.read_text()))
    if not text:
        raise ValueError(f"{path} has no docstring")
    return text.splitlines()[0].rstrip(".")


def lines(path: Path) -> int:
    """Return how many lines a file has."""
    return len(path.read_text().splitlines())


class Table(SphinxDirective):
    """A table whose first column is code."""

    def table(self, head: list[str], rows: Iterable[list[str]]) -> list[nodes.Node]:
        text = [f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows]]
        return self.parse_text_to_nodes("\n".join(text))


class Layers(Table):
    """The order of the layers; each may import those above it."""

    def run(self) -> list[nodes.Node]:
        rows = [[f"`{layer}`", first_line(source(layer))] for layer in layers()]
        return self.table(["Layer", "What it is"], rows)


class Files(Table):
    """The files named in the directive, how long each is, and the sum."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        paths = [PACKAGE / name for name in self.content]
        rows = [[f"`{p.relative_to(PACKAGE)}`", first_line(p), str(lines(p))] for p in paths]
        total = ["", "together", str(sum(map(lines, paths)))]
        return self.table(["File", "What it is", "Lines"], [*rows, total])


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the two directives known."""
    app.add_directive("layers", Layers)
    app.add_directive("files", Files)
    return {"parallel_read_safe": True}
