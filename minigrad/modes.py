"""Switches of the running thread or task: grad mode, inference mode, anomaly mode.

They are kept together, with what autocast does (`minigrad.casting`), in one immutable `Modes`, held
by a context variable, so that an operation reads all of them in one step, and every thread and
every asyncio task has its own. A block puts a new one in front of the old; leaving the block goes
back to the old one. Nothing is kept in the object of the `with` statement: it may be shared by
threads, or used inside itself.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from minigrad.errors import GraphError

if TYPE_CHECKING:
    from minigrad.casting import Casting

__all__ = [
    "ANOMALY",
    "GRAD",
    "INFERENCE",
    "TRACE",
    "ModeBlock",
    "current",
    "detect_anomaly",
    "enable_grad",
    "inference_mode",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "no_grad",
    "replace",
    "set_grad_enabled",
]

GRAD = 1
INFERENCE = 2
ANOMALY = 4
TRACE = 8

F = TypeVar("F", bound=Callable[..., object])


class Modes:
    """What holds for operations, and, in a block, what holds after it.

    Attributes
    ----------
    flags : int
        GRAD, INFERENCE, ANOMALY and TRACE.
    autocast : Casting or None
        None where it is off.
    block : object
        The `with` object whose block this is; None outside any.
    outer : Modes or None
        The modes outside the block.
    """

    __slots__ = ("autocast", "block", "flags", "outer")

    def __init__(
        self, flags: int, autocast: Casting | None, block: Any = None, outer: Modes | None = None
    ) -> None:
        # Nothing is recorded in inference mode, whatever is switched on inside.
        self.flags = flags & ~GRAD if flags & INFERENCE else flags
        self.autocast, self.block, self.outer = autocast, block, outer


_modes = ContextVar("minigrad.modes", default=Modes(GRAD, None))  # noqa: B039 - never changed
current = _modes.get
"""Return the `Modes` of this thread or task."""


def replace(flags: int, autocast: Casting | None) -> Modes:
    """Change the current modes until the surrounding block ends; returns the new ones."""
    modes = current()
    modes = Modes(flags, autocast, modes.block, modes.outer)
    _modes.set(modes)
    return modes


class _State:
    """The modes of this thread or task by name."""

    _capture: ContextVar[Any] = ContextVar("minigrad.capture", default=None)

    @property
    def flags(self) -> int:
        return current().flags

    @property
    def autocast(self) -> Casting | None:
        return current().autocast

    @property
    def capture(self) -> Any:
        """The capture of a CUDA graph that is under way (`minigrad.train.capture`), or None."""
        return self._capture.get()

    @capture.setter
    def capture(self, capture: Any) -> None:
        self._capture.set(capture)


state = _State()


class ModeBlock:
    """A change of modes, usable as a context manager and as a decorator."""

    def _inside(self, modes: Modes) -> Modes:
        """Return the modes of the block when it is entered under `modes`."""
        raise NotImplementedError

    # A signal handler may raise after any call. What is left undone then is done in `except`, and
    # nothing can come between the raising and a first call of something compiled, like `set`.

    def __enter__(self) -> Any:
        modes = current()
        try:
            _modes.set(self._inside(modes))
            return self
        except BaseException:
            _modes.set(modes)
            raise

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self._leave()
        except BaseException:
            self._leave()
            raise

    def _leave(self) -> None:
        """Go back to the modes before this block; blocks that were opened in it end with it."""
        modes: Modes | None = current()
        while modes is not None and modes.block is not self:
            modes = modes.outer
        if modes is not None and modes.outer is not None:
            _modes.set(modes.outer)

    def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call `function` in the block."""
        modes = current()
        try:
            _modes.set(self._inside(modes))
            return function(*args, **kwargs)
        finally:
            _modes.set(modes)

    def __call__(self, function: F) -> F:
        kind = type(self).__name__
        if inspect.isclass(function) or not callable(function):
            raise GraphError(
                f"{kind} decorates functions and methods, not {function!r}; for a class, decorate "
                "its methods"
            )
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise GraphError(
                f"{kind} cannot decorate the asynchronous function {function.__name__}: a call of "
                f"it only prepares its run; write `with {kind}(…):` inside it"
            )
        if inspect.isgeneratorfunction(function):
            return self._decorated_generator(function)  # type: ignore[no-any-return]

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Any:
            return self.run(function, *args, **kwargs)

        return wrapped  # type: ignore[return-value]

    def _decorated_generator(self, function: Any) -> Any:
        """Return `function` so that its generators run in the block, and their callers do not."""

        @functools.wraps(function)
        def wrapped(*args: Any, **kwargs: Any) -> Generator[Any, Any, Any]:
            running = function(*args, **kwargs)
            advance, value = running.send, None
            while True:
                try:
                    result = self.run(advance, value)
                except StopIteration as end:
                    return end.value
                try:
                    advance, value = running.send, (yield result)
                except GeneratorExit:
                    self.run(running.close)
                    raise
                except BaseException as error:
                    advance, value = running.throw, error

        return wrapped


