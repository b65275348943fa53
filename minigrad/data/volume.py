"""Volume: numbers, and where in space they lie; turned and resampled there and back."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from minigrad.data.transforms import resize
from minigrad.errors import DataError, brief

__all__ = ["Affine", "Grid", "Volume", "turn_of"]

Affine = NDArray[np.float64]

MILLIMETRES = {1: 1000.0, 3: 0.001}  # NIfTI's codes for metres and micrometres
MOST = 1 << 31  # voxels: more come from a header that is wrong


@dataclass(frozen=True)
class Volume:
    """A volume, and where in space it lies.

    Examples
    --------
    >>> affine = np.diag([1.0, 1.0, 3.0, 1.0])
    >>> volume = Volume(np.zeros((4, 4, 2)), affine, (1.0, 1.0, 3.0))
    >>> volume.array.shape, volume.spacing
    ((4, 4, 2), (1.0, 1.0, 3.0))
    """

    array: NDArray[Any]
    """The numbers."""
    affine: Affine
    """4×4: from the index of a voxel to its place, in `units` to the right, front and top."""
    spacing: tuple[float, ...]
    """Distance of neighbours along every axis (for time: seconds, as a rule)."""
    units: int = 2
    """NIfTI's code: 1 metres, 2 millimetres, 3 micrometres, 0 unknown; plus that of time."""
    code: int = 1
    """What the affine leads to, by NIfTI's code: 1 the scanner, 2 another image, 3 Talairach's
    atlas, 4 that of the MNI; 0 if the file does not say where it lies."""


