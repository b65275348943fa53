"""The size arguments of layers."""

from __future__ import annotations

from minigrad.errors import OptionError

Size = int | tuple[int, ...]


def check_lengths(layer: str, **lengths: int) -> None:
    """Refuse lengths that are not integers of at least 0, by the name of the argument."""
    for name, n in lengths.items():
        if isinstance(n, bool) or not isinstance(n, int) or n < 0:
            raise OptionError(f"{layer}: {name} must be an integer ≥ 0, got {n!r}")
