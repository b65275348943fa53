"""What the tests promise about themselves: they pass on a busy machine, and skip cleanly."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "tests").rglob("*.py"))
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in FILES}
CLOCK = re.compile(r"\b(perf_counter|monotonic|timeit|time\.time\b|time\.time_ns|datetime\.now)")
SHORT = re.compile(r"\b(alarm|join|wait|deadline=|timeout=)\(?\d")  # also in the code of children
OWN_MARKERS = {"filterwarnings", "parametrize", "skip", "skipif", "usefixtures", "xfail"}
TELLS_THE_TIME = {"tests/emulated/fake_cupy/devices.py"}  # CuPy's events do


@cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def module_level(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what runs when a file is imported."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            yield child
            yield from module_level(child)


def imported(path: Path) -> set[str]:
    """Return the files of the tests that a file imports, wherever it does."""
    found: set[str] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found & MODULES.keys()


def skips_at_import(module: str) -> bool:
    """Whether importing a file can raise a skip: its own, or one of a file that it imports."""
    for node in module_level(parsed(MODULES[module])):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in (
            "pytest.importorskip",
            "pytest.skip",
        ):
            return True
    return any(map(skips_at_import, imported(MODULES[module])))


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_no_test_looks_at_the_clock_on_the_wall(path: Path) -> None:
    """Work is measured as processor time, with slack, or in the benchmarks; see `tests.clock`."""
    if path == Path(__file__) or str(path.relative_to(ROOT)) in TELLS_THE_TIME:
        return
    for number, line in enumerate(path.read_text().splitlines(), 1):
        found = CLOCK.search(line) or SHORT.search(line)
        assert found is None, f"{path.name}:{number}: {line.strip()}"


def test_every_marker_is_pytests_own_or_declared() -> None:
    """One of a plugin that happens to be here ends the collection elsewhere."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["pytest"]["ini_options"]
    known = OWN_MARKERS | {re.split(r"\W", line)[0] for line in settings["markers"]}
    used = {name for path in FILES for name in re.findall(r"pytest\.mark\.(\w+)", path.read_text())}
    assert used <= known


def test_a_file_that_others_import_skips_nothing_on_import() -> None:
    """Half of it would stay behind and be found by the next import."""
    used = set().union(*map(imported, FILES))
    assert used, "no file imports another"
    assert not [module for module in sorted(used) if skips_at_import(module)]
