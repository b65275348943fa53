"""Draw docs/_static/overview.svg, the picture of the README, from a real graph and a real run.

    python docs/_ext/overview.py RUN

RUN is the folder of a finished `minigrad train`.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import minigrad as mg
from minigrad.viz import SVG, curves_svg, graph_svg

TARGET = Path(__file__).parents[1] / "_static" / "overview.svg"
GAP = 24.0


def beside(left: SVG, right: SVG) -> SVG:
    """Put two pictures next to each other, the lower one centred."""
    sizes = [
        tuple(map(float, re.search(r'viewBox="0 0 (\S+) (\S+)"', s).groups()))
        for s in (left, right)
    ]
    (w0, h0), (w1, h1) = sizes
    height = max(h0, h1)
    inner = [
        s.replace("<svg ", f'<svg x="{x:g}" y="{(height - h) / 2:g}" ', 1)
        for s, x, h in ((left, 0.0, h0), (right, w0 + GAP, h1))
    ]
    size = (
        f'width="{w0 + GAP + w1:g}" height="{height:g}" viewBox="0 0 {w0 + GAP + w1:g} {height:g}"'
    )
    ground = '<rect width="100%" height="100%" fill="white"/>'
    return SVG(
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}>\n{ground}\n{"".join(inner)}</svg>\n'
    )


def main(run: str) -> None:
    """Draw the graph of one linear layer's loss beside the curves of a run."""
    mg.manual_seed(0)
    x, y = mg.randn(64, 3), mg.randn(64, 1)
    w = mg.randn(3, 1, requires_grad=True)
    b = mg.zeros(1, requires_grad=True)
    loss = (mg.tanh(x @ w + b) - y).square().mean()
    history = [json.loads(line) for line in (Path(run) / "log.jsonl").read_text().splitlines()]
    curves = curves_svg(history, title="minigrad train")
    beside(graph_svg(loss, {"w": w, "b": b}), curves).save(TARGET)


if __name__ == "__main__":
    main(*sys.argv[1:])
