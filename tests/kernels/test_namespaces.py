"""A formula asks nobody where it runs; what differs between libraries is a name of its ``xp``."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.kernels import formulas, table
from minigrad.kernels.namespaces import CuPy, Namespace, NumPy, namespace

FORMULAS = sorted(Path(formulas.__file__).parent.glob("*.py"))


@pytest.mark.parametrize("path", FORMULAS, ids=lambda path: path.name)
def test_a_formula_needs_no_library(path: Path) -> None:
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    imported = {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    imported |= {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
    assert imported <= {"__future__", "math", "typing"}


def test_the_tables_speak_of_kernels() -> None:
    written = set(table.FILE_OF) - set(table.LISTS)
    assert set(table.WAYS) | table.IN_FLOAT32 | table.QUIET <= written
    assert {*table.SPECIAL, *table.SPECIAL.values()} <= written
    assert {one for one, _ in table.LISTS.values()} <= written


def test_every_library_has_its_namespace() -> None:
    assert type(namespace(np)) is NumPy
    assert type(namespace(mg.ops)) is Namespace
    with pytest.raises(AttributeError, match="no_such_name"):
        namespace(np).no_such_name  # noqa: B018


X = np.random.default_rng(0).standard_normal((3, 4, 5))


@pytest.mark.parametrize("name", ["mean_last", "sum_positions", "sum_rows", "mean_rows", "erf"])
def test_libraries_agree(name: str) -> None:
    expected = getattr(NumPy(np), name)(X)
    for xp, x in ((CuPy(np), X), (namespace(mg.ops), mg.tensor(X))):
        if name == "erf" and isinstance(xp, CuPy):
            continue  # asks a GPU for its constants
        np.testing.assert_allclose(np.asarray(getattr(xp, name)(x)), expected, rtol=1e-12)


@pytest.mark.parametrize("size", [1.0, 1e200])
def test_deviations_out_of_range_are_the_same_for_arrays_and_tensors(size: float) -> None:
    found: list[Any] = []
    for xp, x in ((NumPy(np), X * size), (namespace(mg.ops), mg.tensor(X * size))):
        scale, _ = xp.inverse_deviation(x - xp.mean_last(x), xp.mean_last, 1e-6)
        found.append(np.asarray(scale))
    np.testing.assert_allclose(found[0], found[1], rtol=1e-12)
    assert (found[0] > 0).all()
