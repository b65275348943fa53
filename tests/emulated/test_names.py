"""Every ``xp.…`` in the sources is a name of CuPy and is called with arguments that CuPy knows.

An array library is called ``xp``, or ``cupy``, all over minigrad; the namespaces of formulas, which
are such an ``xp``, call it ``self``. `cupy_names.json` records what
CuPy has; where the real one is installed (no GPU is needed), the record is compared with it.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from minigrad.kernels.namespaces import CuPy
from minigrad.kernels.table import FILE_OF
from tests.emulated import record
from tests.emulated.fake_cupy.record import NAMES, RECORD, VERSION, check_call, signature

PACKAGE = Path(__file__).resolve().parents[2] / "minigrad"
SPOKEN = {"xp", "cupy", "cp"}
ALWAYS = {"__name__", "__version__"}
# what a formula has beside the names of CuPy
OURS = {*dir(CuPy(None)), *(FILE_OF.keys() - NAMES[""])}
PRIVATE = {"_core.set_compute_type", "_core.get_compute_type"}  # looked at by hand, see backend


def read(path: Path) -> str:
    source = path.read_text(encoding="utf-8")
    return source.replace("self.", "xp.") if path.name == "namespaces.py" else source


def uses(source: str) -> Iterator[tuple[int, str, ast.Call | None]]:
    """Yield (line, dotted name after ``xp.``, the call if it is one)."""
    tree = ast.parse(source)
    calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or id(node) in inner:
            continue
        path, value = [node.attr], node.value
        while isinstance(value, ast.Attribute):
            path.insert(0, value.attr)
            value = value.value
        if isinstance(value, ast.Name) and value.id in SPOKEN:
            yield node.lineno, ".".join(path), calls.get(id(node))


def exists(path: str) -> bool:
    """Return whether CuPy has ``cupy.<path>``; of what has no record, only the first part."""
    space, _, name = path.rpartition(".")
    if space in NAMES:
        return name in NAMES[space]
    return bool(space) and exists(space)


def complaint(path: str, call: ast.Call | None) -> str | None:
    if path in ALWAYS or path in PRIVATE or path.partition(".")[0] in OURS:
        return None
    if not exists(path):
        return "CuPy has no such name"
    if call is None or any(isinstance(a, ast.Starred) for a in call.args):
        return None
    if any(keyword.arg is None for keyword in call.keywords):
        return None
    try:
        check_call(path, *call.args, **{str(k.arg): k.value for k in call.keywords})
    except TypeError as error:
        return str(error)
    return None


SOURCES = sorted(
    path
    for path in PACKAGE.rglob("*.py")
    if not path.is_relative_to(PACKAGE / "kernels" / "cpu") and path.name != "_methods.pyi"
)


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_cupy_has_what_is_asked_of_it(path: Path) -> None:
    wrong = [
        f"{path.name}:{line}: xp.{name}: {found}"
        for line, name, call in uses(read(path))
        if (found := complaint(name, call))
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("xp.no_such_name(x)", "no such name"),
        ("xp.linalg.no_such_name(x)", "no such name"),
        ("xp.max(x, initial=0.0)", "initial"),
        ("xp.sum(x, where=m)", "where"),
        ("xp.exp(x, where=m)", "where"),
        ("xp.take(x, i, 0, None, 'clip')", "positional"),
        ("cupy.cuda.runtime.getDeviceCounts()", "no such name"),
    ],
)
def test_what_cupy_lacks_is_found(line: str, says: str) -> None:
    """The check itself can fail."""
    ((_, name, call),) = uses(line)
    assert says in (complaint(name, call) or "")


def test_the_sources_were_read() -> None:
    found = [name for path in SOURCES for _, name, _ in uses(read(path))]
    assert len(found) > 200
    assert {"where", "lib.stride_tricks.as_strided", "cuda.runtime.getDeviceCount"} <= set(found)


def test_the_record_is_that_of_cupy() -> None:
    cupy = pytest.importorskip("cupy")
    if cupy.__version__ != VERSION:
        pytest.skip(f"the record is of CuPy {VERSION}, {cupy.__version__} is installed")
    assert record.record() == RECORD


def test_signatures_are_read_from_python_and_from_documentation() -> None:
    assert str(signature("max")) == "(a, axis=Ellipsis, out=Ellipsis, keepdims=Ellipsis)"
    assert "initial" not in str(signature("ndarray.max"))
    assert "out" in str(signature("exp"))
