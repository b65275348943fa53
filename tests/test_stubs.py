"""The stub files say to type checkers and editors what the declarations say to Python.

``python -m tests.test_stubs`` writes them; as a test, this file keeps them in step.
"""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest

import minigrad as mg
from minigrad.ops import methods
from minigrad.ops.declare import NAMES

PACKAGE = Path(mg.__file__).parent
KNOWN = {"Tensor", "None", "int", "float", "bool", "str", "Any", "tuple", "Sequence", "Callable"}
HEAD = '''"""Operators and methods of Tensor; written by ``python -m tests.test_stubs``."""

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


def tensor_methods() -> str:
    names = sorted(methods.bound(), key=lambda n: (not n.startswith("__"), n))
    return HEAD + "".join(signature(name, mg.Tensor.__dict__[name]) for name in names)


def imported(home: str) -> list[str]:
    """Say where each name of a home comes from."""
    lines = []
    for name, function in sorted(NAMES[home].items()):
        assert isinstance(function, FunctionType)
        line = f"from {function.__module__} import {function.__name__} as {name}"
        lines.append(line if len(line) <= 100 else line + "  # noqa: E501")
    return lines


def namespace(home: str, title: str) -> str:
    return "\n".join(
        [f'"""{title}; written by ``python -m tests.test_stubs``."""', "", *imported(home), ""]
    )


def face() -> str:
    """Write `minigrad/__init__.pyi`: its own imports and names, then those declared."""
    own, late = [], []
    for node in ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            own.append(ast.unparse(node))
        if isinstance(node, ast.ImportFrom) and node.module != "__future__":
            for a in node.names:
                if not (a.asname or "").startswith("_"):
                    own.append(f"from {node.module} import {a.name} as {a.asname or a.name}")
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Tuple):
            pairs = zip(node.targets[0].elts, node.value.elts, strict=True)
            late += [f"{ast.unparse(name)} = {ast.unparse(value)}" for name, value in pairs]
        elif isinstance(node, ast.Assign) and not ast.unparse(node.targets[0]).startswith("_"):
            late.append(ast.unparse(node))
    packages = [f"from minigrad import {name} as {name}" for name in sorted(mg._PACKAGES)]
    packages += [f"from minigrad.{at} import {n} as {n}" for n, at in sorted(mg._WHOLE.items())]
    head = '"""What `minigrad` hands on; written by ``python -m tests.test_stubs``."""'
    lines = [head, "", *own, *packages, *imported("minigrad"), "", "__version__: str", *late]
    return "\n".join([*lines, "bfloat16 = float16", ""])


STUBS = {
    "_methods.pyi": tensor_methods,
    "__init__.pyi": face,
    "nn/functional.pyi": lambda: namespace("functional", "The functions behind the layers"),
    "ops/__init__.pyi": lambda: namespace("numpy", "The Tensor namespace with NumPy's names"),
}


@pytest.mark.parametrize("file", STUBS)
def test_the_stub_is_up_to_date(file: str) -> None:
    assert (PACKAGE / file).read_text() == STUBS[file](), "run: python -m tests.test_stubs"


def test_every_method_has_a_docstring() -> None:
    bare = [
        name
        for name in methods.bound()
        if not name.startswith("__") and not inspect.getdoc(mg.Tensor.__dict__[name])
    ]
    assert not bare


if __name__ == "__main__":
    for file, write in STUBS.items():
        (PACKAGE / file).write_text(write())
