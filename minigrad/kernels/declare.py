"""What a kernel says of itself, beside its definition; `pick` asks, and so may who calls it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["declare"]

F = TypeVar("F", bound=Callable[..., Any])


def declare(**facts: Any) -> Callable[[F], F]:
    """Record facts as attributes of a kernel.

    Parameters
    ----------
    **facts
        ``takes``, called with the arguments: whether the kernel can treat them. ``failures``,
        exceptions after which another version can. ``keeps``: whether it keeps what its gradient
        needs. ``mixes``: the two-byte types that it takes beside parameters in float32. ``others``:
        further versions, which are asked after it.
    """

    def note(kernel: F) -> F:
        vars(kernel).update(facts)
        return kernel

    return note
