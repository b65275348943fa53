"""A page about a folder or a table of pictures: what a check of it found, in one HTML file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from pathlib import Path

import numpy as np

from minigrad.data.check import FolderCheck, Seen
from minigrad.data.picture import read_image
from minigrad.data.transforms import resize
from minigrad.loading import check_kinds
from minigrad.viz.page import bars, page
from minigrad.viz.svg import png

__all__ = ["folder_page"]

THUMB = 72  # pixels of the longer side
EACH = 8  # pictures that are shown of a class
GROUPS = 60  # groups of duplicates that are shown as pictures
TITLES = {"class": "Classes", "labels": "Labels", "numbers": "Numbers"}


def folder_page(found: FolderCheck) -> str:
    """Return the findings as a page that asks no other file: counts, sizes, pictures, faults.

    Parameters
    ----------
    found : FolderCheck
        What `minigrad.data.check_folder` or `check_table` returned.

    Examples
    --------
    >>> import tempfile
    >>> from minigrad.data import check_folder
    >>> root = Path(tempfile.mkdtemp(), "pets")
    >>> (root / "cat").mkdir(parents=True)
    >>> np.save(root / "cat" / "1.npy", np.zeros((4, 6), np.uint8))
    >>> page = folder_page(check_folder(root))
    >>> "<h1>pets" in page, page.count("<img")
    (True, 1)
    """
    check_kinds("folder_page", FolderCheck, "check_folder(root) makes one", found=found)
    name = found.root.resolve().name
    return page(f"{name}: the pictures", f"{name}: {len(found.files):,} pictures", _body(found))


def _body(found: FolderCheck) -> Iterator[str]:
    yield f"<p><code>{escape(str(found.root))}</code></p>"
    for text in found.warnings:
        yield f'<p class="warning">{escape(text)}</p>'
    if found.ok and not (found.warnings or found.twins):
        yield "<p>Nothing is wrong with them.</p>"
    numbers = found.targets == "numbers"
    yield f"<h2>{TITLES[found.targets]}</h2>"
    yield from (f"<p>{escape(note)}</p>" for note in found.notes)
    yield from _counts(found)
    yield "<h2>Sizes and channels</h2>"
    sizes = [(f"{w} × {h}", n) for (h, w), n in found.sizes().most_common(12)]
    yield bars(sizes)
    yield bars(sorted(found.channels().items()))
    if found.bad:
        what = "cannot be read" if found.root.is_dir() else "lines are wrong"
        yield f"<h2>{len(found.bad):,} {what}</h2>"
        yield _table((str(file.path), file.fault) for file in found.bad)
    if found.twins:
        yield f"<h2>{len(found.twins):,} are there more than once</h2>"
        for number, (group, what) in enumerate(found.twins):
            yield f"<p>{escape(what)}:<br>{'<br>'.join(_code(path) for path in group)}</p>"
            if number < GROUPS:
                yield _strip([group[0]])
    if found.strays:
        yield f"<h2>{len(found.strays):,} are left out</h2>"
        yield _table((str(path), why) for path, why in found.strays)
    yield f"<h2>Some of {'them' if numbers else 'each class'}</h2>"
    for label in found.counts():
        mine = [file for file in found.good if label in found.labels(file)]
        yield f"<h3>{escape(label)}</h3>" if label else ""
        yield _strip([file.path for file in _spread(mine)])


def _counts(found: FolderCheck) -> Iterator[str]:
    counts = found.counts()
    parts = sorted({part for row in counts.values() for part in row})
    for part in parts:
        yield f"<h3>{part}</h3>" if part else ""
        yield bars((label, row.get(part, 0)) for label, row in counts.items())


def _table(rows: Iterable[tuple[str, str]]) -> str:
    lines = (
        f"<tr><td><code>{escape(path)}</code></td><td>{escape(text)}</td></tr>"
        for path, text in rows
    )
    return f"<table>{''.join(lines)}</table>"


def _code(path: Path) -> str:
    return f"<code>{escape(str(path))}</code>"


def _spread(files: Sequence[Seen]) -> list[Seen]:
    """Return a few files from all over the list."""
    if len(files) <= EACH:
        return list(files)
    return [files[round(i)] for i in np.linspace(0, len(files) - 1, EACH)]


def _strip(paths: Iterable[Path]) -> str:
    return f'<div class="strip">{"".join(map(_thumbnail, paths))}</div>'


def _thumbnail(path: Path) -> str:
    image = read_image(path, 3)
    scale = min(1.0, THUMB / max(image.shape[1:]))
    height, width = (max(1, round(n * scale)) for n in image.shape[1:])
    small = resize(image, (height, width))
    pixels = np.ascontiguousarray((255 * small).clip(0, 255).astype(np.uint8).transpose(1, 2, 0))
    name = escape(path.name, quote=True)
    shown = max(width, 24) / width  # tiny pictures are enlarged
    return (
        f'<img src="{png(pixels)}" width="{round(width * shown)}" '
        f'height="{round(height * shown)}" alt="{name}" title="{name}">'
    )
