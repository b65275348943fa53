"""Placing the nodes of an acyclic graph in layers, for drawing.

The method of Sugiyama, Tagawa and Toda (1981): give every node a layer below those it depends on;
put a bend on every edge that spans several layers; order each layer by the mean position of the
neighbours to reduce crossings; then move the nodes towards their neighbours without overlap.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

__all__ = ["Layout", "layered"]

Node = Any  # anything hashable
SWEEPS = 8


@dataclass(frozen=True)
class Layout:
    """Where everything goes.

    Attributes
    ----------
    centres : dict
        (x, layer) of every node.
    paths : list
        For every edge the (x, layer) points it runs through, both ends included.
    width : float
        Extent of x, from 0.
    layers : int
        Number of layers.
    """

    centres: Mapping[Node, tuple[float, int]]
    paths: list[list[tuple[float, int]]]
    width: float
    layers: int


def layered(
    widths: dict[Node, float], edges: Sequence[tuple[Node, Node]], gap: float = 16.0
) -> Layout:
    """Lay out a graph from top to bottom.

    Parameters
    ----------
    widths : dict of node to float
        Every node and how wide it is drawn, in an order in which each edge leads forward.
    edges : sequence of (node, node)
        From and to.
    gap : float, default 16
        Least distance between neighbours of a layer.

    Examples
    --------
    >>> widths, edges = dict.fromkeys("xfy", 10), [("x", "f"), ("f", "y"), ("x", "y")]
    >>> layout = layered(widths, edges)
    >>> [layout.centres[node][1] for node in "xfy"]
    [0, 1, 2]
    >>> len(layout.paths[2])  # the long edge bends once, beside f
    3
    """
    layer = _layers(widths, edges)
    rows: list[list[Node]] = [[] for _ in range(max(layer.values(), default=-1) + 1)]
    for node in widths:
        rows[layer[node]].append(node)
    size = dict(widths)
    chains: list[list[Node]] = []
    for number, (start, end) in enumerate(edges):
        bends: list[Node] = []
        for level in range(layer[start] + 1, layer[end]):
            bend = ("bend", number, level)
            bends.append(bend)
            size[bend] = 0.0
            rows[level].append(bend)
        chains.append([start, *bends, end])
    above: dict[Node, list[Node]] = {node: [] for node in size}
    below: dict[Node, list[Node]] = {node: [] for node in size}
    for chain in chains:
        for upper, lower in pairwise(chain):
            above[lower].append(upper)
            below[upper].append(lower)
    _order(rows, above, below)
    x = _place(rows, above, below, size, gap)
    level_of = {node: level for level, row in enumerate(rows) for node in row}
    left = min((x[n] - size[n] / 2 for n in size), default=0.0)
    right = max((x[n] + size[n] / 2 for n in size), default=0.0)
    return Layout(
        {node: (x[node] - left, layer[node]) for node in widths},
        [[(x[node] - left, level_of[node]) for node in chain] for chain in chains],
        right - left,
        len(rows),
    )


def _layers(nodes: dict[Node, float], edges: Sequence[tuple[Node, Node]]) -> dict[Node, int]:
    """Put every node as low as what follows it allows, so that leaves stand next to their use."""
    children: dict[Node, list[Node]] = {node: [] for node in nodes}
    for start, end in edges:
        children[start].append(end)
    below: dict[Node, int] = {}  # edges on the longest way to the bottom
    for node in reversed(nodes):
        below[node] = max((below[child] + 1 for child in children[node]), default=0)
    top = max(below.values(), default=0)
    return {node: top - below[node] for node in nodes}


def _order(
    rows: list[list[Node]],
    above: Mapping[Node, list[Node]],
    below: Mapping[Node, list[Node]],
) -> None:
    """Sort every row by the mean position of its neighbours, downwards and upwards in turn."""
    place = {node: i for row in rows for i, node in enumerate(row)}
    for sweep in range(SWEEPS):
        neighbours, order = (above, rows) if sweep % 2 == 0 else (below, rows[::-1])
        for row in order:
            mean = {
                node: sum(place[n] for n in near) / len(near) if (near := neighbours[node])
                else place[node]
                for node in row
            }  # fmt: skip
            row.sort(key=mean.__getitem__)
            place.update((node, i) for i, node in enumerate(row))


def _place(
    rows: list[list[Node]],
    above: Mapping[Node, list[Node]],
    below: Mapping[Node, list[Node]],
    size: Mapping[Node, float],
    gap: float,
) -> dict[Node, float]:
    """Give every node an x: as near to its neighbours as its row allows."""
    x: dict[Node, float] = {}
    for row in rows:
        end = 0.0
        for node in row:
            x[node] = end + size[node] / 2
            end += size[node] + gap
    for sweep in range(SWEEPS):
        neighbours, order = (above, rows) if sweep % 2 == 0 else (below, rows[::-1])
        for row in order:
            wish = [
                sum(x[n] for n in near) / len(near) if (near := neighbours[node]) else x[node]
                for node in row
            ]
            for node, at in zip(row, _spread(row, wish, size, gap), strict=True):
                x[node] = at
    return x


def _spread(
    row: Sequence[Node], wish: Sequence[float], size: Mapping[Node, float], gap: float
) -> list[float]:
    """Return positions close to `wish` that keep the order and the distances.

    Neighbours that would overlap form a block that moves as one to the mean of their wishes
    (isotonic regression by pooling adjacent violators).
    """
    offsets, offset = [], 0.0
    for i, node in enumerate(row):
        if i:
            offset += size[row[i - 1]] / 2 + gap + size[node] / 2
        offsets.append(offset)
    blocks: list[tuple[float, int]] = []  # (mean of wish − offset, members)
    for want, offset in zip(wish, offsets, strict=True):
        mean, count = want - offset, 1
        while blocks and blocks[-1][0] > mean:
            other, members = blocks.pop()
            mean = (mean * count + other * members) / (count + members)
            count += members
        blocks.append((mean, count))
    means = [mean for mean, count in blocks for _ in range(count)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]
