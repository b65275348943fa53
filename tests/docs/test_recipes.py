"""The recipes do what they say: every file of a page is written, every command typed in order."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
RECIPES = sorted((ROOT / "docs" / "recipes").glob("[!i]*.md"))
BLOCK = re.compile(
    r"^```(?:\{code-block\} python\n:caption: (?P<file>\S+)\n\n|bash\n)(?P<text>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
PROGRAMS = {"python": [sys.executable], "minigrad": [sys.executable, "-m", "minigrad"]}


@pytest.mark.slow
@pytest.mark.needs("nibabel", "PIL", "onnx_ir")
@pytest.mark.parametrize("page", RECIPES, ids=lambda page: page.stem)
def test_a_recipe_runs(page: Path, tmp_path: Path) -> None:
    ran = 0
    for block in BLOCK.finditer(page.read_text()):
        if block["file"]:
            (tmp_path / block["file"]).write_text(block["text"])
            continue
        for line in block["text"].replace("\\\n", " ").splitlines():
            program, *words = shlex.split(line)
            if program == "pip":
                continue
            done = subprocess.run(
                [*PROGRAMS[program], *words],
                cwd=tmp_path,
                env=os.environ | {"PYTHONPATH": str(ROOT)},
                capture_output=True,
                text=True,
            )
            assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
            ran += 1
    assert ran >= 3
