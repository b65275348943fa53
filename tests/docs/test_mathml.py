"""Formulas: the name of a function stands apart from what is beside it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).resolve().parents[2] / "docs" / "_ext" / "mathml.py"


def spaces(formula: str) -> int:
    from docutils import nodes

    spec = importlib.util.spec_from_file_location("mathml", PATH)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return str(module.convert(nodes.math("", formula))).count("<mspace")


@pytest.mark.needs("sphinx")
@pytest.mark.parametrize(
    ("formula", "count"),
    [
        (r"x y + \sin x", 1),
        (r"\bar b \cos x", 2),
        (r"2 \sin x \cos x", 4),
        (r"\sin(x)", 0),
        (r"\sum_i x_i", 0),
    ],
)
def test_functions_names_have_thin_spaces(formula: str, count: int) -> None:
    assert spaces(formula) == count
