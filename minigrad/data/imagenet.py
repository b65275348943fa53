"""The names of ImageNet-1k's classes."""

from __future__ import annotations

from functools import cache
from pathlib import Path

__all__ = ["imagenet_classes"]


@cache
def imagenet_classes() -> tuple[str, ...]:
    """Return the names of the 1,000 classes, in the order that all published weights have.

    Examples
    --------
    >>> names = imagenet_classes()
    >>> len(names), names[0], names[281]
    (1000, 'tench', 'tabby')
    """
    return tuple(Path(__file__).with_name("imagenet.txt").read_text("utf-8").splitlines())
