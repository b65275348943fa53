"""How one library lays out an array that another library has too.

A layout names the axes on both sides of an equals sign: ``o i * = * i o`` says that what we keep
as out, in and the spatial axes has the spatial axes first there, then in and out. A ``1`` is an
axis of that length, ``*`` stands for any number of axes, and ``(w h)`` for two of equal length that
are one there. What stands on one side only has length 1.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Layout"]

STAR = 3  # axes of length 1 that a ``*`` becomes which the other side lacks: those of an image


@dataclass(frozen=True)
class Layout:
    """A pair of axis orders; the empty text is "as ours".

    Examples
    --------
    >>> dense = Layout("o i = i o")
    >>> dense.to_ours(np.zeros((3, 8))).shape
    (8, 3)
    >>> Layout("o i h w = (w h) i o").to_theirs(np.zeros((8, 3, 2, 2))).shape
    (4, 3, 8)
    """

    text: str = ""

    @cached_property
    def sides(self) -> tuple[list[str], list[str]]:
        """The axes of ours and of theirs."""
        ours, theirs = (re.findall(r"\(.*?\)|\S+", side) for side in self.text.split("="))
        return ours, theirs

    def fits(self, array: NDArray[Any]) -> bool:
        """Return whether an array of theirs can have this layout."""
        return not self.text or _fits(array.shape, self.sides[1])

    def to_ours(self, array: NDArray[Any]) -> NDArray[Any]:
        """Lay an array of theirs out as ours; a view of it where that can be."""
        return array if not self.text else _convert(array, *reversed(self.sides))

    def to_theirs(self, array: NDArray[Any]) -> NDArray[Any]:
        """Lay an array of ours out as theirs, in order of C."""
        return array if not self.text else np.ascontiguousarray(_convert(array, *self.sides))


def _fits(shape: tuple[int, ...], axes: list[str]) -> bool:
    if len(shape) < len(axes) if "*" in axes else len(shape) != len(axes):
        return False
    return all(
        n == 1 if axis == "1" else axis[0] != "(" or math.isqrt(n) ** 2 == n
        for axis, n in _pairs(shape, axes)
    )


def _pairs(shape: tuple[int, ...], axes: list[str]) -> list[tuple[str, int]]:
    """Return each axis with its length; those under a star are numbered."""
    extra = len(shape) - len(axes) + 1
    names = [n for a in axes for n in ([f"*{i}" for i in range(extra)] if a == "*" else [a])]
    return list(zip(names, shape, strict=True))


def _convert(array: NDArray[Any], source: list[str], target: list[str]) -> NDArray[Any]:
    """Split merged axes, order all that are named, and put merged ones and ones in."""
    lengths: dict[str, int] = {}
    for axis, n in _pairs(array.shape, source):
        inner = axis.strip("()").split()
        lengths |= {a: n if len(inner) == 1 else math.isqrt(n) for a in inner if a != "1"}
    stars = [name for name in lengths if name.startswith("*")]
    wanted = [a for t in target for a in (stars if t == "*" else t.strip("()").split())]
    order = [list(lengths).index(a) for a in wanted if a in lengths]
    order += [i for i in range(len(lengths)) if i not in order]  # theirs alone, of length 1
    shape = []
    for t in target:
        if t == "*":
            shape += [lengths[s] for s in stars] if "*" in source else [1] * STAR
        else:
            shape.append(math.prod(lengths.get(a, 1) for a in t.strip("()").split()))
    atoms = array.reshape(tuple(lengths.values()))
    return atoms.transpose(order).reshape(shape)
