"""A page in one HTML file, which asks no other: light or dark, on a desk or a telephone."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

__all__ = ["bars", "page"]

STYLE = """
:root { color-scheme: light dark }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1, h2, h3, p { overflow-wrap: anywhere }
table { border-collapse: collapse }
td, th { padding: .2rem .8rem .2rem 0; text-align: left; vertical-align: top }
td.number { text-align: right }
.bar { background: #4477aa; height: .8rem; min-width: 1px }
.strip { display: flex; flex-wrap: wrap; gap: 6px; margin: .3rem 0 1rem }
.strip img { image-rendering: pixelated; border: 1px solid #8888 }
.wide { overflow-x: auto }
.wide img { max-width: 100%; height: auto }
.warning { border-left: .3rem solid #cc3311; padding-left: .8rem }
summary { cursor: pointer; padding: .3rem 0 }
pre { overflow-x: auto }
code { overflow-wrap: anywhere }
"""


def page(title: str, heading: str, body: Iterable[str]) -> str:
    """Return the whole page.

    Parameters
    ----------
    title, heading : str
        What a window is called, and what stands above; both are escaped.
    body : iterable of str
        HTML.

    Examples
    --------
    >>> "<h1>a &amp; b</h1>" in page("title", "a & b", ["<p>text</p>"])
    True
    """
    text = "\n".join(body)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n<h1>{escape(heading)}</h1>\n{text}\n</body>\n</html>\n"
    )


def bars(rows: Iterable[tuple[str, int]]) -> str:
    """Return a table of counts with a bar for each.

    Examples
    --------
    >>> bars([("cat", 2), ("dog", 1)]).count('class="bar"')
    2
    """
    rows = list(rows)
    most = max((n for _, n in rows), default=1) or 1
    lines = (
        f'<tr><th>{escape(name)}</th><td class="number">{n:,}</td>'
        f'<td><div class="bar" style="width:{40 * n / most:.2f}vmin"></div></td></tr>'
        for name, n in rows
    )
    return f"<table>{''.join(lines)}</table>"
