"""Give every page of code cells as a notebook too, with a link below its title.

A notebook knows no directives: an exercise becomes a heading, a role its words. An exercise's check
follows its start, and may fail without stopping the others; its solution is folded. A teacher's
note is a cell with a tag, as a solution is, so that a notebook can be handed out without both.
"""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from docutils import nodes
from myst_nb.core.read import read_myst_markdown_notebook
from sphinx.application import Sphinx

FOLDER = "_notebooks"
NEEDS = (
    "*A page of minigrad's documentation. To run it, install minigrad from a clone of its "
    "repository: `pip install '.[docs]' jupyterlab`.*"
)
DIRECTIVE = re.compile(
    r"^(`{3,}|:{3,})\{([\w-]+)\} *(.*)\n((?::[\w-]+:.*\n)*)((?:.*\n)*?)\1 *$", re.M
)
ROLE = re.compile(r"\{([\w:-]+)\}`([^`]+?)(?: *<[^`>]*>)?`")
NOTE = re.compile(r"^(`{3,}|:{3,})\{teacher\}", re.M)
LINK = re.compile(r"\[([^\]]*)\]\(([^)\s:]+)\)")
HEADS = {"exercise": "**Exercise: {}**", "teacher": "**Teacher's note: {}**"}
UNSEEN = ("toctree", "image", "figure", "include")


def is_notebook(text: str) -> bool:
    """Return True if a page says in its first lines that it has cells."""
    return text.startswith("---\n") and "jupytext:" in text.partition("\n---\n")[0]


def plain(text: str) -> str:
    """Return Markdown that a notebook shows: without MyST's directives, roles and links."""

    def directive(found: re.Match[str]) -> str:
        _, name, argument, _, body = found.groups()
        if name in UNSEEN:
            return ""
        if name == "math":
            return f"$$\n{body}$$"
        head = HEADS.get(name, "**{}**").format(argument or name.capitalize())
        return f"{head}\n\n{plain(body)}"

    def role(found: re.Match[str]) -> str:
        return f"${found[2]}$" if found[1] == "math" else found[2]

    def link(found: re.Match[str]) -> str:
        return found[1] or Path(found[2]).stem.replace("-", " ")

    text = DIRECTIVE.sub(directive, text)
    text = re.sub(r"^\([\w-]+\)=\n", "", text, flags=re.M)
    return LINK.sub(link, ROLE.sub(role, text))


def apart(cell: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    """Return a cell, or what precedes its teacher's note, if anything, and the note."""
    note = NOTE.search(cell.source) if cell.cell_type == "markdown" else None
    if note is None:
        return [cell]
    before, after = cell.source[: note.start()].rstrip(), cell.source[note.start() :]
    tagged = nbformat.v4.new_markdown_cell(after, metadata={"tags": ["teacher"]})
    return [nbformat.v4.new_markdown_cell(before), tagged] if before else [tagged]


def notebook(text: str) -> nbformat.NotebookNode:
    """Return the page as a notebook."""
    book = read_myst_markdown_notebook(text)
    book.cells = [part for cell in book.cells for part in apart(cell)]
    for cell in book.cells:
        if cell.cell_type == "markdown":
            cell.source = plain(cell.source)
            continue
        tags = set(cell.metadata.get("tags", ()))
        if "check" in tags:  # of a start that is not yet a solution
            tags = tags - {"skip-execution"} | {"raises-exception"}
        if "solution" in tags:
            cell.metadata["jupyter"] = {"source_hidden": True}
        if tags:
            cell.metadata["tags"] = sorted(tags)
    book.cells.insert(1, nbformat.v4.new_markdown_cell(NEEDS, id="needs"))
    for number, cell in enumerate(book.cells):
        cell.id = f"cell-{number}"  # drawn at random otherwise
    book.metadata = {
        "kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}
    }
    book.nbformat, book.nbformat_minor = 4, 5
    return nbformat.from_dict(book)


def link(app: Sphinx, doctree: nodes.document, docname: str) -> None:
    """Put the link below the title of the page."""
    title = next(doctree.findall(nodes.title), None)
    if title is None or not is_notebook(Path(app.env.doc2path(docname)).read_text()):
        return
    target = f"{'../' * docname.count('/')}{FOLDER}/{docname}.ipynb"
    html = f'<p class="notebook"><a href="{target}" download>Download as a notebook</a></p>'
    title.parent.insert(title.parent.index(title) + 1, nodes.raw("", html, format="html"))


def write(app: Sphinx, error: Exception | None) -> None:
    """Write the notebooks beside the pages."""
    if error is not None or app.builder.format != "html":
        return
    for docname in sorted(app.env.found_docs):
        text = Path(app.env.doc2path(docname)).read_text()
        if is_notebook(text):
            path = Path(app.outdir, FOLDER, f"{docname}.ipynb")
            path.parent.mkdir(parents=True, exist_ok=True)
            nbformat.write(notebook(text), path)


def setup(app: Sphinx) -> dict[str, bool]:
    """Link while pages are made, write when all are."""
    app.connect("doctree-resolved", link)
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
