"""A naming: how a library calls the weights of a ConvNeXt, as a table that is read both ways.

A row has our key, the library's key and, where it differs, the layout. Keys are patterns:

- ``{i}`` is a number that both sides share, ``{2i+1}`` the number that follows from it, and
  ``{_i}`` is written ``_3``, but not at all where it is 0;
- ``{b}`` is a block's number counted through all stages, ``{B}`` the number of all blocks;
- ``{name}`` is what the model is called; ``*`` is any last part, such as ``weight``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minigrad.errors import OptionError
from minigrad.models.weights.layout import Layout

__all__ = ["Naming", "Row"]

Arrays = dict[str, NDArray[Any]]
Fields = dict[str, Any]

_FIELD = re.compile(r"\{(_?)(\d*)([a-zA-Z]+)([+-]\d+)?\}|\*")
_BLOCK = re.compile(r"stages\.(\d+)\.(\d+)\.")
SHOWN = 4  # keys listed in a message


class _Field(NamedTuple):
    """The number ``factor · letter + offset``, or a word."""

    letter: str
    factor: int
    offset: int
    underscored: bool

    @property
    def is_word(self) -> bool:
        return len(self.letter) > 1

    @property
    def pattern(self) -> str:
        if self.is_word:
            return r"([^./]+)" if self.letter == "leaf" else r"([^/]+?)"
        return r"((?:_[1-9]\d{0,5})?)" if self.underscored else r"(\d{1,6})"

    def read(self, text: str) -> Any:
        """Return the letter's value, or None if no value is written so."""
        if self.is_word:
            return text
        value, rest = divmod(int(text.lstrip("_") or 0) - self.offset, self.factor)
        return None if rest or value < 0 else value

    def write(self, value: Any) -> str:
        if self.is_word:
            return str(value)
        number = self.factor * value + self.offset
        return (f"_{number}" if number else "") if self.underscored else str(number)


class Pattern:
    """A key with fields.

    Examples
    --------
    >>> Pattern("features.{2i+1}.{j}.block.0.*").read("features.3.2.block.0.bias")
    {'i': 1, 'j': 2, 'leaf': 'bias'}
    >>> Pattern("stages.{i}.{j}.dwconv.*").write({"i": 1, "j": 2, "leaf": "bias"})
    'stages.1.2.dwconv.bias'
    """

    def __init__(self, text: str) -> None:
        self._texts, self._fields, end = [], [], 0
        for found in _FIELD.finditer(text):
            underscore, factor, letter, offset = found.groups()
            self._texts.append(text[end : found.start()])
            self._fields.append(
                _Field(letter or "leaf", int(factor or 1), int(offset or 0), bool(underscore))
            )
            end = found.end()
        self._texts.append(text[end:])
        groups = [f.pattern for f in self._fields] + [""]
        self._regex = re.compile(
            "".join(re.escape(t) + g for t, g in zip(self._texts, groups, strict=True))
        )

    def read(self, key: str) -> Fields | None:
        """Return the values of the fields, or None if the key is another one."""
        match = self._regex.fullmatch(key)
        if match is None:
            return None
        fields: Fields = {}
        for each, text in zip(self._fields, match.groups(), strict=True):
            value = each.read(text)
            if value is None or fields.setdefault(each.letter, value) != value:
                return None
        return fields

    def write(self, fields: Fields) -> str:
        """Return the key with these values."""
        written = [each.write(fields[each.letter]) for each in self._fields] + [""]
        return "".join(t + w for t, w in zip(self._texts, written, strict=True))


class Row:
    """One line of a table: our key, theirs, and the layout of the array.

    Parameters
    ----------
    ours, theirs : str
        Patterns. Without `ours`, what stands there belongs to no model of ours; without `theirs`
        it is left out there because it is zero.
    layout : str, default ""
        See `Layout`; empty where it is ours.
    written : bool, default True
        Whether the row serves to write too, or only reads what others have written.
    """

    def __init__(self, ours: str, theirs: str, layout: str = "", *, written: bool = True) -> None:
        self.ours, self.theirs, self.layout = ours, theirs, Layout(layout)
        self.written = written

    @cached_property  # read when it is needed: there are hundreds of them
    def from_ours(self) -> Pattern:
        """The pattern of our key."""
        return Pattern(self.ours)

    @cached_property
    def to_theirs(self) -> Pattern:
        """The pattern of their key."""
        return Pattern(self.theirs)


