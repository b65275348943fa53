"""Lead every [source] link to its lines, also where the source has no `def` of that name.

An operation such as ``expm1 = _unary(Expm1, …)`` is an assignment, and the method `Tensor.expm1` is
declared beside it; viewcode sees neither, and asks here. It also believes that all names of a
module are documented on one page, so the way back is looked up.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from functools import cache
from typing import Any

from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer

from minigrad.ops.declare import NAMES
from minigrad.ops.methods import bound

BACK = re.compile(r'id="([^"]+)">\n<a class="viewcode-back" href="([^"#]+)#[^"]*">')


@cache
def declared() -> dict[str, Any]:
    """Return the operations by the names under which the reference has them."""
    methods = {name: value for name, value in bound().items() if not name.startswith("__")}
    methods |= NAMES["inplace"]
    functions = NAMES["numpy"] | NAMES["functional"] | NAMES["minigrad"]
    return functions | {
        f"Tensor.{name}": getattr(value, "fget", value) for name, value in methods.items()
    }


def lines(function: Any) -> tuple[str, int, int]:
    """Return the lines of a function that another one made."""
    text, start = inspect.getsourcelines(function)
    return "def", start, start + len(text) - 1


@cache
def source(module: str) -> tuple[str, dict[str, tuple[str, int, int]]] | None:
    """Return the text of a module, and the lines of every name that is made in it."""
    if not module.startswith("minigrad"):
        return None
    analyzer = ModuleAnalyzer.for_module(module)
    tags = dict(analyzer.find_tags())
    for node in ast.parse(analyzer.code).body:
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    span = ("def", node.lineno, node.end_lineno or node.lineno)
                    tags.setdefault(target.id, span)
    for name, function in declared().items():
        if function.__module__ == module:
            tags.setdefault(name, tags.get(function.__name__) or lines(function))
    return analyzer.code, tags


def find(app: Sphinx, module: str) -> tuple[str, dict[str, tuple[str, int, int]]] | None:
    """Answer viewcode's question for the source of a module."""
    return source(module)


def follow(app: Sphinx, module: str, name: str) -> str | None:
    """Answer viewcode's question where a name comes from."""
    if name.startswith("Tensor.") and name in declared():
        return str(declared()[name].__module__)
    owner, _, attribute = name.rpartition(".")
    value = getattr(getattr(sys.modules.get(module), owner, None), attribute, None)
    return str(value.fget.__module__) if isinstance(value, property) else None


def lead_back(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: object
) -> None:
    """Let [docs] lead to where a name is explained, and not only to the page of another."""
    if not page.startswith("_modules/") or page == "_modules/index":
        return
    used = app.env._viewcode_modules[page.removeprefix("_modules/").replace("/", ".")][2]
    explained = [
        (entry.docname, name, entry.node_id)
        for name, entry in app.env.domains.python_domain.objects.items()
        if entry.objtype != "module"
    ]

    def link(found: re.Match[str]) -> str:
        name, path = found.groups()
        places = [at for doc, n, at in explained if doc == used[name] and n.endswith(f".{name}")]
        place = f"#{places[0]}" if places else ""
        return f'id="{name}">\n<a class="viewcode-back" href="{path}{place}">'

    context["body"] = BACK.sub(link, context["body"])


def setup(app: Sphinx) -> dict[str, bool]:
    """Stand beside viewcode."""
    app.setup_extension("sphinx.ext.viewcode")
    app.connect("viewcode-find-source", find)
    app.connect("viewcode-follow-imported", follow)
    app.connect("html-page-context", lead_back)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
