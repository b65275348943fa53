from __future__ import annotations

import random
from itertools import pairwise

import pytest

from minigrad.viz.layout import layered


def random_graph(seed: int, count: int = 60) -> tuple[dict[int, float], list[tuple[int, int]]]:
    rng = random.Random(seed)
    widths = {i: rng.uniform(20, 80) for i in range(count)}
    edges = [
        (rng.randrange(max(0, i - 12), i), i)
        for i in range(1, count)
        for _ in range(rng.randint(1, 3))
    ]
    return widths, edges


@pytest.mark.parametrize("seed", range(5))
def test_edges_lead_down_and_boxes_do_not_overlap(seed: int) -> None:
    widths, edges = random_graph(seed)
    layout = layered(widths, edges, gap=10)
    for (start, end), path in zip(edges, layout.paths, strict=True):
        assert path[0] == layout.centres[start]
        assert path[-1] == layout.centres[end]
        assert all(after[1] - before[1] == 1 for before, after in pairwise(path))
    for node, (x, layer) in layout.centres.items():
        assert widths[node] / 2 - 1e-6 <= x <= layout.width - widths[node] / 2 + 1e-6
        for other, (u, level) in layout.centres.items():
            if other != node and level == layer:
                assert abs(x - u) >= (widths[node] + widths[other]) / 2 + 10 - 1e-6


def test_a_chain_is_straight() -> None:
    layout = layered({i: 30.0 + i for i in range(6)}, list(pairwise(range(6))))
    assert len({round(x, 6) for x, _ in layout.centres.values()}) == 1


def test_leaves_stand_just_above_their_use() -> None:
    widths = dict.fromkeys("abwvc", 10.0)
    layout = layered(widths, [("a", "b"), ("b", "c"), ("w", "v"), ("v", "c")])
    assert [layout.centres[node][1] for node in "abwvc"] == [0, 1, 0, 1, 2]
    layout = layered(widths, [("a", "b"), ("b", "v"), ("v", "c"), ("w", "c")])
    assert layout.centres["w"][1] == 2


def test_crossings_are_removed() -> None:
    edges = [("a", "y"), ("b", "x")]
    layout = layered(dict.fromkeys("abxy", 10.0), edges)
    (x0, x1), (u0, u1) = ([point[0] for point in path] for path in layout.paths)
    assert (x0 - u0) * (x1 - u1) > 0


def test_empty_and_single() -> None:
    assert layered({}, []).layers == 0
    assert layered({"a": 10.0}, []).width == 10
