from __future__ import annotations

import re
import xml.etree.ElementTree as ET

import numpy as np
import pytest

import minigrad as mg
from minigrad.errors import GraphError
from minigrad.viz import walk

NAMESPACE = "{http://www.w3.org/2000/svg}"


def words(picture: str) -> list[str]:
    return [e.text or "" for e in ET.fromstring(picture).iter(f"{NAMESPACE}text")]


def test_values_and_gradients_appear_when_the_pass_reaches_them() -> None:
    shown = walk(lambda x, y: x * y + mg.sin(x), x=2.0, y=3.0)
    gradients = [sum("gradient" in w for w in words(picture)) for picture in shown.steps]
    values = [sum(w.startswith("= ") for w in words(picture)) for picture in shown.steps]
    assert values == [2, 3, 4, 5, 5, 5, 5, 5]
    assert gradients == [0, 0, 0, 0, 1, 3, 4, 5]
    assert shown.captions[-1] == "back: mul hands on 3 to x, which makes 2.584; 2 to y"


def test_the_last_picture_has_the_gradients_of_the_engine() -> None:
    def f(x: mg.Tensor, w: mg.Tensor) -> mg.Tensor:
        h = x * w
        return (h * h + h.exp() * x).sum()

    x, w = mg.tensor([0.5, -1.0], requires_grad=True), mg.tensor(1.5, requires_grad=True)
    f(x, w).backward()
    shown = words(walk(f, x=x, w=w).steps[-1])
    assert x.grad is not None
    assert w.grad is not None
    assert "gradient [" + ", ".join(f"{v:.3g}" for v in x.grad.tolist()) + "]" in shown
    assert f"gradient {w.grad.item():.4g}" in shown


def test_two_edges_between_the_same_boxes_show_both_gradients() -> None:
    assert "3 + 3" in words(walk(lambda x: x * x, x=3).steps[-1])


def test_the_inputs_stay_as_they_are() -> None:
    x = mg.tensor([1.0, 2.0], requires_grad=True)
    values = np.ones(2)
    walk(lambda x, y: (x * y).sum(), x=x, y=values)
    assert x.grad is None
    with mg.no_grad():
        assert len(walk(lambda x: x.exp(), x=1.0).steps) == 4


def test_a_notebook_shows_one_step_at_a_time_by_radio_buttons_alone() -> None:
    shown = walk(lambda x: x.exp(), x=1.0)
    one, other = shown._repr_html_(), shown._repr_html_()
    assert one.count('type="radio"') == one.count("<svg") == len(shown.captions)
    assert one.count("checked>") == 1
    assert "<script" not in one
    names = [set(re.findall(r'name="([^"]+)"', html)) for html in (one, other)]
    assert len(names[0]) == 1
    assert names[0] != names[1]  # two on one page have buttons of their own


def test_what_has_no_walk_is_refused() -> None:
    with pytest.raises(GraphError, match="no graph"):
        walk(lambda x: x.detach(), x=1.0)
    with pytest.raises(GraphError, match="scalar"):
        walk(lambda x: x * 2, x=[1.0, 2.0])
