"""Pages of code cells run with NumPy alone, or say what else they need."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.clock import HANG
from tests.docs.lessons import LESSONS, cells

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    path
    for path in sorted((ROOT / "docs").rglob("*.md"))
    if not {"_build", "node_modules"} & set(path.parts)
    and path.read_text().startswith("---\njupytext:")
]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT / "docs"))


def needs(path: Path) -> set[str]:
    """Return the packages that the cells of a page import, beside minigrad and NumPy."""
    found = set()
    for cell in cells(path):
        for node in ast.walk(ast.parse(cell.source)):
            if isinstance(node, ast.Import):
                found |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add(str(node.module).split(".")[0])
    return found - sys.stdlib_module_names - {"minigrad", "numpy"}


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_a_page_says_what_it_needs(path: Path) -> None:
    prose = re.sub(r"^(`{3,})\{code-cell\}.*?^\1$", "", path.read_text(), flags=re.M | re.S)
    for package in needs(path):
        assert package.lower() in prose.lower(), f"the page needs {package}, and does not say so"


@pytest.mark.slow
@pytest.mark.parametrize("path", [p for p in PAGES if p not in LESSONS], ids=name)
def test_the_cells_of_a_page_run(path: Path, tmp_path: Path) -> None:
    """Those of lessons run in `test_exercises.py`."""
    for package in needs(path):
        if importlib.util.find_spec(package) is None:
            pytest.skip(f"needs {package}, as the page says")
    code = "\n".join(cell.source for cell in cells(path) if "skip-execution" not in cell.tags)
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        timeout=HANG,
        check=False,
    )
    assert done.returncode == 0, done.stderr
