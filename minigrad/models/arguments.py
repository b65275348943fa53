"""Other names of arguments, and the refusal of unknown ones."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from minigrad.errors import OptionError, unknown

__all__ = ["accepts"]

P = ParamSpec("P")
R = TypeVar("R")


def accepts(**aliases: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Let a constructor take keyword arguments under other names too, and refuse unknown ones.

    Parameters
    ----------
    **aliases : str
        Other name to proper name.

    Raises
    ------
    OptionError
        By the decorated function: for an unknown name, with the nearest one suggested, or for an
        argument given under both its names.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        parameters = inspect.signature(function).parameters
        names = [n for n, p in parameters.items() if p.kind is not p.VAR_KEYWORD and n != "self"]
        closed = all(p.kind is not p.VAR_KEYWORD for p in parameters.values())
        owner = function.__qualname__.removesuffix(".__init__")

        @functools.wraps(function)
        def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            for key in list(kwargs):
                proper = aliases.get(key, key)
                if proper in kwargs and proper != key:
                    raise OptionError(f"{owner}: {key} is another name of {proper}; give only one")
                if proper not in names and closed:
                    raise unknown(f"{owner} option", key, names)
                kwargs[proper] = kwargs.pop(key)
            return function(*args, **kwargs)

        return wrapper

    return decorate
