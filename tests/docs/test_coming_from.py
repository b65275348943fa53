"""What the pages for those who come from elsewhere call ours is there."""

from __future__ import annotations

import importlib
import re
from contextlib import suppress
from pathlib import Path

import pytest

import minigrad as mg

PAGES = sorted((Path(__file__).resolve().parents[2] / "docs" / "coming-from").glob("*.md"))
ROOTS = {"minigrad": "", "mg": "", "compat": "compat"} | {
    name: name for name in "nn optim data train models viz io onnx amp autograd".split()
}
OURS = re.compile(rf"(?<![\w./`\"])(?:{'|'.join(ROOTS)})\.[A-Za-z_][\w.]*\w")


def resolve(path: str) -> object:
    """Return what a dotted name stands for."""
    root, *names = path.split(".")
    names = [*filter(None, [ROOTS[root]]), *names]
    value: object = mg
    for number, name in enumerate(names, 1):
        if not hasattr(value, name):
            if name in getattr(value, "__all__", ()):
                return None  # waits for an extra: pytest's search for doctests left half a module
            importlib.import_module(".".join(["minigrad", *names[:number]]))
        value = getattr(value, name)
    return value


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_every_name_is_there(page: Path) -> None:
    rows = re.findall(r"^\| (.*?) \| (.*) \|$", page.read_text(), re.M)[2:]
    assert rows, "no table"
    code = [span for _, ours in rows for span in re.findall(r"`([^`]+)`", ours)]
    found = [name for span in code for name in OURS.findall(span) if not span.startswith("report")]
    assert found
    for name in found:
        with suppress(mg.errors.MissingExtra):  # a whole module waits for its package
            resolve(name)
