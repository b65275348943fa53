"""The precisions that a run can have."""

from __future__ import annotations

from minigrad.amp import autocast
from minigrad.backend import Device
from minigrad.errors import unknown

__all__ = ["PRECISIONS", "in_precision"]

PRECISIONS = ("float32", "bfloat16", "float16")


def in_precision(name: str, device: str) -> autocast:
    """Return the block in which a model on `device` runs in a precision.

    Raises
    ------
    OptionError
        If there is no such precision or device.
    DTypeError
        If it is bfloat16, which is not installed.

    Examples
    --------
    >>> import minigrad as mg
    >>> with in_precision("float16", "cpu"):
    ...     (mg.ones(1, 2) @ mg.ones(2, 1)).dtype
    dtype('float16')
    """
    if name not in PRECISIONS:
        raise unknown("precision", name, PRECISIONS)
    half = name != "float32"
    return autocast(Device(device).type, name if half else None, enabled=half)
