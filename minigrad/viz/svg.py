"""A few SVG elements, enough for graphs, curves and pictures; no drawing library."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.io import atomic_write, write_text
from minigrad.loading import check_kinds

__all__ = ["SVG", "Canvas", "Row", "encode_png", "png", "save_png"]

FONT = "system-ui, 'DejaVu Sans', sans-serif"
GROUND = '<rect width="100%" height="100%" fill="white"/>'


class SVG(str):
    """The text of an SVG picture; notebooks show it, `save` writes it.

    Its lines and words have the colour of the page's text, so it is read on a dark page too.

    Examples
    --------
    >>> SVG("<svg/>")._repr_svg_()
    '<svg/>'
    """

    __slots__ = ()

    def _repr_svg_(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:  # in the page itself: in a file the page has no colour to give
        return str(self)

    def on_white(self) -> SVG:
        """Return the picture on a white ground, for a place where no page gives it one."""
        return SVG(self.replace("</title>", f"</title>\n{GROUND}", 1))

    def save(self, path: str | Path) -> None:
        """Write the picture to a file, on white, atomically."""
        write_text(path, self.on_white())


class Canvas:
    """Collects SVG elements.

    Examples
    --------
    >>> canvas = Canvas(20, 10, "a dot")
    >>> canvas.add("circle", cx=5, cy=5, r=2.5)
    >>> canvas.svg().count("<circle")
    1
    """

    def __init__(self, width: float, height: float, title: str) -> None:
        check_kinds("a picture", str, title=title)
        self.width, self.height, self.title = width, height, title
        self.elements: list[str] = []

    def add(self, tag: str, text: str | None = None, **attributes: Any) -> None:
        """Add an element; underscores in attribute names become hyphens."""
        described = " ".join(
            f'{name.rstrip("_").replace("_", "-")}="{_number(value)}"'
            for name, value in attributes.items()
            if value is not None
        )
        body = "/>" if text is None else f">{escape(text)}</{tag}>"
        self.elements.append(f"<{tag} {described}{body}")

    def text(self, x: float, y: float, text: str, size: float = 12, **attributes: Any) -> None:
        """Add a line of text, centred on `x` unless ``text_anchor`` says otherwise."""
        self.add("text", text, **{"x": x, "y": y, "font_size": size, "text_anchor": "middle"}
                 | attributes)  # fmt: skip

    @contextmanager
    def inside(self, left: float, top: float, right: float, bottom: float) -> Iterator[None]:
        """Cut off what is added meanwhile at the rim of a rectangle.

        Examples
        --------
        >>> canvas = Canvas(20, 20, "half a disc")
        >>> with canvas.inside(10, 0, 20, 20):
        ...     canvas.add("circle", cx=10, cy=10, r=5)
        """
        width, height = right - left, bottom - top
        self.add("svg", "", x=left, y=top, width=width, height=height,
                 viewBox=f"{left} {top} {width} {height}")  # fmt: skip
        self.elements[-1] = self.elements[-1].removesuffix("</svg>")
        yield
        self.elements.append("</svg>")

    def svg(self) -> SVG:
        """Return the picture."""
        size = f'width="{_number(self.width)}" height="{_number(self.height)}"'
        box = f"0 0 {_number(self.width)} {_number(self.height)}"
        return SVG(
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="{box}" role="img" '
            f'font-family="{FONT}" fill="currentColor" '
            f'style="max-width:100%;height:auto">\n<title>{escape(self.title)}</title>\n'
            + "\n".join(self.elements)
            + "\n</svg>\n"
        )


class Row:
    """Pictures side by side in a notebook, below one another where the page is narrow.

    Parameters
    ----------
    *pictures
        Whatever shows itself in a notebook as HTML, as `SVG` and `Plot` do.

    Examples
    --------
    >>> Row(SVG("<svg/>"), SVG("<svg/>"))._repr_html_().count("<svg/>")
    2
    """

    def __init__(self, *pictures: Any) -> None:
        self.pictures = pictures

    def _repr_html_(self) -> str:
        shown = "".join(picture._repr_html_() for picture in self.pictures)
        return f'<div style="display:flex;flex-wrap:wrap;gap:8px;align-items:start">{shown}</div>'


def png(pixels: NDArray[np.uint8]) -> str:
    """Return an image (H, W), (H, W, 3) or (H, W, 4) as a ``data:`` address of a PNG.

    Examples
    --------
    >>> import numpy as np
    >>> png(np.zeros((2, 2), np.uint8))[:22]
    'data:image/png;base64,'
    """
    return "data:image/png;base64," + base64.b64encode(encode_png(pixels)).decode()


def save_png(path: str | Path, pixels: NDArray[np.uint8]) -> None:
    """Write an image (H, W), (H, W, 3) or (H, W, 4) as a PNG file, atomically.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_png(Path(folder, "a.png"), np.zeros((2, 2), np.uint8))
    ...     Path(folder, "a.png").read_bytes()[1:4]
    b'PNG'
    """
    with atomic_write(path) as file:
        file.write(encode_png(pixels))


def encode_png(pixels: NDArray[np.uint8]) -> bytes:
    """Return an image as the bytes of a PNG file: grey (H, W), RGB (H, W, 3) or RGBA (H, W, 4).

    Examples
    --------
    >>> import numpy as np
    >>> encode_png(np.zeros((2, 2), np.uint8))[1:4]
    b'PNG'
    """
    height, width = pixels.shape[:2]
    colour = 0 if pixels.ndim == 2 else {3: 2, 4: 6}[pixels.shape[2]]
    rows = pixels.reshape(height, -1)
    raw = np.concatenate([np.zeros((height, 1), np.uint8), rows], axis=1).tobytes()
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in (
            (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, 0)),
            (b"IDAT", zlib.compress(raw, 9)),
            (b"IEND", b""),
        )
    )


def _number(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return escape(str(value))
