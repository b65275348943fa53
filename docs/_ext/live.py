"""Live cells: the code of a page can be changed and run, by Pyodide in the reader's browser.

The page's side is the npm package in docs/live. This file builds it, and lays beside it what it
asks for: Pyodide, NumPy for Pyodide, minigrad and hypothesis. Of a wheel the browser gets what can
be of use there: what Python reads, but no module that imports a package which is not there; and as
one gzipped tar, smaller than files that are compressed each alone. The setting `live_pyodide` says
where readers get Pyodide and NumPy: "local", from this site, or the address of a folder that has
them, such as https://cdn.jsdelivr.net/pyodide/v0.27.7/full/. Without npm pages are static.
"""

from __future__ import annotations

import ast
import gzip
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
import zipfile
from collections.abc import Iterable
from io import BytesIO
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util import logging

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "docs" / "live"
PYODIDE = SOURCE / "node_modules" / "pyodide"
RUNTIME = ("pyodide.mjs", "pyodide.asm.js", "pyodide.asm.wasm", "python_stdlib.zip")
READ = {".py", ".so", ".npz", ".txt", ""}  # by Python: no stubs, headers and libraries to link with
CDN = "https://cdn.jsdelivr.net/pyodide/v{version}/full/"

logger = logging.getLogger(__name__)


def build(app: Sphinx) -> None:
    """Put what live pages load below _static/live, if that can be had."""
    app.env.live = False
    if app.builder.format != "html":
        return
    target = Path(app.outdir, "_static", "live")
    shutil.rmtree(target, ignore_errors=True)
    if not shutil.which("npm"):
        logger.info("live cells: there is no npm here, so the pages stay static")
        return
    try:
        fetched = fetch(app.config.live_pyodide)
    except (OSError, subprocess.CalledProcessError) as error:
        logger.info("live cells: the pages stay static, for what they need cannot be fetched here")
        logger.info("  %s", getattr(error, "stderr", None) or error)
        return
    target.mkdir(parents=True)
    try:
        assemble(target, fetched, app.config.live_pyodide, app.config.version)
        app.env.live = True
    except (OSError, subprocess.CalledProcessError) as error:
        said = getattr(error, "stderr", None) or ""
        logger.warning("live cells: the pages stay static: %s\n%s", error, said)


class Fetched(NamedTuple):
    """What does not come from this repository."""

    lock: dict[str, Any]  # Pyodide's
    numpy: Path | None  # NumPy's wheel, where it is served from here
    others: list[Path]


def fetch(where: str) -> Fetched:
    """Install the npm packages and download the wheels, once."""
    installed, locked = SOURCE / "node_modules/.package-lock.json", SOURCE / "package-lock.json"
    if not installed.exists() or installed.stat().st_mtime < locked.stat().st_mtime:
        command("npm", "ci", "--no-audit", "--no-fund")
    lock = json.loads((PYODIDE / "pyodide-lock.json").read_text())
    numpy, release = lock["packages"]["numpy"], lock["info"]["version"]
    wheel = numpy_wheel(numpy, release) if where == "local" else None
    return Fetched(lock, wheel, other_wheels())


def assemble(target: Path, fetched: Fetched, where: str, version: str) -> None:
    """Fill a folder: the page's script, Python's side in a folder of its own, and Pyodide."""
    lock = dict(fetched.lock)
    numpy = dict(lock["packages"]["numpy"])
    packages = {release(wheel): unpacked(wheel) for wheel in fetched.others}
    packages[f"minigrad-{version}"] = this_tree(version)
    if fetched.numpy:
        folder = f"pyodide-{lock['info']['version']}"
        where = f"../{folder}/"
        copy([PYODIDE / name for name in RUNTIME], target / folder)
        packages[release(fetched.numpy)] = unpacked(fetched.numpy)
    else:
        numpy["file_name"] = where + numpy["file_name"]
    there = {"numpy", *sys.stdlib_module_names, *map(top, chain(*packages.values()))}
    with tempfile.TemporaryDirectory() as temporary:
        made = Path(temporary)
        bundle("worker.js", made, PYODIDE=where)
        copy([SOURCE / "src" / "runner.py"], made)
        entries = {}
        for name, files in sorted(packages.items()):
            archive = pack(made / f"{name}.tar.gz", files, there)
            entries[name.split("-")[0]] = entry(archive, *name.split("-"))
        entries["numpy"] = numpy | entries.get("numpy", {})
        entries["hypothesis"]["depends"] = ["sortedcontainers"]
        lock["packages"] = entries
        (made / "lock.json").write_text(json.dumps(lock))
        name = digest(made)
        copy(sorted(made.iterdir()), target / name)
    bundle("live.js", target, FOLDER=name)
    copy([SOURCE / "src" / "live.css"], target)


def command(*words: str) -> None:
    """Run a program in docs/live; what it says of a failure is in the error."""
    subprocess.run(words, cwd=SOURCE, check=True, capture_output=True, text=True)