class _Flags(ModeBlock):
    """A block that switches flags; as a decorator it may be written without parentheses."""

    _on = 0
    _off = 0

    @overload
    def __new__(cls) -> Self: ...

    @overload
    def __new__(cls, function: F, /) -> F: ...  # type: ignore[misc]

    def __new__(cls, function: Any = None, /) -> Any:  # type: ignore[misc]
        return super().__new__(cls) if function is None else cls()(function)

    def _inside(self, modes: Modes) -> Modes:
        return Modes((modes.flags & ~self._off) | self._on, modes.autocast, self, modes)


class no_grad(_Flags):
    """Do not record operations: context manager (``with no_grad():``) and decorator.

    Notes
    -----
    A Ctrl-C that Python delivers just as the block ends, before the first line of ``__exit__``,
    leaves recording off, as in PyTorch: a ``with`` statement calls ``__exit__`` once. A decorated
    function has no such moment, nor has ``no_grad().run(function, …)``; the package itself uses
    these.

    Examples
    --------
    >>> import minigrad as mg
    >>> x = mg.ones(2, requires_grad=True)
    >>> with mg.no_grad():
    ...     y = x * 2
    >>> y.requires_grad
    False
    """

    _off = GRAD


class enable_grad(_Flags):
    """Record operations again inside a `no_grad` block."""

    _on = GRAD


class set_grad_enabled(_Flags):
    """Switch recording on or off from here on; ``with`` undoes it at the end of the block."""

    def __new__(cls, mode: Any) -> Self:
        if callable(mode):
            raise GraphError("set_grad_enabled decorates with a mode: @set_grad_enabled(False)")
        return super().__new__(cls)

    def __init__(self, mode: bool) -> None:
        self._on, self._off = (GRAD, 0) if mode else (0, GRAD)
        self._before = current()
        self._set = replace((self._before.flags & ~self._off) | self._on, self._before.autocast)

    def _inside(self, modes: Modes) -> Modes:
        # Outside the block, what held before the object was made.
        return super()._inside(self._before if modes is self._set else modes)

    def __call__(self, function: F) -> F:
        if current() is self._set:  # it holds in the function alone
            _modes.set(self._before)
        return super().__call__(function)


class inference_mode(_Flags):
    """`no_grad` whose results can never take part in a recorded operation later."""

    def __new__(cls, mode: Any = True) -> Any:
        return cls()(mode) if callable(mode) else super().__new__(cls)

    def __init__(self, mode: bool = True) -> None:
        self._on, self._off = (INFERENCE, GRAD) if mode else (0, INFERENCE)


class detect_anomaly(_Flags):
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

    _on = ANOMALY


def is_grad_enabled() -> bool:
    """Return True if operations of this thread are recorded."""
    return bool(current().flags & GRAD)


def is_inference_mode_enabled() -> bool:
    """Return True inside `inference_mode`."""
    return bool(current().flags & INFERENCE)
