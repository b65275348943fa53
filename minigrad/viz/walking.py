"""A pass forward and the engine's walk back, step by step over the drawn graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import escape
from itertools import count
from typing import Any

import numpy as np

from minigrad.autograd import tracing
from minigrad.autograd.engine import backward
from minigrad.errors import GraphError, OptionError, brief
from minigrad.modes import enable_grad
from minigrad.tensor import Tensor
from minigrad.viz.given import numbers
from minigrad.viz.graph import EDGE, Graph, curve, nodes_under, trace
from minigrad.viz.layout import Layout, layered
from minigrad.viz.svg import SVG, Canvas

__all__ = ["Walk", "walk"]

LAYER, BOX, HEAD, MOST = 92, 52, 34, 3
BACK = "#ee6677"
_numbers = count(1)


@dataclass
class Step:
    """What is known at one moment, by the number of the box or the edge."""

    caption: str
    values: dict[int, str] = field(default_factory=dict)
    gradients: dict[int, str] = field(default_factory=dict)
    handed: dict[tuple[int, int], str] = field(default_factory=dict)  # along edges, in this step
    active: int = -1


class Walk:
    """The pictures of a pass forward and back; a notebook shows one at a time, paper all.

    Attributes
    ----------
    steps : list of SVG
        A picture for each step.
    captions : list of str
        What happens in it.

    Examples
    --------
    >>> import minigrad as mg
    >>> shown = walk(mg.exp, x=0.0)
    >>> shown.captions[-1], len(shown.steps)
    ('back: exp hands on 1 to x', 4)
    """

    def __init__(self, captions: list[str], steps: list[SVG]) -> None:
        self.captions, self.steps = captions, steps

    def _repr_html_(self) -> str:
        """Return a row of radio buttons and the picture of the chosen one; no script, no motion."""
        name, many = f"minigrad-walk-{next(_numbers)}", range(1, len(self.steps) + 1)
        chosen = ",".join(
            f".{name}>input:nth-of-type({i}):checked~div:nth-of-type({i})" for i in many
        )
        style = (
            f".{name}{{border:0;padding:0;margin:0}}.{name}>div{{display:none}}"
            f".{name}>input{{width:24px;height:24px}}"
            f"{chosen}{{display:block}}@media print{{.{name}>div{{display:block}}}}"
        )
        buttons = "".join(
            f'<input type="radio" name="{name}" aria-label="{escape(caption)}"'
            f"{' checked' * (i == 1)}>"
            for i, caption in zip(many, self.captions, strict=True)
        )
        pictures = "".join(f"<div>{picture}</div>" for picture in self.steps)
        return (
            f'<fieldset class="{name}"><style>{style}</style>'
            "<legend>Step by step: choose one, or press the arrow keys</legend>"
            f"{buttons}{pictures}</fieldset>"
        )


def walk(function: Callable[..., Tensor], **inputs: Any) -> Walk:
    """Draw how a function is computed, and how the engine walks back from its result.

    A value appears as soon as it has been computed, a gradient as soon as the engine has handed it
    on. It is the engine's own walk: every node of the graph is listened to.

    Parameters
    ----------
    function : callable
        Takes the inputs in their order and returns a scalar tensor.
    **inputs : number, array or Tensor
        What the result is differentiated with respect to, by the names that the picture shows.

    Returns
    -------
    Walk
        Of a tensor of two axes or more than three elements, the shape stands for its values.

    Raises
    ------
    GraphError
        If the result is no scalar, or nothing was recorded for it.

    Examples
    --------
    >>> shown = walk(lambda x, y: x * y + x, x=2.0, y=3.0)
    >>> print(*shown.captions, sep=chr(10))
    given: x = 2, y = 3
    forward: mul computes 6
    forward: add computes 8
    back: the walk starts at add, with 1
    back: add hands on 1 to mul; 1 to x
    back: mul hands on 3 to x, which makes 4; 2 to y
    """
    if not callable(function):
        raise OptionError(
            f"walk: function computes a tensor from the inputs; not {brief(function)}"
        )
    leaves = {name: _leaf(name, value) for name, value in inputs.items()}
    given = tuple(leaves.values())
    with enable_grad():
        result, found = tracing.trace(lambda _: function(*given), given, keep=True)
    if not isinstance(result, Tensor):
        raise GraphError(f"walk: function must return a scalar tensor, got {brief(result)}")
    graph, nodes = trace(result, leaves), nodes_under(result)
    number = {id(node): i for i, node in enumerate(nodes)}
    values = {id(step.node): step.result for step in found.steps}
    steps = [Step("given: " + ", ".join(f"{n} = {_text(v.array)}" for n, v in leaves.items()))]
    for i, node in enumerate(nodes):
        if node.is_leaf:
            steps[0].values[i] = _text(node.tensor().array)
        else:
            value = _text(values[id(node)])
            steps.append(_next(steps[-1], f"forward: {node.name} computes {value}", i))
            steps[-1].values[i] = value
    heard: list[tuple[Any, Any]] = []
    for node in nodes:
        if not node.is_leaf:
            _listen(node, heard)
    backward(result)
    last, arrived = len(nodes) - 1, {len(nodes) - 1: np.ones((), result.dtype)}
    start = f"back: the walk starts at {graph.nodes[last].label}, with 1"
    steps.append(_next(steps[-1], start, last))
    steps[-1].gradients[last] = "1"
    for node, gradients in heard:
        i, words = number[id(node)], []
        step = _next(steps[-1], "", i)
        for parent, g in zip(node.next, gradients, strict=False):
            if parent is None or g is None:
                continue
            j, text = number[id(parent)], _text(g)
            words.append(f"{text} to {graph.nodes[j].label}")
            arrived[j] = arrived[j] + g if j in arrived else g
            if j in step.gradients:
                words[-1] += f", which makes {_text(arrived[j])}"
            step.gradients[j] = _text(arrived[j])
            step.handed[j, i] = f"{step.handed[j, i]} + {text}" if (j, i) in step.handed else text
        step.caption = f"back: {node.name} hands on {'; '.join(words)}"
        steps.append(step)
    return Walk([step.caption for step in steps], _pictures(graph, steps))


def _leaf(name: str, value: Any) -> Tensor:
    """Return a leaf of our own: float32, unless the value is an array or a tensor of floats."""
    numbers(f"walk: {name}", value)
    array = np.array(value.numpy(force=True) if isinstance(value, Tensor) else value)
    keep = array.dtype.kind == "f" and isinstance(value, (Tensor, np.ndarray))
    return Tensor(array if keep else array.astype(np.float32)).requires_grad_()


def _listen(node: Any, heard: list[tuple[Any, Any]]) -> None:
    """Let `heard` have what the node hands on, copied, when the engine asks it."""
    own = node.backward

    def listened(g: Any, *saved: Any) -> Any:
        gradients = own(g, *saved)
        several = gradients if isinstance(gradients, tuple) else (gradients,)
        heard.append((node, [None if h is None else h.copy() for h in several]))
        return gradients

    node.backward = listened


def _next(step: Step, caption: str, active: int) -> Step:
    return Step(caption, dict(step.values), dict(step.gradients), {}, active)


def _text(array: Any) -> str:
    if array.ndim == 0:
        return f"{float(array):.4g}"
    if array.ndim > 1 or array.size > MOST:
        return "(" + " × ".join(map(str, array.shape)) + ")"
    return "[" + ", ".join(f"{v:.3g}" for v in array.tolist()) + "]"


def _pictures(graph: Graph, steps: list[Step]) -> list[SVG]:
    end = steps[-1]
    widths = {}
    for i, node in enumerate(graph.nodes):
        words = node.label, f"= {end.values[i]}", f"gradient {end.gradients.get(i, '')}"
        widths[i] = 6.8 * max(map(len, words)) + 16
    layout = layered(widths, graph.edges, gap=40)
    width = max(layout.width + 80, 6.7 * max(len(step.caption) for step in steps) + 60)
    left = (width - layout.width) / 2
    return [
        _picture(graph, layout, widths, left, width, f"{n}/{len(steps)}  {step.caption}", step)
        for n, step in enumerate(steps, 1)
    ]


def _picture(
    graph: Graph, layout: Layout, widths: Mapping[int, float], left: float, width: float,
    title: str, step: Step,
) -> SVG:  # fmt: skip
    canvas, half = Canvas(width, HEAD + (layout.layers - 1) * LAYER + BOX + 8, title), BOX / 2
    canvas.text(8, 18, title, size=13, text_anchor="start", font_weight="bold")

    def at(x: float, layer: int) -> tuple[float, float]:
        return x + left, HEAD + layer * LAYER + half

    for edge, path in zip(graph.edges, layout.paths, strict=True):
        points = [at(*point) for point in path]
        back = edge in step.handed
        colour, (x, y) = (BACK, points[0]) if back else (EDGE["op"], points[-1])
        known = back or edge[1] in step.values
        canvas.add("path", d=curve(points, half), fill="none", stroke=colour,
                   stroke_width=3 if back else 1, stroke_opacity=1 if known else 0.35)  # fmt: skip
        tip = f"{x - 5:.1f},{y + half + 8:.1f} h10 l-5,-8 z"
        if not back:
            tip = f"{x - 3.5:.1f},{y - half - 6:.1f} h7 l-3.5,6 z"
        canvas.add("path", d="M" + tip, fill=colour, fill_opacity=1 if known else 0.35)
    for (start, stop), text in step.handed.items():
        path = layout.paths[graph.edges.index((start, stop))]
        (x0, y0), (x1, y1) = at(*path[-2]), at(*path[-1])
        side = -1 if x0 < x1 else 1  # of the line, away from what else comes from this box
        canvas.text((x0 + x1) / 2 + 10 * side, (y0 + y1) / 2 + 8, text, font_weight="bold",
                    text_anchor="start" if side > 0 else "end")  # fmt: skip
    for i, node in enumerate(graph.nodes):
        x, y = at(*layout.centres[i])
        known = i in step.values
        canvas.add("rect", x=x - widths[i] / 2, y=y - half, width=widths[i], height=BOX,
                   rx=4 if node.kind == "leaf" else 14, fill=EDGE[node.kind],
                   fill_opacity=0.15 if known else 0, stroke=EDGE[node.kind],
                   stroke_opacity=1 if known else 0.35,
                   stroke_width=3 if i == step.active else 1)  # fmt: skip
        canvas.text(x, y - 9, node.label, font_weight="bold", fill_opacity=1 if known else 0.5)
        if known:
            canvas.text(x, y + 6, f"= {step.values[i]}")
        if i in step.gradients:
            canvas.text(x, y + 20, f"gradient {step.gradients[i]}", size=11.5)
    return canvas.svg()
