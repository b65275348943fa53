"""The README does what it says: every code block is run, in order, as printed.

Installing is left to .ci/run, which types every shell command in a fresh clone and an environment
of its own; here those of minigrad run with the Python that runs the tests.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", (ROOT / "README.md").read_text(), re.M | re.S)


def blocks(language: str) -> list[str]:
    """Return the README's code blocks in a language."""
    return [code for found, code in BLOCKS if found == language]


def commands() -> list[list[str]]:
    """Return the shell commands of the README, split into words."""
    return [
        shlex.split(part, comments=True)
        for code in blocks("bash")
        for line in code.splitlines()
        for part in line.split("&&")
        if part.strip()
    ]


def test_every_block_is_of_a_kind_that_is_run() -> None:
    assert {language for language, _ in BLOCKS} == {"bash", "python"}


def test_python_blocks_run_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each `print(...)  # text` must print that text."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for code in blocks("python"):
        exec(compile(code, "README.md", "exec"), names)
        promised = re.findall(r"^ *print\(.*\)  # (.*)$", code, re.M)
        assert capsys.readouterr().out.splitlines() == promised


def test_installs_ask_for_extras_that_exist() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
        "optional-dependencies"
    ]
    for words in commands():
        if "pip" in words[0]:
            for group in re.findall(r"\[(.*?)\]", " ".join(words)):
                assert set(group.split(",")) <= set(extras)


def test_every_command_is_known() -> None:
    programs = ("pytest", "sphinx")
    known = ("python3 -m venv .venv", ".venv/bin/pip install")
    known += tuple(f".venv/bin/python -m {name}" for name in programs)
    for words in commands():
        line = " ".join(words)
        assert line.startswith((*known, ".venv/bin/minigrad ")), f"nothing here runs {line!r}"


@pytest.mark.needs("bash")
def test_ci_types_every_line_before_it_installs_anything() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    before, reading = script.partition("# ---- the README")[0], "commands README.md"
    assert "install" not in re.sub(r"#.*", "", before)
    functions = re.search(r"^commands\(\) \{.*?^\}$", script, re.M | re.S)
    assert functions is not None
    typed = subprocess.run(
        ["bash", "-c", f"{functions[0]}\n{reading}"], cwd=ROOT, capture_output=True, text=True
    ).stdout.splitlines()
    assert [shlex.split(line) for line in typed] == [
        shlex.split(line, comments=True) for code in blocks("bash") for line in code.splitlines()
    ]
    assert f"< <({reading})" in script


@pytest.mark.slow
def test_minigrad_commands_run_in_order(tmp_path: Path) -> None:
    ran = 0
    for words in commands():
        if words[0] == ".venv/bin/minigrad":
            done = subprocess.run(
                [sys.executable, "-m", "minigrad", *words[1:]],
                capture_output=True,
                text=True,
                cwd=tmp_path,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                check=False,
            )
            assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}\n{done.stderr}"
            ran += 1
    assert ran
