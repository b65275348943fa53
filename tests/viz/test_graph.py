from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest

import minigrad as mg
from minigrad import nn, viz
from minigrad.errors import GraphError
from minigrad.viz.graph import trace


def test_shared_leaves_and_double_use() -> None:
    x, w = (mg.ones(3, requires_grad=True) for _ in range(2))
    y = x * w
    graph = trace((y + y * x).sum(), {"x": x, "w": w})
    labels = [node.label for node in graph.nodes]
    assert sorted(labels) == ["add", "mul", "mul", "sum", "w", "x"]
    assert len(graph.edges) == 7
    assert all(start < end for start, end in graph.edges)


def test_names_come_from_a_module() -> None:
    layer = nn.Linear(2, 3)
    labels = {node.label for node in trace(layer(mg.ones(1, 2)).sum(), layer).nodes}
    assert {"weight", "bias"} <= labels


def test_a_leaf_without_a_name_and_shapes() -> None:
    x = mg.ones(2, 3, requires_grad=True)
    leaf, op = trace(x.exp()).nodes
    assert leaf.lines == ("leaf", "2 × 3")
    assert op.kind == "result"
    assert trace(x.sum()).nodes[-1].lines == ("sum", "scalar")


def test_svg_has_a_box_per_node_and_a_line_per_edge() -> None:
    model = nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 2))
    loss = nn.functional.cross_entropy(model(mg.ones(3, 4)), mg.tensor([0, 1, 0]))
    graph, root = trace(loss, model), ET.fromstring(viz.graph_svg(loss, model))
    boxes = [e for e in root.iter("{http://www.w3.org/2000/svg}rect") if "rx" in e.attrib]
    lines = [e for e in root.iter("{http://www.w3.org/2000/svg}path") if "stroke" in e.attrib]
    assert len(boxes) == len(graph.nodes)
    assert len(lines) == len(graph.edges)
    assert "0.weight" in [e.text for e in root.iter("{http://www.w3.org/2000/svg}text")]


def test_dot_and_mermaid_escape_names() -> None:
    x = mg.ones(3, requires_grad=True)
    assert r"a \"b\"" in viz.graph_dot(x.sum(), {'a "b"': x})
    assert "a &lt;b&gt;" in viz.graph_mermaid(x.sum(), {"a <b>": x})


def test_a_deep_graph_needs_no_recursion() -> None:
    x = y = mg.ones(1, requires_grad=True)
    for _ in range(3000):
        y = y + 1.0
    assert len(trace(y).nodes) == 3001
    viz.graph_svg(y)
    assert x.is_leaf


def test_a_tensor_without_a_graph_is_refused() -> None:
    with pytest.raises(GraphError, match="set requires_grad=True on an input"):
        viz.graph_svg(mg.ones(3))
