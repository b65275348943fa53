"""Render formulas as MathML with docutils' own converter: no JavaScript and no request."""

from __future__ import annotations

import re
from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.util import logging

# Docstrings write formulas to be read in a terminal; these signs the converter only knows by name.
NAMES = str.maketrans(
    {"−": "-", "·": r"\cdot ", "×": r"\times ", "∼": r"\sim ", "≤": r"\le ", "∈": r"\in "}
)

# TeX's thin space on both sides of a function's name, which browsers do not put: sin x, not sinx.
THIN = '<mspace width="0.17em"/>'
NAME = r"<mi>[a-z]{2,}</mi>\s*<mo>&ApplyFunction;</mo>"
BEFORE = re.compile(rf"(</(?:mi|mn|mover|mfrac|msup|msub)>)(\s*{NAME})")
AFTER = re.compile(rf"({NAME})(?!\s*<mo[^>]*>[(\[{{|])")

# A letter with a bar and an index comes as a sum with limits, the index below the letter.
ACCENT = re.compile(
    r"<munderover>\s*(<mi>[^<]*</mi>)(.*?)(<mo[^>]*>[ˉˆ˜]</mo>)\s*</munderover>", re.DOTALL
)


def convert(node: nodes.Element, **options: Any) -> str:
    """Return the MathML of a formula; warn, and so stop the build, if it cannot be read."""
    try:
        formula = str(tex2mathml(node.astext().translate(NAMES), **options))
    except MathError as error:
        logging.getLogger(__name__).warning("formula %r: %s", node.astext(), error, location=node)
        return ""
    formula = ACCENT.sub(r'<msub><mover accent="true">\1\3</mover>\2</msub>', formula)
    return AFTER.sub(rf"\1{THIN}", BEFORE.sub(rf"\1{THIN}\2", formula))


def inline(self: Any, node: nodes.math) -> None:
    """Write a formula within a line."""
    self.body.append(convert(node))
    raise nodes.SkipNode


def block(self: Any, node: nodes.math_block) -> None:
    """Write a formula on lines of its own."""
    self.body.append(
        self.starttag(node, "div", CLASS="math") + convert(node, as_block=True) + "</div>"
    )
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the renderer under the name that conf.py asks for."""
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
