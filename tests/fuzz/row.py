"""A row of the table: a format, how files of it are made and changed, and what is right."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.fuzz.mutate import mutate_bytes

__all__ = ["Change", "Format", "rng", "written"]

Change = Callable[[bytes, random.Random], bytes]


@dataclass
class Format:
    """A row of the table.

    Attributes
    ----------
    name : str
        Of the format and what is read from it.
    suffix : str
        Of the file.
    seeds : callable
        Returns valid files.
    read : callable
        The reader: path to value.
    right : callable
        Whether a value is what stands in the file: (path, value) to bool, by another way of reading
        or by writing it again.
    changes : sequence of callable
        Changes that know the format, made beside those of bytes; what wraps the content with a
        checksum needs one, or no change would come through.
    needs : str
        A package without which there is no such row.
    """

    name: str
    suffix: str
    seeds: Callable[[], list[bytes]]
    read: Callable[[Path], Any]
    right: Callable[[Path, Any], bool]
    changes: Sequence[Change] = field(default_factory=tuple)
    needs: str = "numpy"

    def mutant(self, files: Sequence[bytes], number: int) -> bytes:
        """Return the wrong file of this number, the same one every time."""
        rng = random.Random(f"{self.name} {number}")
        content = rng.choice(files)
        if self.changes and rng.random() < 0.6:
            return rng.choice(self.changes)(content, rng)
        return mutate_bytes(content, rng, rng.choice(files))


def written(write: Callable[[Path], object], name: str = "seed") -> bytes:
    """Return what a function writes to the path that it is given."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder, name))
        return Path(folder, name).read_bytes()


def rng() -> np.random.Generator:
    return np.random.default_rng(0)
