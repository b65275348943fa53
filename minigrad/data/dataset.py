"""What a data set is: a length, and an image with its label for every index."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from minigrad.errors import DataError, OptionError
from minigrad.tensor import Tensor

__all__ = [
    "ArrayDataset",
    "Dataset",
    "Image",
    "Subset",
    "TensorDataset",
    "random_split",
    "stratified_subset",
]

Image = NDArray[np.float32]


class Dataset(Protocol):
    """Anything with a length whose item `i` is ``(image, label)``.

    The image is a float32 array of shape (C, H, W) (or (C, L), (C, D, H, W)), usually in [0, 1];
    the label is the number of its class. Where the class names are known, an attribute `classes`
    holds them in order.
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> tuple[Image, int]: ...


class ArrayDataset:
    """Images and labels that lie in memory.

    Parameters
    ----------
    images : array or Tensor of shape (N, C, *spatial)
        uint8 pixels are kept as they are and handed out divided by 255; floats unchanged.
    labels : array or Tensor of shape (N,)
        Class numbers.
    classes : sequence of str, optional
        Names of the classes; by default their numbers.

    Raises
    ------
    DataError
        If the lengths differ, an axis is missing, or a label is not a class number.

    Examples
    --------
    >>> import numpy as np
    >>> data = ArrayDataset(np.full((2, 1, 4, 4), 51, np.uint8), np.array([0, 1]))
    >>> image, label = data[1]
    >>> image.shape, image.dtype, float(image.max()), label
    ((1, 4, 4), dtype('float32'), 0.2, 1)
    """

    def __init__(self, images: Any, labels: Any, classes: Sequence[str] | None = None) -> None:
        images, labels = _array(images), _array(labels)
        if images.ndim < 3:
            raise DataError(
                f"ArrayDataset: images must have shape (N, C, *spatial), got {images.shape}; "
                "grey images without a channel axis need images[:, None]"
            )
        if labels.shape != images.shape[:1]:
            raise DataError(
                f"ArrayDataset: {len(images)} images need labels of shape ({len(images)},), "
                f"got {labels.shape}"
            )
        if labels.dtype.kind not in "iu":
            raise DataError(f"ArrayDataset: labels must be integers, got {labels.dtype}")
        self.images, self.labels = images, labels.astype(np.int64)
        count = int(self.labels.max(initial=-1)) + 1
        self.classes = tuple(classes if classes is not None else map(str, range(count)))
        wrong = np.flatnonzero((self.labels < 0) | (self.labels >= len(self.classes)))
        if wrong.size:
            raise DataError(
                f"ArrayDataset: sample {wrong[0]} has label {self.labels[wrong[0]]}, "
                f"but the {len(self.classes)} classes are numbered 0 to {len(self.classes) - 1}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int, /) -> tuple[Image, int]:
        image = self.images[index]
        if image.dtype == np.uint8:
            image = image * np.float32(1 / 255)
        return image.astype(np.float32, copy=False), int(self.labels[index])

    def __repr__(self) -> str:
        shape = tuple(self.images.shape[1:])
        return f"ArrayDataset({len(self)} images {shape}, {len(self.classes)} classes)"


TensorDataset = ArrayDataset
"""PyTorch's name for `ArrayDataset`."""


class Subset:
    """The samples of `dataset` at `indices`.

    Examples
    --------
    >>> import minigrad as mg
    >>> len(mg.data.Subset(mg.data.digits(), range(100)))
    100
    """

    def __init__(self, dataset: Dataset, indices: Sequence[int] | NDArray[np.integer[Any]]) -> None:
        self.dataset = dataset
        self.indices = np.asarray(indices, dtype=np.int64)
        self.classes: tuple[str, ...] = getattr(dataset, "classes", ())

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int, /) -> tuple[Image, int]:
        return self.dataset[int(self.indices[index])]

    def __repr__(self) -> str:
        return f"Subset({len(self)} of {self.dataset!r})"


def random_split(
    dataset: Dataset, lengths: Sequence[int] | Sequence[float], seed: int = 0
) -> list[Subset]:
    """Divide `dataset` at random into parts that do not overlap.

    Parameters
    ----------
    dataset : Dataset
        What to divide.
    lengths : sequence of int or of float
        Numbers of samples that sum to ``len(dataset)``, or fractions that sum to 1; the last part
        takes what rounding leaves.
    seed : int, default 0
        The same seed gives the same parts, on every machine.

    Returns
    -------
    list of Subset

    Raises
    ------
    OptionError
        If the lengths do not add up.

    Examples
    --------
    >>> import minigrad as mg
    >>> train, test = random_split(mg.data.digits(), [0.8, 0.2], seed=0)
    >>> len(train), len(test)
    (1437, 360)
    """
    total = len(dataset)
    sizes = list(lengths)
    if abs(sum(sizes) - 1) < 1e-6 and all(0 <= size <= 1 for size in sizes):
        sizes = [int(total * size) for size in sizes]
        sizes[-1] = total - sum(sizes[:-1])
    if sum(sizes) != total or any(size < 0 or size != int(size) for size in sizes):
        raise OptionError(
            f"random_split: lengths {list(lengths)} must be fractions that sum to 1 or counts that "
            f"sum to the {total} samples"
        )
    order = np.random.default_rng(seed).permutation(total)
    ends = np.cumsum([int(size) for size in sizes])[:-1]
    return [Subset(dataset, part) for part in np.split(order, ends)]


def stratified_subset(dataset: Dataset, share: float, seed: int = 0) -> Subset:
    """Choose a share of every class at random, in the order of `dataset`.

    Parameters
    ----------
    dataset : Dataset
        What to choose from.
    share : float
        Above 0, at most 1; of every class the nearest whole number is taken, 1 at least.
    seed : int, default 0
        The same seed chooses the same samples, on every machine.

    Raises
    ------
    OptionError
        If the share is out of range.

    Examples
    --------
    >>> import minigrad as mg
    >>> len(mg.data.stratified_subset(mg.data.digits(train=True), 0.1))
    143
    """
    if not 0 < share <= 1:
        raise OptionError(f"stratified_subset: share must lie in (0, 1], got {share}")
    labels, rng = _labels(dataset), np.random.default_rng(seed)
    chosen = []
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        chosen.append(members[: max(1, round(share * len(members)))])
    return Subset(dataset, np.sort(np.concatenate(chosen)))


def _labels(dataset: Dataset) -> NDArray[Any]:
    """Return all labels, without reading images where the data set has a list of them."""
    if isinstance(dataset, Subset):
        return _labels(dataset.dataset)[dataset.indices]
    if isinstance(dataset, ArrayDataset):
        labels: NDArray[Any] = dataset.labels
        return labels
    samples = getattr(dataset, "samples", None)  # ImageFolder
    pairs = samples if samples is not None else (dataset[i] for i in range(len(dataset)))
    return np.array([label for _, label in pairs])


def _array(values: Any) -> NDArray[Any]:
    return values.numpy() if isinstance(values, Tensor) else np.asarray(values)
