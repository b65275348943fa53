"""A head made up for tests of segmentation, as the files of the data set ``brain``."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np

from minigrad.data.brain import FILES
from tests.data.test_segmentation_data import nifti


def write_head(folder: Path) -> Path:
    """Make a head: white inside, grey around it, fluid around that, and a little noise."""
    z, y, x = np.ogrid[-1:1:48j, -1:1:80j, -1:1:48j]
    r = np.sqrt(x * x + y * y + z * z)
    noise = np.random.default_rng(0).normal(0, 4, r.shape)
    bright = np.select([r < 0.5, r < 0.7, r < 0.9], [220, 160, 90], 0)
    maps = {
        "t1": np.where(bright, bright + noise, 0),
        "gm": np.where((r >= 0.5) & (r < 0.7), 255, 0),
        "wm": np.where(r < 0.5, 255, 0),
    }
    for name, file in FILES.items():
        (folder / file).write_bytes(gzip.compress(nifti(maps[name]), 1))
    return folder
