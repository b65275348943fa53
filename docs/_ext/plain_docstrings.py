"""Let docstrings be plain text where reStructuredText would see markup.

``(N, *spatial, C)`` is a shape and ``|x - y|`` an absolute value, in the source and here.
"""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

SHAPE = re.compile(r"(?<=[ (])\*(?=\w+[,)\]])")
BAR = re.compile(r"(?<![|`\\])\|(?=[^|`\s])")


def escape(app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Escape the signs, but not in examples and formulas."""
    for i, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...", ".. math::")) and "``" not in line:
            lines[i] = BAR.sub(r"\\|", SHAPE.sub(r"\\*", line))


def setup(app: Sphinx) -> dict[str, Any]:
    """Run after numpydoc, which has escaped ``*args`` in its own sections by then."""
    app.connect("autodoc-process-docstring", escape, priority=600)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
