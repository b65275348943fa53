"""Turn the size arguments of layers, one number or one per axis, into tuples."""

from __future__ import annotations

from typing import Any

from minigrad.errors import OptionError

Size = int | tuple[int, ...]


def per_axis(layer: str, name: str, value: Any, dims: int, least: int = 1) -> tuple[int, ...]:
    """Return `value` as a tuple of `dims` integers, each at least `least`."""
    sizes = (value,) * dims if isinstance(value, int) else tuple(value)
    if len(sizes) != dims or any(not isinstance(n, int) or n < least for n in sizes):
        raise OptionError(
            f"{layer}: {name} must be an integer ≥ {least} or {dims} of them, got {value!r}"
        )
    return sizes


def check_lengths(layer: str, **lengths: int) -> None:
    """Refuse lengths that are not integers of at least 0, by the name of the argument."""
    for name, n in lengths.items():
        if isinstance(n, bool) or not isinstance(n, int) or n < 0:
            raise OptionError(f"{layer}: {name} must be an integer ≥ 0, got {n!r}")
