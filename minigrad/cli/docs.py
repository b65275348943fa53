"""``minigrad docs``: build the documentation of a clone, and show it on this machine."""

from __future__ import annotations

import argparse
import importlib.util
import subprocess
import sys
import webbrowser
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import minigrad
from minigrad.errors import DataError, MinigradError, OptionError, missing_extra

HELP = "Build the documentation of a clone, running its pages, and serve it on this machine."
EXAMPLES = """examples:
  minigrad docs --open                               build, serve, and open the browser
  minigrad docs --build-only                         as HTML files in docs/_build/html
"""
MODULES = ("sphinx", "furo", "myst_nb", "numpydoc", "sphinx_copybutton", "sphinx_design")
HOST = "127.0.0.1"  # a page runs code: nobody else's machine should ask for it


def add_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add = parser.add_argument
    add("--output", metavar="DIR", help="folder of the pages (default: docs/_build/html)")
    add("--port", type=int, default=8000, metavar="N", help="of the server; 0 takes a free one")
    add("--open", action="store_true", help="open the first page in the browser")
    add("--build-only", "--no-serve", action="store_true", help="build, and serve nothing")


def run(args: argparse.Namespace) -> int:
    """Build, then serve until Ctrl-C."""
    if not 0 <= args.port < 2**16:
        raise OptionError(f"--port must be a number from 0 to 65535, got {args.port}")
    docs = source()
    for module in MODULES:
        if importlib.util.find_spec(module) is None:
            raise missing_extra(module, "docs")
    pages = Path(args.output) if args.output else docs / "_build" / "html"
    build = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-j", "auto"]
    kept = docs / "_build" / "doctrees"  # for the next build; not to be published
    if subprocess.run([*build, "-d", str(kept), str(docs), str(pages)], check=False).returncode:
        raise MinigradError("the pages could not be built; Sphinx says why above")
    print(f"built {pages / 'index.html'}")
    if not args.build_only:
        serve(pages, args.port, args.open)
    return 0


def source() -> Path:
    """Return the folder of the pages' sources: of the clone we are in, or that is installed.

    Raises
    ------
    DataError
        If there is none: an installed package has no documentation beside it.
    """
    for root in (Path.cwd(), Path(minigrad.__file__).parents[1]):
        if (root / "docs" / "conf.py").is_file() and (root / "minigrad" / "cli").is_dir():
            return root / "docs"
    raise DataError(
        "the documentation is not part of the installed package; clone minigrad's repository, and "
        "there run: pip install '.[docs]' && minigrad docs"
    )


class Handler(SimpleHTTPRequestHandler):
    """Serves files, with what a page needs to run Python and to interrupt it."""

    extensions_map = {  # noqa: RUF012 (declared so by the base class)
        **SimpleHTTPRequestHandler.extensions_map,
        ".mjs": "text/javascript",
        ".wasm": "application/wasm",
        ".whl": "application/zip",
    }

    def end_headers(self) -> None:
        """Isolate the page from other origins, so that browsers let it share memory."""
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: a page asks for dozens of files."""


def server(pages: Path, port: int) -> ThreadingHTTPServer:
    """Return a server of a folder, for this machine alone.

    Raises
    ------
    OptionError
        If the port is taken.
    """
    try:
        return ThreadingHTTPServer((HOST, port), partial(Handler, directory=str(pages)))
    except OSError as error:
        raise OptionError(f"port {port} cannot be had ({error.strerror}); try --port 0") from None


def serve(pages: Path, port: int, open_browser: bool = False) -> None:
    """Serve a folder until Ctrl-C."""
    with server(pages, port) as running:
        address = f"http://{HOST}:{running.server_port}/"
        print(f"serving {address}; Ctrl-C ends it", flush=True)
        if open_browser:
            webbrowser.open(address)
        try:
            running.serve_forever()
        except KeyboardInterrupt:
            print()
