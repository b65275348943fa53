"""Thread-local switches: grad mode, inference mode, anomaly mode, autocast.

The first three live in one integer per thread, so that an operation reads its whole mode with a
single attribute lookup. Autocast is an object beside it, None where it is off: only the operations
that have a rule (`minigrad.ops.precision`) look at it.
"""

from __future__ import annotations

import functools
import inspect
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

from minigrad import dtypes
from minigrad.errors import DTypeError, GraphError, unknown

__all__ = [
    "ANOMALY",
    "GRAD",
    "INFERENCE",
    "Casting",
    "autocast",
    "detect_anomaly",
    "enable_grad",
    "get_autocast_dtype",
    "inference_mode",
    "is_autocast_enabled",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "no_grad",
    "set_grad_enabled",
]

GRAD = 1
INFERENCE = 2
ANOMALY = 4

F = TypeVar("F", bound=Callable[..., object])


class Casting:
    """What autocast does in a region.

    Parameters
    ----------
    dtypes : dict
        The half precision of every device type for which autocast is on.
    caching : bool
        Whether a parameter is cast once per region.
    """

    __slots__ = ("cache", "dtypes")

    def __init__(self, dtypes: dict[str, dtypes.DType], caching: bool) -> None:
        self.dtypes = dtypes
        self.cache: dict[Any, Any] | None = {} if caching else None

    def again(self) -> Casting:
        """Return the same with an empty cache."""
        return Casting(self.dtypes, self.cache is not None)


class _State(threading.local):
    flags = GRAD
    autocast: Casting | None = None
    tape: Any = None  # the CUDA graph that is being captured (`minigrad.train.graph`)


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
        return _decorated(function, type(self).__name__, lambda: _Mode(on, off))


def _decorated(function: F, name: str, make: Callable[[], Any]) -> F:
    """Return `function` so that every call of it runs in a mode of its own."""
    if inspect.isgeneratorfunction(function):
        raise GraphError(
            f"{name} cannot decorate the generator {function.__name__}: it runs piece by piece, in "
            "the mode of its caller; use `with` inside it, around what should run in the mode and "
            "not around a yield"
        )

    @functools.wraps(function)
    def wrapped(*args: object, **kwargs: object) -> object:
        with make():
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


# ---- mixed precision ------------------------------------------------------------------------

_DEVICE_TYPES = ("cpu", "cuda")


class autocast:
    """Run matrix products and convolutions in half precision, and what needs it in float32.

    A context manager and a decorator, PyTorch's ``torch.autocast``; it holds for this thread. Which
    operation is run in which precision stands in `minigrad.ops.precision`, for all devices alike.
    Parameters stay what they are: an operation casts its operands, and their gradients arrive in
    the dtype of the parameters. Run the forward pass and the loss in it, and `backward` outside.

    Parameters
    ----------
    device_type : {"cuda", "cpu"}
        Tensors of this device are cast.
    dtype : dtype, optional
        float16 or bfloat16; default: float16 for "cuda" and bfloat16 for "cpu".
    enabled : bool, default True
        If False, switch autocast off inside: a region of full precision in one of half precision.
    cache_enabled : bool, default True
        Cast a parameter once per (outermost) region.

    Raises
    ------
    OptionError
        If the device type is another.
    DTypeError
        If `dtype` is no half precision, or bfloat16 is not installed.

    Examples
    --------
    >>> import minigrad as mg
    >>> layer = mg.nn.Linear(3, 2)
    >>> with mg.autocast("cpu", dtype=mg.float16):
    ...     y = layer(mg.ones(1, 3))
    ...     p = mg.softmax(y, 1)
    >>> y.dtype, p.dtype
    (dtype('float16'), dtype('float32'))
    >>> p.sum().backward()
    >>> layer.weight.grad.dtype
    dtype('float32')
    """

    def __init__(
        self,
        device_type: str,
        dtype: Any = None,
        enabled: bool = True,
        cache_enabled: bool | None = None,
    ) -> None:
        if device_type not in _DEVICE_TYPES:
            raise unknown("autocast device type", str(device_type), _DEVICE_TYPES)
        if enabled:
            dtype = "bfloat16" if dtype is None and device_type == "cpu" else dtype
            dtype = dtypes.float16 if dtype is None else dtypes.to_dtype(dtype)
            if not dtypes.is_floating(dtype) or dtype.itemsize != 2:
                raise DTypeError(
                    f"autocast: dtype must be float16 or bfloat16, not {dtype}; for full precision "
                    "pass enabled=False"
                )
        self.device_type, self.dtype, self.enabled = device_type, dtype, bool(enabled)
        self.cache_enabled = cache_enabled is None or bool(cache_enabled)
        self._previous: list[Casting | None] = []

    def __enter__(self) -> autocast:
        outer = state.autocast
        self._previous.append(outer)
        known = {} if outer is None else outer.dtypes
        mine = {k: v for k, v in known.items() if k != self.device_type}
        if self.enabled:
            mine[self.device_type] = self.dtype
        casting = Casting(mine, self.cache_enabled)
        if outer is not None and outer.cache is not None and self.cache_enabled:
            casting.cache = outer.cache  # it lives as long as the outermost region
        state.autocast = casting
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        state.autocast = self._previous.pop()

    def __call__(self, function: F) -> F:
        options = self.device_type, self.dtype, self.enabled, self.cache_enabled
        return _decorated(function, "autocast", lambda: autocast(*options))


class autocast_off:
    """A region without autocast on any device: the backward pass, whose dtypes are decided."""

    def __enter__(self) -> None:
        self._previous, state.autocast = state.autocast, None

    def __exit__(self, *error: object) -> None:
        state.autocast = self._previous


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Return True inside `autocast` for this device type."""
    return state.autocast is not None and device_type in state.autocast.dtypes


def get_autocast_dtype(device_type: str) -> dtypes.DType:
    """Return the half precision of `autocast` for this device type, or its default outside."""
    if state.autocast is not None and device_type in state.autocast.dtypes:
        return state.autocast.dtypes[device_type]
    if device_type not in _DEVICE_TYPES:
        raise unknown("autocast device type", str(device_type), _DEVICE_TYPES)
    return dtypes.float16 if device_type == "cuda" else dtypes.bfloat16()
