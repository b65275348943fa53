"""A brain and its tissues: the average of 152 heads, imaged by magnetic resonance.

Source: V. Fonov et al., "Unbiased nonlinear average age-appropriate brain templates from birth to
adulthood", NeuroImage 47, 2009: the template ICBM 152 (2009a, symmetric, non-linear) with maps of
the probability of grey and of white matter. Copyright 1993-2009 L. Collins, McConnell Brain
Imaging Centre, McGill University; free to use, copy, change and redistribute. The package nilearn
has it.
"""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.data.dataset import Image
from minigrad.data.download import data_home
from minigrad.data.nifti import read_nifti
from minigrad.data.source import ImageSpec, Source, Split
from minigrad.errors import DataError, OptionError, RangeError
from minigrad.files import to_path

__all__ = ["BrainTissue", "find_brain"]

FILES = {
    name: f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz" for name in ("t1", "gm", "wm")
}
SPLIT = 0.62  # of the way from the back of the head to the front: where training ends
GAP = 4  # voxels between the parts, which belong to neither


class BrainTissue:
    """Cubes of a brain image, and the tissue of every voxel.

    The back of the head is for training: cube `i` is cut at a place, mirrored or not and given
    noise as ``(seed, i)`` decide. The front is held out, as one volume: the template is the same on
    its left and right, so halves of it would show the model its test.

    Parameters
    ----------
    train : bool, default True
        Cubes of the back, or the front.
    count : int, default 256
        Cubes for training.
    size : int, default 32
        Side of the cubes, in voxels of 2 mm.
    noise : float, default 0.03
        Standard deviation of what is added to training cubes, whose values reach from 0 to 1.
    seed : int, default 0
        Decides the cubes.
    root : path, optional
        Folder with the three files; by default ``$MINIGRAD_DATA/brain``, else where nilearn is
        installed.

    Attributes
    ----------
    classes : tuple of str
        "outside", "fluid", "grey" and "white".

    Raises
    ------
    DataError
        If the files are missing (the message says how to get them), or damaged.
    """

    classes = ("outside", "fluid", "grey", "white")

    def __init__(
        self,
        train: bool = True,
        count: int = 256,
        size: int = 32,
        noise: float = 0.03,
        seed: int = 0,
        root: str | Path | None = None,
    ) -> None:
        if count < 1 or noise < 0:
            raise OptionError(f"BrainTissue: count ≥ 1 and noise ≥ 0, got {count} and {noise}")
        folder = find_brain(root)
        if folder is None:
            raise DataError(
                "the brain maps are not on this machine (looked in "
                f"{', '.join(map(str, _places(root)))}); get them with 'pip install --no-deps "
                "nilearn', or put its files mni_icbm152_*.nii.gz into the first of these"
            )
        volumes = {name: read_nifti(folder / file) for name, file in FILES.items()}
        shapes = {volume.shape for volume in volumes.values()}
        if len(shapes) > 1:
            raise DataError(f"{folder}: the three maps differ in shape: {sorted(shapes)}")
        image, mask = _halved(volumes)
        end = round(image.shape[1] * SPLIT)
        part = slice(0, end) if train else slice(end + GAP, None)
        self.image, self.mask = image[:, part], mask[:, part]
        if train and size > min(self.image.shape):
            raise OptionError(
                f"BrainTissue: cubes of {size} do not fit into the training part {self.image.shape}"
            )
        self.train, self.count, self.size = train, count if train else 1, size
        self.noise, self.seed = noise, seed

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int, /) -> tuple[Image, NDArray[np.int64]]:
        if not 0 <= index < self.count:
            raise RangeError(f"BrainTissue: cube {index} of {self.count}")
        if not self.train:
            return self.image[None], self.mask
        rng = np.random.default_rng([self.seed, index])
        start = [int(rng.integers(0, n - self.size + 1)) for n in self.image.shape]
        cube = tuple(slice(s, s + self.size) for s in start)
        image, mask = self.image[cube], self.mask[cube]
        if rng.random() < 0.5:
            image, mask = image[::-1], mask[::-1]
        noise = rng.standard_normal(image.shape, np.float32) * np.float32(self.noise)
        return (image + noise)[None], np.ascontiguousarray(mask)

    def __repr__(self) -> str:
        part = f"{self.count} training cubes" if self.train else "the held-out volume"
        return f"BrainTissue({part} of {self.image.shape})"


def find_brain(root: str | Path | None = None) -> Path | None:
    """Return the first folder that holds all three files, or None."""
    for folder in _places(root):
        if all(os.path.isfile(folder / file) for file in FILES.values()):
            return folder
    return None


def _places(root: str | Path | None) -> list[Path]:
    if root is not None:
        return [to_path(root)]
    places = [data_home() / "brain"]
    found = importlib.util.find_spec("nilearn")  # found, not imported: its files are enough
    if found is not None and found.origin is not None:
        places.append(Path(found.origin).parent / "datasets" / "data")
    return places


def _halved(volumes: dict[str, NDArray[Any]]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return image and tissue at 2 mm: means of 2×2×2 voxels, and the tissue of most of them."""
    t1, grey, white = (_means(volumes[name]) for name in FILES)
    inside = t1 > 0.1 * t1.max()
    rest = np.maximum(255 - grey - white, 0)
    tissue = np.stack([rest, grey, white]).argmax(0) + 1
    return t1 / t1.max(), np.where(inside, tissue, 0).astype(np.int64)


def _means(volume: NDArray[Any]) -> NDArray[np.float32]:
    even = volume[tuple(slice(0, n // 2 * 2) for n in volume.shape)].astype(np.float32)
    a, b, c = (n // 2 for n in even.shape)
    return np.asarray(even.reshape(a, 2, b, 2, c, 2).mean((1, 3, 5)), np.float32)


def _split(
    download: bool, root: str | None = None, size: int = 32, count: int = 256, seed: int = 0
) -> Split:
    cubes = BrainTissue(size=size, seed=seed, root=root, count=count)
    spec = ImageSpec(BrainTissue.classes, 1, size, (0.2,), (0.3,), 3, spacing=(2.0,) * 3)
    return Split(cubes, BrainTissue(False, root=root), spec)


SOURCE = Source(
    "brain",
    "the mean of 152 heads at 2 mm, whose every voxel is fluid, grey, white or outside",
    "free, McGill University (Fonov et al. 2009)",
    find_brain,
    _split,
    "pip install --no-deps nilearn",
    masks=True,
)
