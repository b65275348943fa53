"""Formulas: names of functions stand apart, and an index beside its letter."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

PATH = Path(__file__).resolve().parents[2] / "docs" / "_ext" / "mathml.py"


def mathml(formula: str) -> str:
    from docutils import nodes

    spec = importlib.util.spec_from_file_location("mathml", PATH)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return str(module.convert(nodes.math("", formula)))


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
    assert mathml(formula).count("<mspace") == count


@pytest.mark.needs("sphinx")
def test_the_index_of_a_letter_with_a_bar_stands_beside_it() -> None:
    assert mathml(r"\bar S_{nk}").count("<msub><mover") == 1
    assert mathml(r"\sum_{i=1}^n \hat y_i").count("<msub><mover") == 1
    assert "<munderover>" in mathml(r"\sum_{i=1}^n \hat y_i")
