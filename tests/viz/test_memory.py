from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import OptionError, ShapeError
from minigrad.viz import memory_svg

NAMESPACE = "{http://www.w3.org/2000/svg}"
X = np.arange(24.0).reshape(4, 6)

VIEWS = {
    "whole": X,
    "transposed": X.T,
    "columns": X[:, 1::2],
    "backwards": X[::-1, ::-1],
    "a row": X[2],
    "a column": X[:, 3],
    "one row many times": np.broadcast_to(X[1], (3, 6)),
    "windows": np.lib.stride_tricks.as_strided(X, (3, 2), (8, 8)),
    "made in Fortran's order": np.asfortranarray(X)[1:],
    "empty": X[:, :0],
}


def words(drawing: str) -> list[str | None]:
    return [e.text for e in ET.fromstring(drawing).iter(f"{NAMESPACE}text")]


@pytest.mark.parametrize("name", VIEWS)
def test_every_element_says_its_place_and_memory_holds_it_there(name: str) -> None:
    view: Any = VIEWS[name]
    found = words(memory_svg(view, name))
    places = [int(w[3:]) for w in found if w and w.startswith("at ")]
    assert len(places) == view.size
    memory = (X if name[:4] != "made" else X.T).ravel()
    np.testing.assert_array_equal(memory[places], view.ravel())
    assert found[0] == f"{name}: shape {view.shape}, strides {tuple(s // 8 for s in view.strides)}"


def test_memory_that_several_read_says_so() -> None:
    assert words(memory_svg(mg.ones(2).expand(3, 2))).count("3×") == 2
    assert "2×" not in words(memory_svg(mg.ones(2, 2)))


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"one or two axes, got shape \(2, 2, 2\)"):
        memory_svg(mg.ones(2, 2, 2))
    with pytest.raises(OptionError, match="in a memory of 100; 1 to 96"):
        memory_svg(mg.ones(10, 10))
    with pytest.raises(OptionError, match="200 elements in a memory of 2"):
        memory_svg(mg.ones(2).expand(100, 2))
