"""The pictures of the benchmark: how many of which kind, and the same from the same seed."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.pictures import KINDS, SIDE, draw
from minigrad.data import ImageFolder


@pytest.mark.needs("PIL")
def test_shapes_are_drawn_alike_from_a_seed(tmp_path: Path) -> None:
    folders = [ImageFolder(draw(tmp_path / str(i), 6, seed)) for i, seed in enumerate((0, 0, 1))]
    one, same, other = ([picture for picture, _ in folder] for folder in folders)
    assert folders[0].classes == KINDS
    assert [label for _, label in folders[0]] == [0, 0, 1, 1, 2, 2]
    assert all(picture.shape == (3, SIDE, SIDE) for picture in one)
    assert all((a == b).all() for a, b in zip(one, same, strict=True))
    assert not any((a == b).all() for a, b in zip(one, other, strict=True))
