"""Show what a class takes: autodoc looks at `__new__`, which takes anything, before `__init__`."""

from __future__ import annotations

import inspect
from typing import Any

from sphinx.application import Sphinx
from sphinx.util.inspect import stringify_signature


class Name:
    """A default value that is shown by its name."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __repr__(self) -> str:
        function = getattr(self.value, "func", self.value)  # of a functools.partial
        return str(getattr(function, "__name__", type(function).__name__))


def by_name(parameter: inspect.Parameter) -> inspect.Parameter:
    """Return a parameter whose default has no address in memory."""
    if parameter.default is parameter.empty or not callable(parameter.default):
        return parameter
    return parameter.replace(default=Name(parameter.default))


def show(
    app: Sphinx, what: str, name: str, value: Any, options: Any, args: str | None, returns: Any
) -> tuple[str, None] | None:
    """Take the signature that Python itself gives of a class."""
    if what != "class" or args is None:
        return None
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return None
    signature = signature.replace(parameters=list(map(by_name, signature.parameters.values())))
    return stringify_signature(signature, show_annotation=False, show_return_annotation=False), None


def setup(app: Sphinx) -> dict[str, bool]:
    """Have the last word on signatures."""
    app.connect("autodoc-process-signature", show, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
