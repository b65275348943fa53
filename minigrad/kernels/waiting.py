"""Who is told that a kernel is being compiled: one waits for it the first time."""

from __future__ import annotations

from collections.abc import Callable

__all__ = ["listeners"]

listeners: list[Callable[[str], None]] = []  # each is given the kernel's name; there may be none
