"""The glossary is in order, and says each word once."""

from __future__ import annotations

import re

from tests.docs.lessons import COURSE, LESSONS, directives


def test_terms_stand_in_order_apart_and_once() -> None:
    (glossary,) = directives(COURSE / "glossary.md", "glossary")
    terms = re.findall(r"^(\S.*)$", glossary[4], re.MULTILINE)
    assert terms == sorted(set(terms), key=str.lower)
    assert re.findall(r"(?:^|\n\n)(\S.*)", glossary[4]) == terms  # an empty line before each


def test_every_term_that_a_lesson_uses_is_explained() -> None:
    (glossary,) = directives(COURSE / "glossary.md", "glossary")
    terms = {term.lower() for term in re.findall(r"^(\S.*)$", glossary[4], re.MULTILINE)}
    for page in LESSONS:
        used = re.findall(r"\{term\}`([^`]+)`", page.read_text())
        names = {re.sub(r"^.*<(.+)>$", r"\1", word).replace("\n", " ").lower() for word in used}
        assert names <= terms, f"{page.name}: {sorted(names - terms)}"
