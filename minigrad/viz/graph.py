"""The autograd graph of a tensor as SVG, as DOT (Graphviz) and as Mermaid text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import Any

from minigrad.errors import GraphError
from minigrad.nn import Module
from minigrad.tensor import Tensor
from minigrad.viz.layout import layered
from minigrad.viz.svg import SVG, Canvas

__all__ = ["Box", "Graph", "graph_dot", "graph_mermaid", "graph_svg", "trace"]

FILL = {"leaf": "#dcebf7", "op": "#f3f3f3", "result": "#fdebd0"}
EDGE = {"leaf": "#4477aa", "op": "#888888", "result": "#cc7722"}
LAYER_HEIGHT, BOX_HEIGHT = 62, 36


@dataclass(frozen=True)
class Box:
    """A box of the drawing: an operation or a leaf, with the shape of its value."""

    kind: str  # "leaf", "op", or "result" for the operation that made the tensor itself
    label: str
    shape: tuple[int, ...]

    @property
    def lines(self) -> tuple[str, str]:
        """What is written on the box."""
        return self.label, "scalar" if self.shape == () else " × ".join(map(str, self.shape))


@dataclass(frozen=True)
class Graph:
    """Boxes in the order they were computed, and edges (from, to) between their numbers."""

    nodes: list[Box]
    edges: list[tuple[int, int]]

    def _repr_svg_(self) -> str:
        """Return the drawing that notebooks show."""
        return _draw(self)


def trace(tensor: Tensor, names: Module | Mapping[str, Tensor] | None = None) -> Graph:
    """Collect the graph that `tensor.backward()` would walk.

    Parameters
    ----------
    tensor : Tensor
        A result of recorded operations.
    names : Module or mapping of str to Tensor, optional
        What to call the leaves; a Module gives its parameters' names.

    Raises
    ------
    GraphError
        If nothing was recorded for the tensor.

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.ones(3, requires_grad=True)
    >>> graph = trace((x * x).sum(), {"x": x})
    >>> [node.label for node in graph.nodes], graph.edges
    (['x', 'mul', 'sum'], [(0, 1), (0, 1), (1, 2)])
    """
    known = dict(names.named_parameters()) if isinstance(names, Module) else dict(names or {})
    leaf_names = {id(leaf): name for name, leaf in known.items()}
    ordered = nodes_under(tensor)
    number = {id(node): i for i, node in enumerate(ordered)}
    nodes = []
    for node in ordered:
        kind = "leaf" if node.is_leaf else "result" if node is tensor.grad_fn else "op"
        label = leaf_names.get(id(node.tensor()), "leaf") if node.is_leaf else node.name
        nodes.append(Box(kind, label, tuple(node.out_shape)))
    edges = [
        (number[id(parent)], number[id(node)])
        for node in ordered
        if not node.is_leaf
        for parent in node.next
        if parent is not None
    ]
    return Graph(nodes, edges)


def nodes_under(tensor: Tensor) -> list[Any]:
    """Return the nodes that `tensor.backward()` would reach: leaves, then the operations by age."""
    if tensor.grad_fn is None:
        raise GraphError(
            "this tensor has no graph: no operation that made it was recorded; set "
            "requires_grad=True on an input and compute outside no_grad"
        )
    found: dict[int, Any] = {}
    stack = [tensor.grad_fn]
    while stack:  # no recursion: a graph may be a million nodes deep
        node = stack.pop()
        if id(node) not in found:
            found[id(node)] = node
            if not node.is_leaf:
                stack.extend(parent for parent in node.next if parent is not None)
    operations = sorted((n for n in found.values() if not n.is_leaf), key=lambda n: n.seq)
    leaves: list[Any] = []
    for operation in operations:  # in the order of first use
        leaves += [p for p in operation.next if p is not None and p.is_leaf]
    return [*dict.fromkeys(leaves), *operations]


def graph_svg(tensor: Tensor, names: Module | Mapping[str, Tensor] | None = None) -> SVG:
    """Draw the graph of `tensor`, leaves above, result below.

    Parameters
    ----------
    tensor : Tensor
        A result of recorded operations.
    names : Module or mapping of str to Tensor, optional
        What to call the leaves; a Module gives its parameters' names.

    Returns
    -------
    SVG
        Shown by notebooks; ``.save(path)`` writes it.

    Examples
    --------
    >>> import minigrad as mg
    >>> w = mg.ones(2, 3, requires_grad=True)
    >>> drawing = graph_svg((w * 2).exp().mean(), {"w": w})
    >>> drawing.count("<rect"), "2 × 3" in drawing
    (4, True)
    """
    return _draw(trace(tensor, names))


def _draw(graph: Graph) -> SVG:
    widths = {i: 7.6 * max(map(len, node.lines)) + 18 for i, node in enumerate(graph.nodes)}
    layout = layered(widths, graph.edges)
    canvas = Canvas(layout.width + 40, layout.layers * LAYER_HEIGHT + 14, "autograd graph")

    def at(x: float, layer: int) -> tuple[float, float]:
        return x + 20, layer * LAYER_HEIGHT + 7 + BOX_HEIGHT / 2

    half = BOX_HEIGHT / 2
    for path in layout.paths:
        points = [at(*point) for point in path]
        x, y = points[-1][0], points[-1][1] - half
        canvas.add("path", d=curve(points, half), fill="none", stroke=EDGE["op"])
        canvas.add("path", d=f"M{x - 3.5:.1f},{y - 6:.1f} h7 l-3.5,6 z", fill=EDGE["op"])
    for i, node in enumerate(graph.nodes):
        x, y = at(*layout.centres[i])
        canvas.add("rect", x=x - widths[i] / 2, y=y - half, width=widths[i],
                   height=BOX_HEIGHT, rx=4 if node.kind == "leaf" else 14, fill=EDGE[node.kind],
                   fill_opacity=0.15, stroke=EDGE[node.kind])  # fmt: skip
        label, shape = node.lines
        canvas.text(x, y - 2, label, size=12, font_weight="bold")
        canvas.text(x, y + 12, shape, size=10.5, fill_opacity=0.75)
    return canvas.svg()


def curve(points: list[tuple[float, float]], half: float) -> str:
    """Return the way of an edge through layers of height ``2 * half``: straight, curved between."""
    d = f"M{points[0][0]:.1f},{points[0][1] + half:.1f}"
    for (x0, y0), (x1, y1) in pairwise(points):
        middle = (y0 + y1) / 2
        d += f" V{y0 + half:.1f} C{x0:.1f},{middle:.1f} {x1:.1f},{middle:.1f}"
        d += f" {x1:.1f},{y1 - half:.1f}"
    return d


def graph_dot(tensor: Tensor, names: Module | Mapping[str, Tensor] | None = None) -> str:
    r"""Return the graph as text for Graphviz (``dot -Tsvg``).

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.ones(3, requires_grad=True)
    >>> print(graph_dot(x.sum(), {"x": x}))
    digraph autograd {
      node [shape=box, style="rounded,filled", fontname="sans-serif"];
      n0 [label="x\n3", fillcolor="#dcebf7"];
      n1 [label="sum\nscalar", fillcolor="#fdebd0"];
      n0 -> n1;
    }
    """
    graph = trace(tensor, names)
    lines = ["digraph autograd {"]
    lines.append('  node [shape=box, style="rounded,filled", fontname="sans-serif"];')
    for i, node in enumerate(graph.nodes):
        label = "\\n".join(node.lines).replace('"', '\\"')
        lines.append(f'  n{i} [label="{label}", fillcolor="{FILL[node.kind]}"];')
    lines += [f"  n{start} -> n{end};" for start, end in graph.edges]
    return "\n".join([*lines, "}"])


def graph_mermaid(tensor: Tensor, names: Module | Mapping[str, Tensor] | None = None) -> str:
    """Return the graph as Mermaid text, which Markdown pages of many sites draw.

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.ones(3, requires_grad=True)
    >>> print(graph_mermaid(x.sum(), {"x": x}))
    flowchart TD
      n0["x<br/>3"]
      n1(["sum<br/>scalar"])
      n0 --> n1
    """
    graph = trace(tensor, names)
    lines = ["flowchart TD"]
    for i, node in enumerate(graph.nodes):
        label = "<br/>".join(escape(line) for line in node.lines)
        lines.append(f'  n{i}["{label}"]' if node.kind == "leaf" else f'  n{i}(["{label}"])')
    lines += [f"  n{start} --> n{end}" for start, end in graph.edges]
    return "\n".join(lines)
