"""Check the pages that were built: every link within them leads somewhere, none asks another host.

A reader without a network sees the same pages, and nobody learns what is read. Links that a reader
may follow elsewhere are no requests.
"""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from sphinx.application import Sphinx
from sphinx.util import logging

LOADING = ("src", "srcset", "data", "poster", "action")  # attributes whose address is fetched
SIZES = re.compile(r"\s+[\d.]+[wx],?\s*")  # between the addresses of a srcset
OTHER_HOST = re.compile(r"^(?:https?:)?//")
# What a style sheet or a script fetches; addresses in comments and licences are only text.
FETCHED = {
    ".css": re.compile(r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')]+)"""),
    ".js": re.compile(
        r"""(?:fetch|import|importScripts|Worker|URL|open)\(\s*["'`]((?:https?:)?//[^"'`]+)"""
        r"""|\bfrom\s*["']((?:https?:)?//[^"']+)"""
    ),
}
FETCHED[".mjs"] = FETCHED[".js"]


class Page(HTMLParser):
    """What a page links to, what it loads, and the places in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: set[str] = set()
        self.loads: set[str] = set()
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if not value:
                continue
            if name == "id" or (name == "name" and tag == "a"):
                self.ids.add(value)
            elif name == "href" and tag in ("a", "area"):
                self.links.add(value)
            elif name in LOADING or name == "href":
                self.loads.update(SIZES.split(value) if name == "srcset" else [value])
            elif name == "style":
                self.loads.update(FETCHED[".css"].findall(value))


def problems(folder: Path) -> list[str]:
    """Return a line for every link that leads nowhere, and every request to another host."""
    pages = {path: Page(path.read_text()) for path in sorted(folder.rglob("*.html"))}
    found = []
    for path, page in pages.items():
        name = path.relative_to(folder)
        for address in sorted(page.loads | page.links):
            if OTHER_HOST.match(address):
                if address in page.loads:
                    found.append(f"{name} asks another host: {address}")
                continue
            parts = urlsplit(address)
            if parts.scheme or not (parts.path or parts.fragment):
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.exists():
                found.append(f"{name} links to {address}, which does not exist")
            elif parts.fragment and target in pages:
                if unquote(parts.fragment) not in pages[target].ids:
                    found.append(f"{name} links to {address}, but there is no such place")
    for path in sorted(folder.rglob("*")):
        if path.suffix in FETCHED:
            for groups in FETCHED[path.suffix].findall(path.read_text(errors="replace")):
                address = next(filter(None, [groups] if isinstance(groups, str) else groups))
                found.append(f"{path.relative_to(folder)} asks another host: {address}")
    return found


def check(app: Sphinx, error: Exception | None) -> None:
    """Warn of every problem, and so stop a build that takes warnings as errors."""
    if error is None and app.builder.format == "html":
        for line in problems(Path(app.outdir).resolve()):
            logging.getLogger(__name__).warning("%s", line)


def setup(app: Sphinx) -> dict[str, bool]:
    """Check when everything has been written."""
    app.connect("build-finished", check, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
