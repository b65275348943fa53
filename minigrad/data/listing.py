"""Which files a part of a data set is made of."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from minigrad.data.dataset import Dataset, Subset
from minigrad.data.folder import ImageFolder
from minigrad.data.kept import Kept
from minigrad.data.table import PictureTable

__all__ = ["samples_of"]


def samples_of(dataset: Dataset) -> list[tuple[Path, Any]]:
    """Return the files of a part of a folder, with their targets, without reading any."""
    if isinstance(dataset, Kept):
        return samples_of(dataset.dataset)
    if isinstance(dataset, Subset):
        samples = samples_of(dataset.dataset)
        return [samples[i] for i in dataset.indices.tolist()]
    assert isinstance(dataset, ImageFolder | PictureTable)
    return dataset.samples
