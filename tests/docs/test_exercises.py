"""Every lesson, run as a reader would who solves nothing, and then everything."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.docs.lessons import LESSONS, Cell, cells, directives

KINDS = ["exercise", "check", "solution"]
lesson = pytest.mark.parametrize("page", LESSONS, ids=lambda page: page.stem)


def run(page: Path, cell: Cell, names: dict[str, Any]) -> None:
    """Run a cell; a traceback shows the line of the page."""
    exec(compile("\n" * (cell.line - 1) + cell.source, page, "exec"), names)


def kinds(page: Path) -> list[str]:
    """Return what the cells of a page's exercises are, in order."""
    return [kind for cell in cells(page) for kind in KINDS if kind in cell.tags]


@pytest.mark.slow
@lesson
def test_the_start_fails_with_a_hint_and_the_solution_passes(page: Path) -> None:
    names: dict[str, Any] = {"__name__": "__main__", "display": lambda *values: None}
    check = None
    remaining = len(kinds(page))
    for cell in cells(page):
        if not remaining:
            return  # the rest runs when the site is built
        remaining -= any(kind in cell.tags for kind in KINDS)
        if "check" in cell.tags:
            check = cell
            with pytest.raises(AssertionError) as failed:
                run(page, cell, dict(names))
            assert str(failed.value).split("\n")[0], f"{page.name}:{cell.line}: no hint"
        elif not cell.tags & {"static", "skip-execution"}:
            run(page, cell, names)
            if "solution" in cell.tags:
                assert check
                run(page, check, dict(names))


@lesson
def test_a_lesson_has_exercises_and_a_note(page: Path) -> None:
    number = len(directives(page, "exercise"))
    assert 3 <= number <= 6
    assert kinds(page) == KINDS * number
    assert len(directives(page, "teacher")) == 1


@lesson
def test_code_fits_a_narrow_page(page: Path) -> None:
    for cell in cells(page):
        if "check" in cell.tags:
            continue  # nobody sees it
        for number, line in enumerate(cell.source.splitlines(), cell.line):
            assert len(line) <= 85, f"{page.name}:{number}: {len(line)} columns"


@lesson
def test_checks_are_plain_asserts_that_the_build_leaves_out(page: Path) -> None:
    for cell in cells(page):
        if "check" in cell.tags:
            assert "skip-execution" in cell.tags
            compile(cell.source, page.name, "exec")