class Turn(NamedTuple):
    """How axes are mirrored and put in order, so that they run to the right, front and top."""

    order: tuple[int, ...]
    mirrored: tuple[int, ...]

    def there(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return an array of the file in canonical order."""
        flipped = np.flip(array, self.mirrored)
        return flipped.transpose(*self.order, *range(len(self.order), array.ndim))

    def back(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return an array in canonical order as the file has it."""
        return np.flip(array.transpose(np.argsort(self.order)), self.mirrored)

    def volume(self, volume: Volume) -> Volume:
        """Return a whole volume in canonical order."""
        affine, spacing = volume.affine, volume.spacing
        for axis in self.mirrored:
            affine = affine @ _mirror(axis, volume.array.shape[axis])
        return replace(
            volume,
            array=self.there(volume.array),
            affine=affine[:, [*self.order, 3]],
            spacing=(*(spacing[i] for i in self.order), *spacing[3:]),
            code=volume.code or 1,  # it is no more what a reader assumes where nothing is said
        )


def turn_of(path: str | Path, volume: Volume) -> Turn:
    """Return the turn after which the axes run, as nearly as they can, right, front and up.

    Raises
    ------
    DataError
        If the volume has fewer than three axes, or its affine gives them no direction.

    Examples
    --------
    >>> affine = np.diag([-1.0, 1.0, 1.0, 1.0])
    >>> left = Volume(np.zeros((2, 3, 4)), affine, (1.0, 1.0, 1.0))
    >>> turn_of("a.nii", left)
    Turn(order=(0, 1, 2), mirrored=(0,))
    """
    affine = volume.affine
    if len(volume.spacing) < 3 or not (np.abs(affine) < 1e30).all():  # also NaN
        raise DataError(
            f"{path}: there is no canonical order of {len(volume.spacing)} axes with the affine "
            f"{affine.tolist()}"
        )
    # The rotation that is nearest to what the affine does, without distances and shears.
    columns = affine[:3, :3]
    lengths = np.linalg.norm(columns, axis=0)
    u, sizes, v = np.linalg.svd(columns / np.where(lengths == 0, 1, lengths))
    kept = sizes > 3 * sizes.max() * np.finfo(np.float64).eps
    nearest = u[:, kept] @ v[kept]
    order, mirrored = [0, 0, 0], []
    for axis in np.argsort(-(nearest**2).max(axis=0), kind="stable"):  # the clearest first
        target = int(np.abs(nearest[:, axis]).argmax())
        if np.allclose(nearest[:, axis], 0):
            raise DataError(f"{path}: axis {axis} goes nowhere by the affine {affine.tolist()}")
        order[target] = int(axis)
        if nearest[target, axis] < 0:
            mirrored.append(int(axis))
        nearest[target] = 0
    return Turn(tuple(order), tuple(mirrored))


class Grid:
    """The way from a file's voxels to those that a model works on, and back.

    The model's axes run to the right, front and top, and its voxels have sides of `spacing`
    millimetres, as nearly as a whole number of them fills the same box.

    Parameters
    ----------
    path : path
        The file, for messages.
    volume : Volume
        What it holds; three axes.
    spacing : sequence of float
        Sides of the model's voxels, in millimetres; an empty one leaves voxels and axes alone.

    Raises
    ------
    DataError
        If it has other than three axes, or they have no direction or no distances.

    Examples
    --------
    >>> affine = np.diag([-1.0, 1.0, 3.0, 1.0])
    >>> volume = Volume(np.ones((4, 6, 2)), affine, (1.0, 1.0, 3.0))
    >>> grid = Grid("a.nii", volume, (2, 2, 2))
    >>> grid.there().shape, grid.back(np.ones((5, 2, 3, 3), np.float32)).shape
    ((2, 3, 3), (4, 6, 2))
    """

    def __init__(self, path: str | Path, volume: Volume, spacing: Sequence[float] = ()) -> None:
        if volume.array.ndim != 3 or not volume.array.size:
            raise DataError(
                f"{path}: expected a volume (D, H, W), found {brief(volume.array.shape)}"
            )
        self.volume, self.turn = volume, Turn((0, 1, 2), ())
        self.size: tuple[int, ...] = volume.array.shape
        if not spacing:
            return
        self.turn = turn_of(path, volume)
        turned, unit = self.turn.volume(volume), MILLIMETRES.get(volume.units & 7, 1.0)
        sides = [own * unit / side for own, side in zip(turned.spacing, spacing, strict=True)]
        shape = turned.array.shape
        if not all(0.5 <= n * side < math.inf for n, side in zip(shape, sides, strict=True)):
            raise DataError(
                f"{path}: {brief(volume.array.shape)} voxels with the sides {volume.spacing} "
                f"cannot be brought to those of {brief(tuple(spacing))} mm that the model works "
                "on; look at distances and units in the header"
            )
        self.size = tuple(max(1, round(n * k)) for n, k in zip(shape, sides, strict=True))
        if math.prod(self.size) > MOST:
            raise DataError(
                f"{path}: voxels with the sides {volume.spacing} would become {brief(self.size)} "
                f"of the {brief(tuple(spacing))} mm that the model works on; look at the header"
            )

    def there(self) -> NDArray[np.float32]:
        """Return the volume as the model works on it: means where it shrinks, else interpolated."""
        seen = np.ascontiguousarray(self.turn.there(self.volume.array), np.float32)
        return seen if self.size == seen.shape else resize(seen[None], self.size)[0]

    def back(self, chances: NDArray[Any]) -> NDArray[np.int64]:
        """Return the most probable class of every voxel of the file, (K, *size) interpolated."""
        shape = tuple(self.volume.array.shape[axis] for axis in self.turn.order)
        if self.size == shape:
            return self.turn.back(chances.argmax(0))
        best, mask = np.full(shape, -np.inf, np.float32), np.zeros(shape, np.int64)
        for number, plane in enumerate(chances):  # one class at a time: the file may be large
            chance = resize(plane[None], shape)[0]
            mask[chance > best] = number
            np.maximum(best, chance, out=best)
        return self.turn.back(mask)


def _mirror(axis: int, length: int) -> Affine:
    matrix = np.eye(4)
    matrix[axis, axis], matrix[axis, 3] = -1, length - 1
    return matrix
