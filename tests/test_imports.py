"""The house stands: layers, what an import pulls in, and how long it takes."""

from __future__ import annotations

import ast
import json
import os
import statistics
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "minigrad"
FILES = sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    """Return the dotted module name of a source file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in FILES}


def layers() -> list[str]:
    """Return the layers from the ground up; a layer may import those before it."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (contract,) = settings["tool"]["importlinter"]["contracts"]
    return [f"minigrad.{layer}" for layer in reversed(contract["layers"])]


LAYERS = layers()


def layer_of(module: str) -> int | None:
    """Return the index of a module's layer; None for the two packages that only hand names on."""
    for index, layer in enumerate(LAYERS):
        if module == layer or module.startswith(layer + "."):
            return index
    return None


def imports(path: Path, type_checking: bool = False) -> Iterator[tuple[int, str]]:
    """Yield (line, module) for each import that can run; type-checking blocks cannot."""
    module = name_of(path)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]
    stack: list[ast.AST] = [ast.parse(path.read_text())]
    while stack:
        node = stack.pop()
        guarded = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if isinstance(node, ast.If) and guarded and not type_checking:
            stack.extend(node.orelse)
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base]).rstrip(".")
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield node.lineno, inner if inner in MODULES else base
        stack.extend(ast.iter_child_nodes(node))


def test_every_module_has_a_layer() -> None:
    faces = {"minigrad", "minigrad.__main__", "minigrad.autograd"}
    assert {module for module in MODULES if layer_of(module) is None} <= faces


@pytest.mark.parametrize("module", [module for module in MODULES if layer_of(module) is not None])
def test_imports_only_from_layers_above(module: str) -> None:
    mine = layer_of(module)
    assert mine is not None
    wrong = []
    for line, target in imports(MODULES[module]):
        if target.partition(".")[0] != "minigrad":
            continue
        if target == "minigrad" and LAYERS[mine] == "minigrad.cli":
            continue  # the command stands on the public face itself
        theirs = layer_of(target)
        if theirs is None or theirs > mine:
            wrong.append(f"line {line} imports {target}")
    assert not wrong, f"{module} stands in {LAYERS[mine]}, but " + "; ".join(wrong)


@pytest.mark.parametrize("room", ["models", "distributed", "train", "runs", "cli"])
def test_no_circle_of_imports(room: str) -> None:
    """Each file needs only what can be read before it, for type checking too."""
    files = {
        module: path
        for module, path in MODULES.items()
        if module.startswith(f"minigrad.{room}.") and path.name != "__init__.py"
    }
    graph = {m: {t for _, t in imports(path, True) if t in files} for m, path in files.items()}
    order = list(TopologicalSorter(graph).static_order())  # names the circle where there is one
    assert sorted(order) == sorted(files)


@pytest.mark.parametrize("module", MODULES)
def test_only_the_backend_knows_cupy(module: str) -> None:
    if module != "minigrad.backend":
        assert not [line for line, target in imports(MODULES[module]) if target.startswith("cupy")]


def run(code: str, **env: str) -> str:
    """Run code in a fresh interpreter and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **env},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "module", ["minigrad", "minigrad.models", "minigrad.train", "minigrad.runs", "minigrad.cli"]
)
def test_import_needs_only_numpy(module: str) -> None:
    code = (
        "import json, sys; before = set(sys.modules)\n"
        f"import {module}\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in set(sys.modules) - before})))"
    )
    loaded = set(json.loads(run(code))) - sys.stdlib_module_names
    # NumPy's compiled parts register helpers under names of their own.
    foreign = {name for name in loaded if not name.startswith(("_cython", "cython_runtime"))}
    assert foreign <= {"minigrad", "numpy"}


def test_import_takes_at_most_twice_as_long_as_numpy(tmp_path: Path) -> None:
    # Processor time, not that of a clock on the wall: other programs may be running.
    # As after an installation: byte code is written, and read from the second run on.
    byte_code = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(tmp_path)}

    def seconds(module: str) -> float:
        code = f"from time import process_time as now\nt = now()\nimport {module}\nprint(now() - t)"
        return float(run(code, **byte_code))

    seconds("minigrad")
    # In turns, and the median of what neighbours say: other programs slow all of a moment down.
    ratios = [seconds("minigrad") / seconds("numpy") for _ in range(9)]
    assert statistics.median(ratios) <= 2, ratios
