"""minigrad/_methods.pyi lists what `minigrad.ops.methods` binds: ``python tests/test_methods.py``.

The stub tells type checkers and editors which operators and methods a Tensor has; this file writes
it from the functions themselves and, as a test, keeps it in step with them.
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import minigrad as mg
from minigrad.ops import methods

STUB = Path(methods.__file__).parents[1] / "_methods.pyi"
KNOWN = {"Tensor", "None", "int", "float", "bool", "str", "Any", "tuple", "Sequence", "Callable"}
HEAD = '''"""Operators and methods of Tensor; written by ``python tests/test_methods.py``."""

import builtins
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from minigrad.tensor import Tensor

class TensorMethods:
'''
COMPARISONS = {"__eq__", "__ne__"}
RETURNS = {
    "__setitem__": "None",
    "__hash__": "builtins.int",
    "__iter__": "Iterator[Tensor]",
    "backward": "None",
    "retain_grad": "None",
}


def annotation(value: Any) -> str:
    """Write an annotation, or Any where it names something that only its own file knows."""
    if value is inspect.Parameter.empty:
        return "Any"
    text = value if isinstance(value, str) else getattr(value, "__name__", "Any")
    words = set(re.findall(r"\w+", text))
    # the methods int, float and bool hide the types of these names inside the class
    return re.sub(r"\b(int|float|bool)\b", r"builtins.\1", text) if words <= KNOWN else "Any"


def parameter(p: inspect.Parameter) -> str:
    stars = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
    text = f"{stars}{p.name}: {annotation(p.annotation)}"
    return text if p.default is p.empty else f"{text} = {p.default!r}"


def signature(name: str, function: Any) -> str:
    if isinstance(function, property):
        return f"    @property\n    def {name}(self) -> Tensor: ...\n"
    given = list(inspect.signature(function).parameters.values())[1:]
    if name.startswith("__"):  # Python passes operands, never options
        given = [
            p.replace(name="other", kind=p.POSITIONAL_OR_KEYWORD)
            if p.kind is p.VAR_POSITIONAL
            else p
            for p in given
            if p.kind not in (p.KEYWORD_ONLY, p.VAR_KEYWORD) and p.default is p.empty
        ]
    parts, keyword = ["self"], False
    for p in given:
        if p.kind is p.KEYWORD_ONLY and not keyword:
            keyword = True
            if not any(q.kind is q.VAR_POSITIONAL for q in given):
                parts.append("*")
        parts.append(parameter(p))
    returned = annotation(inspect.signature(function).return_annotation)
    if name in RETURNS:
        returned = RETURNS[name]
    elif returned == "Any" and name.startswith("__"):
        returned = "Tensor"
    ignore = "  # type: ignore[override]" if name in COMPARISONS else ""
    return f"    def {name}({', '.join(parts)}) -> {returned}: ...{ignore}\n"


def render() -> str:
    names = sorted(methods.bound(), key=lambda n: (not n.startswith("__"), n))
    return HEAD + "".join(signature(name, mg.Tensor.__dict__[name]) for name in names)


def test_the_stub_is_up_to_date():
    assert STUB.read_text() == render(), "run: python tests/test_methods.py"


def test_every_method_has_a_docstring():
    bare = [
        name
        for name in methods.bound()
        if not name.startswith("__") and not inspect.getdoc(mg.Tensor.__dict__[name])
    ]
    assert not bare


if __name__ == "__main__":
    STUB.write_text(render())
