"""Every extra has its row: in .ci/extras.py, which tries it alone, and on the page Install."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

from minigrad.cli.doctor import EXTRAS

ROOT = Path(__file__).resolve().parents[2]
DECLARED = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


@pytest.fixture(scope="module")
def tried() -> ModuleType:
    spec = importlib.util.spec_from_file_location("extras", ROOT / ".ci" / "extras.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_extra_but_those_of_a_gpu_is_tried_alone(tried: ModuleType) -> None:
    assert {"none", *tried.names()} == tried.PROMISES.keys()
    assert {name for name in DECLARED if "cuda" not in name} == set(tried.names())


def test_an_extra_without_a_row_is_refused(tried: ModuleType) -> None:
    with pytest.raises(AssertionError, match=r"say in .*extras.py what the extra 'new' promises"):
        tried.main("new")


def test_the_page_lists_every_extra() -> None:
    rows = re.findall(r"^\| (`[^|]+) \|", (ROOT / "docs" / "install.md").read_text(), re.M)
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == set(DECLARED)


def test_errors_and_the_doctor_name_extras_that_exist() -> None:
    """In `missing_extra("…", "…")` and in ``pip install 'minigrad[…]'``."""
    named = {extra for _, _, extra, _ in EXTRAS}
    for path in (ROOT / "minigrad").rglob("*.py"):
        text = path.read_text()
        named |= set(re.findall(r"""missing_extra\(\s*"[^"]+", "([^"]+)"\)""", text))
        named |= set(re.findall(r"""minigrad\[([a-z0-9]+)\]""", text))
    assert len(named) >= 5
    assert named <= set(DECLARED)