def bundle(name: str, folder: Path, **constants: str) -> None:
    """Write a script, with the modules that it imports and some constants, into a folder."""
    defined = [f"--define:{key}={json.dumps(value)}" for key, value in constants.items()]
    options = ["--bundle", "--splitting", "--format=esm", "--minify", f"--outdir={folder}"]
    command("npx", "esbuild", f"src/{name}", *options, *defined)


def copy(files: Iterable[Path], folder: Path) -> list[Path]:
    """Copy files into a folder, and return their new paths."""
    folder.mkdir(exist_ok=True)
    return [Path(shutil.copy(file, folder)) for file in files]


def digest(folder: Path) -> str:
    """Return a name made of a folder's content: another content is another address."""
    hashed = hashlib.sha256()
    for file in sorted(folder.iterdir()):
        hashed.update(file.name.encode() + b"\0" + file.read_bytes())
    return hashed.hexdigest()[:12]


def entry(archive: Path, name: str, version: str) -> dict[str, Any]:
    """Return what Pyodide's lock file says of a package whose archive lies beside it."""
    return {
        "name": name,
        "version": version,
        "file_name": archive.name,
        "install_dir": "site",
        "sha256": hashlib.sha256(archive.read_bytes()).hexdigest(),
        "package_type": "package",
        "imports": [name],
        "depends": [],
        "unvendored_tests": False,
    }


def release(wheel: Path) -> str:
    """Return name and version of a wheel."""
    return "-".join(wheel.name.split("-")[:2])


def unpacked(wheel: Path) -> dict[str, bytes]:
    """Return the files of a wheel, but for the list of them, which will not be true."""
    with zipfile.ZipFile(wheel) as archive:
        return {n: archive.read(n) for n in archive.namelist() if not n.endswith(("/", "/RECORD"))}


def this_tree(version: str) -> dict[str, bytes]:
    """Return the files of a wheel of this tree."""
    tree = (file for file in (ROOT / "minigrad").rglob("*") if file.suffix in READ)
    files = {f.relative_to(ROOT).as_posix(): f.read_bytes() for f in tree if f.is_file()}
    about = f"minigrad-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: minigrad\nVersion: {version}\n"
    files[f"{about}/METADATA"] = metadata.encode()
    files[f"{about}/WHEEL"] = b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    return files


def pack(archive: Path, files: dict[str, bytes], there: set[str]) -> Path:
    """Write an archive of the files that a browser can use; the same files make the same one."""
    with (
        archive.open("wb") as raw,
        gzip.GzipFile("", "wb", 9, raw, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as tar,
    ):
        for name, data in sorted(files.items()):
            suffix = PurePosixPath(name).suffix
            if suffix in READ and not (suffix == ".py" and imports(data) - there):
                head = tarfile.TarInfo(name)  # without a date
                head.size = len(data)
                tar.addfile(head, BytesIO(data))
    return archive


def top(name: str) -> str:
    """Return the package or module at the top that a file of a wheel belongs to."""
    return name.split("/")[0].removesuffix(".py")


def imports(source: bytes) -> set[str]:
    """Return the packages without which a module cannot be imported."""
    found = set()
    for node in ast.parse(source).body:
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            found.add(str(node.module).split(".")[0])
    return found


def other_wheels() -> list[Path]:
    """Return the wheels of wheels.txt, downloaded once."""
    folder = SOURCE / "wheels"
    wanted = re.findall(r"^([\w-]+)==(\S+)", (SOURCE / "wheels.txt").read_text(), re.MULTILINE)
    names = [f"{name}-{version}-*.whl" for name, version in wanted]
    if not all(any(folder.glob(name)) for name in names):
        options = ["--quiet", "--no-deps", "--require-hashes", "--dest", "wheels"]
        command(sys.executable, "-m", "pip", "download", *options, "-r", "wheels.txt")
    return [next(folder.glob(name)) for name in names]


def numpy_wheel(known: dict[str, Any], version: str) -> Path:
    """Return Pyodide's own build of NumPy: beside this repository, or from its CDN, once."""
    name = known["file_name"]
    shared, ours = ROOT.parent / "shared" / "live" / name, SOURCE / "wheels" / name
    for file in (shared, ours):
        if file.exists() and hashlib.sha256(file.read_bytes()).hexdigest() == known["sha256"]:
            return file
    with urllib.request.urlopen(CDN.format(version=version) + name, timeout=60) as answer:
        data = answer.read()
    if (found := hashlib.sha256(data).hexdigest()) != known["sha256"]:
        raise OSError(f"{name}: sha256 is {found}, Pyodide's lock file says {known['sha256']}")
    ours.parent.mkdir(exist_ok=True)
    ours.write_bytes(data)
    return ours


def enliven(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Give the script to a page that has code cells."""
    cells = doctree.findall(nodes.container) if doctree and app.env.live else ()
    if any(cell.get("nb_element") == "cell_code" for cell in cells):
        app.add_css_file("live/live.css")
        app.add_js_file("live/live.js", type="module")


def setup(app: Sphinx) -> dict[str, bool]:
    """Add the setting and the two steps."""
    app.add_config_value("live_pyodide", "local", "html", str)
    app.connect("builder-inited", build)
    app.connect("html-page-context", enliven)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
