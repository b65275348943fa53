"""How an object was made: what `minigrad.save` writes down, to make one like it again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Self

__all__ = ["Call", "Remembers"]


class Call(NamedTuple):
    """The arguments of the call that made an object; whom was called, if not its own class."""

    arguments: tuple[Any, ...]
    options: Mapping[str, Any]
    name: str | None = None


class Remembers:
    """Base of what remembers the call that made it.

    Our own classes do, but for those whose contents may change (``remembers=False``). A user's
    does not, as its arguments may be anything, large or not to be copied, until it is registered.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.Linear(4, 2, bias=False)._made
    Call(arguments=(4, 2), options={'bias': False}, name=None)
    """

    _remembers: ClassVar[bool] = False
    _made: Call | None = None

    def __init_subclass__(cls, remembers: bool = True, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._remembers = remembers and cls.__module__.startswith("minigrad.")

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        if (args or kwargs) and cls.__init__ is object.__init__:
            raise TypeError(f"{cls.__name__}() takes no arguments")
        self = super().__new__(cls)
        if cls._remembers:
            vars(self)["_made"] = Call(args, kwargs)
        return self
