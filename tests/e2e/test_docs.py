"""The examples on the model pages print what their comments say.

The walkthroughs need no test here: they run, and must not fail, whenever the pages are built.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.mark.slow
def test_convnext_page(capsys: pytest.CaptureFixture[str]) -> None:
    text = (DOCS / "models" / "convnext.md").read_text()
    names: dict[str, object] = {}
    for code in re.findall(
        r"^```python\n(.*?)^```$", text.partition("## Examples")[2], re.M | re.S
    ):
        exec(compile(code, "convnext.md", "exec"), names)
        promised = re.findall(r"^print\(.*\)  # Shape: (.*)$", code, re.M)
        assert capsys.readouterr().out.splitlines() == promised


def test_an_afternoon_is_an_afternoon() -> None:
    """The files for one backward pass are few, and short enough to be read at one sitting."""
    text = (DOCS / "design.md").read_text()
    (listed,) = re.findall(r"^```\{files\}\n(.*?)^```$", text, re.M | re.S)
    package = DOCS.parent / "minigrad"
    assert sum(len((package / name).read_text().splitlines()) for name in listed.split()) <= 2500
