"""What notebooks show: right, small, escaped, and without a trace on what is shown."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

import minigrad as mg
from minigrad import models, nn
from minigrad.models.weights.load import PretrainedReport
from minigrad.nn.state import LoadReport
from minigrad.train.confusion import ConfusionMatrix
from minigrad.viz import summary
from minigrad.viz.graph import trace

HOSTILE = '<img src=x onerror="alert(1)">&'
VOID = {"br"}


class Page(HTMLParser):
    """Reads HTML, and insists that every tag is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.cells: list[str] = []
        self.text, self.open = "", []
        self.feed(text)
        self.close()
        assert not self.open
        assert not {"script", "img", "style", "link"} & set(self.tags)
        assert "http" not in text
        assert not re.search(r"[: ]#\w", text), "a colour of our own"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not [name for name, _ in attrs if name.startswith("on")]
        self.tags.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1] += data


def page(thing: object) -> Page:
    return Page(thing._repr_html_())  # type: ignore[attr-defined]


def test_a_small_tensor_is_shown_whole() -> None:
    shown = page(mg.tensor([[1.0, 2.5], [-3.0, float("nan")]]))
    assert shown.cells == ["1", "2.5", "-3", "nan"]
    assert shown.text.startswith("2 × 2 float32")


@pytest.mark.parametrize(
    ("tensor", "caption", "cells"),
    [
        (mg.tensor(2.0), "scalar float32", ["2"]),
        (mg.tensor([1, 2]), "2 int64", ["1", "2"]),
        (mg.tensor([True]), "1 bool", ["True"]),
        (mg.zeros(0, 3), "0 × 3 float32, empty", []),
        (mg.arange(8).reshape(2, 2, 2), "[0] of 2 × 2 × 2 int64", ["0", "1", "2", "3"]),
        (mg.tensor([1 / 3]), "1 float32", ["0.3333"]),
    ],
    ids=str,
)
def test_every_number_of_axes(tensor: mg.Tensor, caption: str, cells: list[str]) -> None:
    shown = page(tensor)
    assert shown.cells == cells
    assert shown.text == caption + "".join(cells)


def test_of_a_huge_tensor_the_corners_are_shown_and_nothing_is_computed() -> None:
    """One number stands for a million million: whoever copies a row of it has no memory left."""
    huge = mg.Tensor(np.broadcast_to(np.float32(1), (1000, 1000, 1000, 1000)))
    shown = page(huge)
    assert shown.text.startswith("[0, 0] of 1000 × 1000 × 1000 × 1000 float32")
    assert len(shown.cells) == 81
    assert len(huge._repr_html_()) < 12_000


def test_a_parameter_says_so_and_looking_leaves_no_trace() -> None:
    x = mg.ones(3, requires_grad=True)
    y = x * 2
    assert "grad_fn=<mul>" in page(y).text
    assert "requires_grad=True" in page(x).text
    assert (x._version, x.grad, x._is_lent) == ([0, None], None, False)
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2.0] * 3
    assert page(nn.Parameter(mg.ones(1))).cells == ["1"]


def test_a_module_is_a_tree_with_counts() -> None:
    model = models.ConvNeXt(num_classes=10, depths=(1, 1), dims=(8, 16))
    shown = page(model)
    assert shown.tags.count("details") == sum(1 for m in model.modules() if list(m.children()))
    assert f"ConvNeXt {sum(p.numel() for p in model.parameters()):,} parameters" in shown.text
    assert "dwconv: Conv2d(8, 8, " in shown.text
    assert "open" in model._repr_html_()[:20]


def test_names_are_escaped() -> None:
    model = nn.Sequential()
    model.add_module("<b>x</b>", nn.Linear(2, 3))
    model.extra_repr = lambda: HOSTILE  # type: ignore[method-assign]
    assert "<b>x</b>: Linear" in page(model).text
    layer = nn.Linear(2, 3)
    x = mg.ones(1, 2)
    report = LoadReport([HOSTILE], [HOSTILE], [], {HOSTILE: ((1,), (2,))})
    assert page(report).text.count(HOSTILE) >= 3
    weights = PretrainedReport(HOSTILE, HOSTILE, HOSTILE, HOSTILE, (), {"a": HOSTILE}, (HOSTILE,))
    assert page(weights).text.count(HOSTILE) == 6
    svg = trace(layer(x), {HOSTILE: layer.weight})._repr_svg_()
    assert "<img" not in svg
    assert "&lt;img" in svg


def test_summaries_and_counts_are_tables() -> None:
    shown = page(summary(nn.Sequential(nn.Linear(4, 2)), (4,)))
    assert shown.cells[:4] == ["Layer", "Output shape", "Parameters", "Multiply-adds"]
    assert "  0 (Linear)" in shown.cells
    assert "10 parameters, 8 multiply-adds per sample" in shown.text
    matrix = ConfusionMatrix(2)
    matrix.update(mg.tensor([0, 1, 1]), mg.tensor([0, 1, 0]))
    assert page(matrix).cells == ["", "0", "1", "true 0", "1", "1", "true 1", "0", "1"]


@pytest.mark.needs("onnx_ir")
def test_comparisons_are_tables() -> None:
    from minigrad.onnx.verifying import Comparison, Row

    shown = page(Comparison([Row(HOSTILE, "Conv", (1, 2), 0.1, 2.0)], 0.1))
    assert shown.cells[5:] == [HOSTILE, "Conv", "1 × 2", "1.0e-01", "2"]
