"""Thread-local switches: grad mode, inference mode, anomaly mode.

All of them live in one integer per thread, so that an operation reads its whole mode with a
single attribute lookup.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable
from types import TracebackType
from typing import TypeVar

from minigrad.errors import GraphError

__all__ = [
    "ANOMALY",
    "GRAD",
    "INFERENCE",
    "detect_anomaly",
    "enable_grad",
    "inference_mode",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "no_grad",
    "set_grad_enabled",
]

GRAD = 1
INFERENCE = 2
ANOMALY = 4

F = TypeVar("F", bound=Callable[..., object])


class _State(threading.local):
    flags = GRAD


state = _State()


class _Mode:
    """A change of flags, usable as a context manager and as a decorator."""

    def __init__(self, on: int = 0, off: int = 0) -> None:
        self._on, self._off = on, off
        self._previous: list[int] = []

    def __enter__(self) -> None:
        self._previous.append(state.flags)
        flags = (state.flags & ~self._off) | self._on
        state.flags = flags & ~GRAD if flags & INFERENCE else flags

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        state.flags = self._previous.pop()

    def __call__(self, function: F) -> F:
        on, off = self._on, self._off
        if inspect.isgeneratorfunction(function):
            raise GraphError(
                f"{type(self).__name__} cannot decorate the generator {function.__name__}: it runs "
                "piece by piece, in the mode of its caller; use `with` inside it, around what "
                "should not be recorded and not around a yield"
            )

        @functools.wraps(function)
        def wrapped(*args: object, **kwargs: object) -> object:
            with _Mode(on, off):
                return function(*args, **kwargs)

        return wrapped  # type: ignore[return-value]


class no_grad(_Mode):
    """Do not record operations: context manager (``with no_grad():``) and decorator.

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.ones(2, requires_grad=True)
    >>> with mg.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    def __init__(self) -> None:
        super().__init__(off=GRAD)


class enable_grad(_Mode):
    """Record operations again inside a `no_grad` block."""

    def __init__(self) -> None:
        super().__init__(on=GRAD)


class set_grad_enabled(_Mode):
    """Switch recording on or off from here on; ``with`` undoes it at the end of the block."""

    def __init__(self, mode: bool) -> None:
        super().__init__(on=GRAD) if mode else super().__init__(off=GRAD)
        super().__enter__()

    def __enter__(self) -> None:
        """Do nothing: the switch took effect when it was made."""

    def __call__(self, function: F) -> F:
        self.__exit__(None, None, None)
        return super().__call__(function)


class inference_mode(_Mode):
    """`no_grad` whose results can never take part in a recorded operation later."""

    def __init__(self, mode: bool = True) -> None:
        super().__init__(on=INFERENCE, off=GRAD) if mode else super().__init__(off=INFERENCE)


class detect_anomaly(_Mode):
    """Stop at the first NaN and name the operation and the source line that made it.

    Every operation's result (forward) and every gradient (backward) is checked, which is slow.

    Examples
    --------
    >>> import minigrad as mg
    >>> with mg.autograd.detect_anomaly():
    ...     y = mg.tensor([float("nan")]) * 2
    Traceback (most recent call last):
        ...
    minigrad.errors.GraphError: mul: the result has 1 NaN among 1 elements, made at ...
    """

    def __init__(self) -> None:
        super().__init__(on=ANOMALY)


def is_grad_enabled() -> bool:
    """Return True if operations of this thread are recorded."""
    return bool(state.flags & GRAD)


def is_inference_mode_enabled() -> bool:
    """Return True inside `inference_mode`."""
    return bool(state.flags & INFERENCE)
