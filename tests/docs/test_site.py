"""The extensions of the site: what they make of a page, and what the check of the pages finds."""

from __future__ import annotations

import importlib
import re
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from minigrad.cli import commands

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def extension(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    """Import an extension of docs/_ext, as Sphinx does."""
    pytest.importorskip("sphinx")
    monkeypatch.syspath_prepend(str(ROOT / "docs" / "_ext"))
    before = set(sys.modules)
    yield importlib.import_module
    for name in set(sys.modules) - before:
        if "docs/_ext" in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.mark.needs("sphinx", "myst_nb")
def test_every_extension_may_be_read_in_parallel(extension: Callable[[str], Any]) -> None:
    class App:
        def __getattr__(self, name: str) -> Callable[..., None]:
            return lambda *args, **kwargs: None

    for path in sorted((ROOT / "docs" / "_ext").glob("*.py")):
        module = extension(path.stem)
        if hasattr(module, "setup"):
            assert module.setup(App())["parallel_read_safe"], path.name


# ---- what the check of the pages finds ----------------------------------------------------------


@pytest.mark.needs("sphinx")
@pytest.mark.parametrize(
    ("page", "found"),
    [
        ('<a href="other.html">x</a>', "page.html links to other.html, which does not exist"),
        ('<a href="#no">x</a>', "page.html links to #no, but there is no such place"),
        ('<a href="sub/">x</a>', "page.html links to sub/, which does not exist"),
        ('<img src="//cdn.org/a.png">', "page.html asks another host: //cdn.org/a.png"),
        ('<link href="https://fonts.org/a.css">', "asks another host: https://fonts.org/a.css"),
        ('<img srcset="a.png 1x, https://b.org/c.png 2x">', "https://b.org/c.png"),
        ('<p style="background:url(https://b.org/c.png)">', "https://b.org/c.png"),
    ],
)
def test_the_check_finds(
    extension: Callable[[str], Any], tmp_path: Path, page: str, found: str
) -> None:
    (tmp_path / "page.html").write_text(page)
    (tmp_path / "a.png").touch()
    (line,) = extension("check_site").problems(tmp_path)
    assert found in line


@pytest.mark.needs("sphinx")
def test_the_check_reads_styles_and_scripts_and_lets_readers_go_elsewhere(
    extension: Callable[[str], Any], tmp_path: Path
) -> None:
    (tmp_path / "page.html").write_text(
        '<h1 id="top">x</h1><a href="#top">a</a><a href="https://arxiv.org">b</a>'
        '<a href="page.html#top">c</a><img src="data:image/png;base64,AA==">'
    )
    (tmp_path / "ok.js").write_text('// https://a.org\nfetch("./x"); const s = "http://www.w3.org"')
    (tmp_path / "ok.css").write_text("/* https://a.org */ a { background: url(x.png) }")
    problems = extension("check_site").problems
    assert problems(tmp_path) == []
    (tmp_path / "bad.js").write_text('import("https://cdn.org/x.js"); import y from "//b.org/y.js"')
    (tmp_path / "bad.css").write_text('@import "https://c.org/z.css";')
    assert [line.partition(" asks another host: ")[2] for line in problems(tmp_path)] == [
        "https://c.org/z.css",
        "https://cdn.org/x.js",
        "//b.org/y.js",
    ]


# ---- notebooks ----------------------------------------------------------------------------------

PAGE = """\
---
jupytext:
  text_representation: {extension: .md, format_name: myst}
kernelspec: {name: python3, display_name: Python 3}
---

(place)=
# A title

See [the other page](other.md), {term}`a gradient <gradient>` and {math}`x^2`.

```{exercise} A task
Do **this**.
```

```{code-cell}
:tags: [exercise]

def f(x): ...
```

```{code-cell}
:tags: [check, skip-execution]

assert f(1) == 2, "one more"
```

```{code-cell}
:tags: [solution]

def f(x): return x + 1
```

Next: another lesson.

````{teacher} 10 minutes
Ask.
````
"""


@pytest.mark.needs("sphinx", "myst_nb")
def test_a_page_as_a_notebook(extension: Callable[[str], Any]) -> None:
    notebooks, nbformat = extension("notebooks"), importlib.import_module("nbformat")
    assert notebooks.is_notebook(PAGE)
    assert not notebooks.is_notebook("# A title\n")
    book = notebooks.notebook(PAGE)
    nbformat.validate(book)
    title, needs, start, check, solution, end, note = book.cells
    assert title.source.startswith("# A title")
    assert "See the other page, a gradient and $x^2$." in title.source
    assert "**Exercise: A task**\n\nDo **this**." in title.source
    assert "pip install" in needs.source
    assert start.source == "def f(x): ..."
    assert check.metadata["tags"] == ["check", "raises-exception"]
    assert solution.metadata["jupyter"] == {"source_hidden": True}
    assert end.source == "Next: another lesson."
    assert note.source.startswith("**Teacher's note: 10 minutes**\n\nAsk.")
    assert note.metadata["tags"] == ["teacher"]
    assert "{" not in "".join(cell.source for cell in book.cells)
    assert notebooks.notebook(PAGE) == book, "drawn anew every time"


# ---- the command line, and the source -----------------------------------------------------------


@pytest.mark.needs("sphinx")
def test_every_command_and_every_option_has_its_place(extension: Callable[[str], Any]) -> None:
    page = extension("command_line")
    assert list(page.commands()) == list(commands())
    for name, parser in page.commands().items():
        written = [words for _, rows in page.options(parser) for words, _ in rows]
        for action in parser._actions:
            if action.option_strings:
                assert any(action.option_strings[0] in words for words in written), name
        assert max(map(len, page.usage(parser).splitlines())) <= 85


@pytest.mark.needs("sphinx")
@pytest.mark.parametrize(
    ("module", "name", "line"),
    [
        ("minigrad", "expm1", "expm1 = _unary("),
        ("minigrad", "matmul", "def matmul("),
        ("minigrad", "Tensor.expm1", "expm1 = _unary("),
        ("minigrad", "Tensor.exp_", "exp = _unary("),
        ("minigrad", "Tensor.backward", "def backward("),
        ("minigrad", "Tensor.shape", "def shape("),
        ("minigrad", "Tensor.T", "def _transposed("),
        ("minigrad", "Tensor.half", "    def method("),
        ("minigrad.nn.functional", "gelu", "def gelu("),
        ("minigrad.nn", "Linear", "class Linear("),
        ("minigrad.nn", "LoadReport.complete", "def complete("),
        ("minigrad.compat.medicai", "ConvNeXtTiny", "ConvNeXtTiny = _variant("),
        ("minigrad.models", "convnext_tiny", "def convnext_tiny("),
    ],
)
def test_source_links_lead_to_the_lines_that_make_a_name(
    extension: Callable[[str], Any], module: str, name: str, line: str
) -> None:
    links, viewcode = extension("source_links"), importlib.import_module("sphinx.ext.viewcode")
    importlib.import_module(module)
    home = links.follow(None, module, name) or viewcode._get_full_modname(module, name)
    text, tags = links.source(home)
    _, first, last = tags[name]
    assert any(line in each for each in text.splitlines()[first - 1 : last])
    assert last <= len(text.splitlines())


# ---- figures, and the pages that are written ----------------------------------------------------


@pytest.mark.needs("sphinx")
def test_a_block_s_figure_has_a_box_for_each_of_its_layers(
    extension: Callable[[str], Any],
) -> None:
    figures, models = extension("figures"), importlib.import_module("minigrad.models")
    names = [step.name for step in figures.branch(models.Block(96), 96)]
    before, after = names.index("layer norm"), names.index("GELU")
    assert names[:1] == ["7 × 7 depthwise"]
    assert before < after
    assert "layer scale γ" in names
    assert "GRN" in [step.name for step in figures.branch(models.Block(8, 0, None, grn=True), 8)]
    resnet, first, second, _ = figures.draw("blocks")
    assert "70,400 parameters" in resnet
    for drawn, block in ((first, models.Block(96)), (second, models.Block(96, 0, None, grn=True))):
        assert f"{figures.parameters(block):,} parameters" in drawn


@pytest.mark.needs("sphinx")
@pytest.mark.parametrize(
    ("what", "shapes"),
    [
        ("convnextv2_atto", ["40 × 56 × 56", "320 × 7 × 7", "3 × 224 × 224"]),
        ("unet", ["320 × 2 × 2", "32 × 32 × 32", "3 × 64 × 64"]),
        ("attention_unet", ["160 × 4 × 4"]),
        ("unet_plus_plus", ["80 × 8 × 8", "128 × 8 × 8", "3 × 64 × 64"]),
        ("mednext_s", ["32 × 32 × 32 × 32", "512 × 2 × 2 × 2", "2 × 32 × 32 × 32"]),
        ("convnext_isotropic_small", ["384 × 14 × 14"]),
    ],
)
def test_a_network_s_figure_has_its_shapes(
    extension: Callable[[str], Any], what: str, shapes: list[str]
) -> None:
    (drawn,) = extension("figures").draw(what)
    assert all(f">{shape}</text>" in drawn for shape in shapes)
    assert "currentColor" in drawn
    assert "white" not in drawn


@pytest.mark.needs("sphinx")
def test_every_name_of_another_system_has_a_page_with_an_example_that_runs(
    extension: Callable[[str], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    pages = {path.relative_to(ROOT / "docs"): text for path, text in _pages(extension).items()}
    for system in ("medicai", "dl_techniques", "lucid", "edifice"):
        module = importlib.import_module(f"minigrad.compat.{system}")
        for name in set(module.__all__) - {"create_model", "list_models"}:
            assert Path("coming-from", system, f"{name}.md") in pages
    for name in ("medicai/ConvNeXtV2Atto", "lucid/convnext_v2_atto"):
        (code,) = re.findall(r"```python\n(.*?)```", pages[Path("coming-from", f"{name}.md")], re.S)
        exec(compile(code, name, "exec"), {})
        assert capsys.readouterr().out == "(1, 10)\n"


def _pages(extension: Callable[[str], Any]) -> dict[Path, str]:
    return dict(extension("class_pages").pages())


@pytest.mark.needs("sphinx")
def test_a_class_shows_what_it_takes(extension: Callable[[str], Any]) -> None:
    show, models = extension("signatures").show, importlib.import_module("minigrad.models")
    shown, _ = show(None, "class", "", models.ConvNeXt, None, "(*args, **kwargs)", None)
    assert shown.startswith("(in_channels=3, num_classes=1000, depths=(3, 3, 9, 3), ")
    assert "block=Block, initializer=trunc_normal_, " in shown
    assert " at 0x" not in shown
    assert show(None, "function", "", len, None, "(x)", None) is None


@pytest.mark.needs("sphinx", "numpydoc")
def test_the_examples_of_a_named_model_run(
    extension: Callable[[str], Any], capsys: pytest.CaptureFixture[str]
) -> None:
    """The largest would need gigabytes; all of them have the same page."""
    variants = extension("variant_pages")
    page = variants.PAGE.format(**variants.facts("convnextv2_atto"))
    code = "\n".join(re.findall(r"```python\n(.*?)```", page, re.S))
    exec(compile(code, "convnextv2_atto.md", "exec"), {})
    promised = re.findall(r"^print\(.*\)  # (.*)$", code, re.M)
    assert capsys.readouterr().out.splitlines() == promised


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md"])
def test_links_outside_the_pages_lead_to_files(name: str) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", (ROOT / name).read_text())
    assert targets or name != "README.md"
    assert not [target for target in targets if not (ROOT / target).exists()]


# ---- live cells ---------------------------------------------------------------------------------


@pytest.mark.needs("sphinx")
def test_a_browser_gets_what_it_can_import(extension: Callable[[str], Any], tmp_path: Path) -> None:
    files = {
        "tool/__init__.py": b"try:\n    import absent\nexcept ImportError:\n    import math\n",
        "tool/near.py": b"from . import fast\nimport math\n\ndef f():\n    import absent\n",
        "tool/far.py": b"from absent.part import name\n",
        "tool/_fast.so": b"\0asm",
        "tool/fast.h": b"int x;",
        "tool/__init__.pyi": b"",
        "tool-1.dist-info/METADATA": b"Name: tool\n",
    }
    live = extension("live")
    first, second = (live.pack(tmp_path / n, files, {"math", "tool"}) for n in "ab")
    assert first.read_bytes() == second.read_bytes()
    left = {"tool/far.py", "tool/fast.h", "tool/__init__.pyi"}
    with tarfile.open(first) as tar:
        assert set(tar.getnames()) == files.keys() - left
