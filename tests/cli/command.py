"""Running a command line in the process of the tests."""

from __future__ import annotations

import pytest

from minigrad.cli import main


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Return the exit status, and what was printed to both streams."""
    status = main(list(words))
    out, err = capsys.readouterr()
    return status, out, err
