"""Autocast: the region of a program in which operations run in half precision."""

from __future__ import annotations

from typing import Any

from minigrad import dtypes
from minigrad.errors import DTypeError, unknown
from minigrad.modes import ModeBlock, Modes, current

__all__ = ["Casting", "autocast", "get_autocast_dtype", "is_autocast_enabled", "using"]

_DEVICE_TYPES = ("cpu", "cuda")


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


class autocast(ModeBlock):
    """Run matrix products and convolutions in half precision, and what needs it in float32.

    A context manager and a decorator, PyTorch's ``torch.autocast``; it holds for this thread. Which
    operation runs in which precision is listed in `minigrad.ops.precision`, for all devices alike.
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
        If `dtype` is not half precision, or bfloat16 is not installed.

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

    def _inside(self, modes: Modes) -> Modes:
        outer = modes.autocast
        known = {} if outer is None else outer.dtypes
        mine = {k: v for k, v in known.items() if k != self.device_type}
        if self.enabled:
            mine[self.device_type] = self.dtype
        casting = Casting(mine, self.cache_enabled)
        if outer is not None and outer.cache is not None and self.cache_enabled:
            casting.cache = outer.cache  # it lives as long as the outermost region
        return Modes(modes.flags, casting, self, modes)


class using(ModeBlock):
    """A block in which autocast is `casting`, whatever it was."""

    def __init__(self, casting: Casting | None) -> None:
        self.casting = casting

    def _inside(self, modes: Modes) -> Modes:
        return Modes(modes.flags, self.casting, self, modes)


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """Return True inside `autocast` for this device type."""
    casting = current().autocast
    return casting is not None and device_type in casting.dtypes


def get_autocast_dtype(device_type: str) -> dtypes.DType:
    """Return the half precision of `autocast` for this device type, or its default outside."""
    casting = current().autocast
    if casting is not None and device_type in casting.dtypes:
        return casting.dtypes[device_type]
    if device_type not in _DEVICE_TYPES:
        raise unknown("autocast device type", str(device_type), _DEVICE_TYPES)
    return dtypes.float16 if device_type == "cuda" else dtypes.bfloat16()
