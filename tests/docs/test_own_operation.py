"""The patch of lesson 13 still puts its operation into the house; the page shows its lines."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.lessons import COURSE

ROOT = Path(__file__).resolve().parents[2]
PATCH = COURSE / "snake.patch"


def run(*words: str, cwd: Path) -> None:
    done = subprocess.run(
        words, cwd=cwd, env=os.environ | {"PYTHONPATH": str(cwd)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.needs("git")
def test_the_patch_applies_and_the_laws_hold(tmp_path: Path) -> None:
    for name in ("minigrad", "tests"):
        shutil.copytree(
            ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__", "golden")
        )
    (tmp_path / "tests" / "golden").symlink_to(ROOT / "tests" / "golden")
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    run("git", "apply", str(PATCH), cwd=tmp_path)
    run(sys.executable, "-m", "tests.test_stubs", cwd=tmp_path)
    tests = [f"tests/{name}" for name in ("laws", "kernels", "onnx")]
    words = ["-q", "-n0", "-p", "no:cacheprovider", *tests, "-k", "snake or complete"]
    run(sys.executable, "-m", "pytest", *words, cwd=tmp_path)


def test_the_page_shows_lines_of_the_patch() -> None:
    added = {line[1:] for line in PATCH.read_text().splitlines() if line.startswith("+")}
    page = (COURSE / "13-operation.md").read_text()
    blocks = page.split("```python\n")[1:]
    assert len(blocks) == 3
    for block in blocks:
        lines = block.partition("```")[0].splitlines()
        assert {line for line in lines if line.strip() != "…"} <= added | {""}
