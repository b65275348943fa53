"""Weights that do not change: what a kernel makes of them it makes once.

Kernels like a weight in another order than it lies in, and to turn it takes a good part of the time
where a batch is small. In training it is another one after every step; whoever knows that it stays
(`minigrad.freeze`) says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

__all__ = ["Constants", "are_constant", "laid_out"]

Array = Any
T = TypeVar("T")


class Constants:
    """Arrays that do not change, and what was made of them."""

    def __init__(self) -> None:
        self._arrays: dict[int, Array] = {}  # held, so that each number stays that of one array
        self._made: dict[Any, Any] = {}

    def add(self, array: Array) -> None:
        """Promise that an array does not change."""
        self._arrays[id(array)] = array

    def hold(self, *arrays: Array) -> bool:
        """Return whether all these arrays are known not to change."""
        return all(id(a) in self._arrays for a in arrays)

    def made(self, make: Callable[..., T], arrays: tuple[Array, ...], options: Any) -> T:
        """Return ``make(*arrays, *options)``, computed at the first call."""
        key = (make, *map(id, arrays), options)
        try:
            return self._made[key]  # type: ignore[no-any-return]
        except KeyError:
            result = self._made[key] = make(*arrays, *options)
            self.add(result)  # of which again something may be made
            return result

    @contextmanager
    def used(self) -> Iterator[None]:
        """Let kernels of this thread know of the arrays."""
        token = _constants.set(self)
        try:
            yield
        finally:
            _constants.reset(token)


_constants: ContextVar[Constants | None] = ContextVar("minigrad.constants", default=None)


def are_constant(*arrays: Array) -> bool:
    """Return whether these arrays are known not to change."""
    constants = _constants.get()
    return constants is not None and constants.hold(*arrays)


def laid_out(make: Callable[..., T], arrays: tuple[Array, ...], *options: Any) -> T:
    """Return ``make(*arrays, *options)``, of arrays that do not change the one made before.

    Examples
    --------
    >>> import numpy as np
    >>> weight, constants = np.ones((2, 3)), Constants()
    >>> constants.add(weight)
    >>> with constants.used():
    ...     first, second = (laid_out(np.transpose, (weight,)) for _ in range(2))
    >>> first is second, laid_out(np.transpose, (weight,)) is first
    (True, False)
    """
    constants = _constants.get()
    if constants is None or not constants.hold(*arrays):
        return make(*arrays, *options)
    return constants.made(make, arrays, options)
