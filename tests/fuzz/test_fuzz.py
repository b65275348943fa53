from __future__ import annotations

import ast
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.formats import FORMATS, NEEDED
from tests.fuzz.row import Format
from tests.fuzz.run import run

PACKAGE = Path(__file__).resolve().parents[2] / "minigrad"
COUNT = 2000

# nibabel leaves closing its files to the garbage collection.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)

# What opens a file, or takes over a state that was read. A call `x.name(…)` counts for these x.
CALLS = {"opened", "open", "load_file"}
METHODS = {
    "load": {"io", "np", "numpy", "json", "tomllib", "nib", "nibabel", "pickle"},
    "load_weights": {"io"},
    "open": None,  # of anything
    "read_bytes": None,
    "read_text": None,
    "load_file": None,
}
NO_READERS = {"os", "webbrowser"}  # what they open is looked at elsewhere, or by somebody else
# Files that are ours, and files that are written. Everything else is a stranger's.
OWN = {
    "minigrad.files",  # the door itself
    "minigrad.io.atomic",
    "minigrad.data.download",  # its content is compared with a checksum
    "minigrad.kernels.cuda.launcher",  # sources of the package
    "minigrad.data.imagenet",  # a list in the package
    "minigrad.cli",  # /dev/null
    "minigrad.runs.runner",  # the same
    "minigrad.distributed.launch",  # the same
    "minigrad.runs.folds",  # the log that it has just written
    "minigrad.train.finders",  # Linux's own /proc/meminfo
}
# A file is compared, or handed on as it is, and not read.
BYTES = {
    ("minigrad.io.hub", "check"),
    ("minigrad.data.survey", "duplicates"),
    ("minigrad.runs.reports", "_left"),
}


def doors() -> set[tuple[str, str]]:
    """Return (module, function) of everything in the package that reads files from outside."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        module = ".".join(parts).removesuffix(".__init__")
        if module in OWN:
            continue
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef) and any(map(_opens, _own_nodes(function))):
                found.add((module, function.name))
    return found


def _own_nodes(function: ast.FunctionDef) -> Any:
    """Yield the nodes of a function without those of functions inside it."""
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef):
            waiting += ast.iter_child_nodes(node)


def _opens(node: ast.AST) -> bool:
    match node:
        case ast.Call(func=ast.Name(id=name)):
            return name in CALLS
        case ast.Call(func=ast.Attribute(attr=name, value=value)) if name in METHODS:
            owner, owners = ast.unparse(value), METHODS[name]
            return owner not in NO_READERS and (owners is None or owner in owners)
    return False


def passed(form: Format) -> set[tuple[str, str]]:
    """Return the functions of the package that run while a valid file of a format is read."""
    seen = set()

    def note(frame: Any, event: str, argument: Any) -> None:
        if event == "call":
            seen.add((frame.f_globals.get("__name__", ""), frame.f_code.co_name))

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"file{form.suffix}")
        for content in form.seeds():
            path.write_bytes(content)
            before = sys.getprofile()
            sys.setprofile(note)
            try:
                form.read(path)
            finally:
                sys.setprofile(before)
    return seen


def test_every_reader_of_the_package_has_a_row() -> None:
    for package in NEEDED:
        pytest.importorskip(package)
    missing = doors() - BYTES - set().union(*map(passed, FORMATS))
    assert not missing, "these read files; write a row in tests/fuzz/formats.py that passes them"


@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_mutants_are_the_same_every_time_and_differ(form: Format) -> None:
    files = form.seeds()
    assert files == form.seeds(), "the seeds of the format are drawn"
    mutants = [form.mutant(files, n) for n in range(50)]
    assert mutants == [form.mutant(files, n) for n in range(50)]
    assert len(set(mutants) - set(files)) > 30


@pytest.mark.slow
@pytest.mark.parametrize("form", FORMATS, ids=lambda form: form.name)
def test_a_wrong_file_is_read_rightly_or_refused(form: Format) -> None:
    """Within a second of CPU time and 200 MB; ``python -m tests.fuzz 20000`` asks for more."""
    outcome = run(form.name, COUNT)
    assert not outcome.examples, "\n".join(outcome.examples[:5])
    assert outcome.right + outcome.refused == COUNT
    assert outcome.right > COUNT // 200, "hardly a change leaves a valid file: nothing is compared"
    assert outcome.refused > COUNT // 200


def test_noise_is_refused(tmp_path: Path) -> None:
    rng = random.Random(0)
    for form in FORMATS:
        for size in (0, 1, 7, 100):
            (tmp_path / f"a{form.suffix}").write_bytes(rng.randbytes(size))
            try:
                form.read(tmp_path / f"a{form.suffix}")
            except Exception as error:
                assert "minigrad.errors" in type(error).__module__, form.name  # noqa: PT017