@dataclass(frozen=True)
class Naming:
    """All rows of a library.

    Parameters
    ----------
    name : str
        What `export_state_dict` calls it. Two tables of one name are two dialects; the first that
        has a row for every key of the model is taken.
    rows : tuple of Row
        The first that fits a key counts.
    tail : int, optional
        How many of the last parts of a path are looked at, where the first ones vary.
    path : callable, optional
        Gives the whole path where the rows have its last parts.
    order : callable, optional
        What to sort paths by, where it matters in which order weights are written.
    licence : str, optional
        Of all weights that are published under these names.
    eps : float, optional
        Of the final norm, where the library's own default is another one than ours.
    constants : mapping of str to array
        What stands in every file beside the weights.
    """

    name: str
    rows: tuple[Row, ...]
    tail: int | None = None
    path: Callable[[str], str] = str
    order: Callable[[str], Any] | None = None
    licence: str | None = None
    eps: float | None = None
    constants: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def _tail(self, path: str) -> str:
        if self.tail is None:
            return path
        return "/".join(path.removesuffix(":0").split("/")[-self.tail :])

    def find(self, key: str, array: NDArray[Any], blocks: int) -> tuple[Row, Fields] | None:
        """Return the row of one of their keys, and the values of its fields."""
        key = self._tail(key)
        for row in self.rows:
            fields = row.to_theirs.read(key) if row.theirs else None
            if fields is None or not row.layout.fits(array):
                continue
            if fields.get("B", blocks) == blocks and (
                "i" in fields or fields.get("b", -1) < blocks
            ):
                return row, fields
        return None

    def blocks(self, theirs: Iterable[str]) -> int:
        """Return how many depthwise kernels there are among their keys: the blocks."""
        kernels = [row.to_theirs for row in self.rows if _is_kernel(row)]
        return sum(any(k.read(self._tail(key)) for k in kernels) for key in theirs)

    def to_ours(self, theirs: Mapping[str, NDArray[Any]]) -> tuple[Arrays, list[str]]:
        """Return the weights under our names, and the keys that the table does not know."""
        blocks = self.blocks(theirs)
        found: list[tuple[Row, Fields, NDArray[Any]]] = []
        unknown = []
        for key, array in theirs.items():
            match = self.find(key, array, blocks)
            if match is None:
                unknown.append(key)
            elif match[0].ours:
                found.append((*match, match[0].layout.to_ours(array)))
        places = _places(found, blocks)
        ours: Arrays = {}
        for row, fields, array in found:
            if "b" in fields and "i" not in fields:
                fields = fields | dict(zip("ij", places[fields["b"]], strict=True))
            ours.setdefault(row.from_ours.write(fields), array)
        for row in self.rows:
            weight = ours.get(row.ours.removesuffix("bias") + "weight")
            if not row.theirs and weight is not None and row.ours not in ours:
                ours[row.ours] = np.zeros(len(weight), weight.dtype)
        return ours, unknown

    def unwritable(self, ours: Iterable[str]) -> list[str]:
        """Return those of our keys that the table has no row for."""
        return [key for key in ours if not self._written(key)]

    def _written(self, key: str) -> list[Row]:
        """Return the rows that say where a key of ours stands: one, or several of one `ours`."""
        fits = [r for r in self.rows if r.written and r.ours and r.from_ours.read(key) is not None]
        return [row for row in fits if row.ours == fits[0].ours]

    def to_theirs(self, ours: Mapping[str, NDArray[Any]], name: str = "convnext") -> Arrays:
        """Return the weights under their names.

        Raises
        ------
        OptionError
            If they have no name for one of ours, or no place for a bias that is not zero.
        """
        depths: dict[int, int] = {}
        for key in ours:
            if at := _BLOCK.match(key):
                i, j = int(at[1]), int(at[2])
                depths[i] = max(depths.get(i, 0), j + 1)
        theirs: Arrays = {}
        missing = self.unwritable(ours)
        if missing:
            raise OptionError(
                f"the naming {self.name!r} has no name for {_listed(missing)}; such a model does "
                "not exist there: choose another naming"
            )
        for key, array in ours.items():
            for row in self._written(key):
                fields = row.from_ours.read(key) or {}
                if row.theirs:
                    total = {"B": sum(depths.values()), "name": name}
                    if "i" in fields:
                        before = sum(n for stage, n in depths.items() if stage < fields["i"])
                        total["b"] = before + fields.get("j", 0)
                    target = self.path(row.to_theirs.write(total | fields))
                    theirs[target] = row.layout.to_theirs(array)
                elif np.any(array):
                    raise OptionError(
                        f"the naming {self.name!r} has no {key}, which must be zero then; it is not"
                    )
        if self.order is not None:
            theirs = {key: theirs[key] for key in sorted(theirs, key=self.order)}
        return theirs | dict(self.constants)


def _is_kernel(row: Row) -> bool:
    return row.ours.endswith(".dwconv.weight")


def _places(
    found: Iterable[tuple[Row, Fields, NDArray[Any]]], blocks: int
) -> list[tuple[int, int]]:
    """Return stage and position of every block, where only a running number is known.

    Another stage begins where the width changes.
    """
    widths = {
        fields["b"]: len(array)
        for row, fields, array in found
        if _is_kernel(row) and "i" not in fields and "b" in fields
    }
    places: list[tuple[int, int]] = []
    for b in range(blocks):
        if b and widths.get(b) == widths.get(b - 1):
            i, j = places[-1]
            places.append((i, j + 1))
        else:
            places.append((places[-1][0] + 1 if places else 0, 0))
    return places


def _listed(keys: list[str]) -> str:
    more = f" and {len(keys) - SHOWN} more" if len(keys) > SHOWN else ""
    return ", ".join(keys[:SHOWN]) + more
