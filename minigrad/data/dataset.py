"""What a data set is: a length, and an image with its label for every index."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from minigrad.construct import as_tensor
from minigrad.dtypes import is_floating
from minigrad.errors import DataError, OptionError, RangeError
from minigrad.loading import several
from minigrad.tensor import Tensor

__all__ = [
    "ArrayDataset",
    "ConcatDataset",
    "Dataset",
    "Image",
    "Subset",
    "TensorDataset",
    "labels_of",
    "length_of",
    "pixel_scale",
    "random_split",
    "stratified_folds",
    "stratified_split",
    "stratified_subset",
    "to_float",
    "whole_number",
]

Image = NDArray[np.float32]
CLASSES = 1 << 20  # that are named by their numbers at most


def whole_number(what: str, value: Any, least: int) -> int:
    """Return an option that must be a whole number, as an int.

    Examples
    --------
    >>> whole_number("DataLoader: batch_size", 2.5, 1)
    Traceback (most recent call last):
        ...
    minigrad.errors.OptionError: DataLoader: batch_size must be a whole number, got 2.5
    """
    if not isinstance(value, int | np.integer) or isinstance(value, bool):
        raise OptionError(f"{what} must be a whole number, got {value!r}")
    if value < least:
        raise OptionError(f"{what} must be {least} or more, got {value}")
    return int(value)


@cache
def pixel_scale(dtype: np.dtype[Any]) -> int:
    """Return what pixels of a type are divided by: the largest value, where it is a pixel's type.

    Integers of 8, 16 and 32 bits hold pixels (cameras, microscopes, X-ray), whatever their sign.
    Floats are taken as they are, and so are 64-bit integers: they are what NumPy makes of a list.

    Examples
    --------
    >>> import numpy as np
    >>> [pixel_scale(np.dtype(t)) for t in ("u1", "u2", "i2", "i8", "f4", "?")]
    [255, 65535, 32767, 1, 1, 1]
    """
    pixels = dtype.kind in "iu" and dtype.itemsize < 8
    return int(np.iinfo(dtype).max) if pixels else 1


def to_float(pixels: NDArray[Any]) -> Image:
    """Return pixels as float32, divided by their `pixel_scale`."""
    scale = pixel_scale(pixels.dtype)
    scaled: NDArray[Any] = pixels if scale == 1 else pixels / np.float32(scale)
    return scaled.astype(np.float32, copy=False)


class Dataset(Protocol):
    """Anything with a length whose item `i` is ``(image, label)``.

    Other items are tuples, lists or dicts of numbers, arrays and strings (`default_collate`). The
    image is a float32 array of shape (C, H, W) (or (C, L), (C, D, H, W)), usually in [0, 1];
    the label is the number of its class. Where the class names are known, an attribute `classes`
    holds them in order.

    Examples
    --------
    >>> import minigrad as mg
    >>> class Squares(mg.data.Dataset):
    ...     def __len__(self):
    ...         return 3
    ...     def __getitem__(self, index):
    ...         return float(index), index**2
    >>> Squares()[2]
    (2.0, 4)
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


class ArrayDataset:
    """Images and labels in memory.

    Parameters
    ----------
    images : array or Tensor of shape (N, C, *spatial)
        Pixels of 8, 16 and 32 bits are kept as they are and handed out divided by the largest
        value of their type (`pixel_scale`); floats unchanged.
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
            raise DataError(
                f"ArrayDataset: labels must be integers, got {labels.dtype}; for other "
                "targets take TensorDataset(inputs, targets)"
            )
        if images.dtype.kind not in "biuf" and not is_floating(images.dtype):
            raise DataError(f"ArrayDataset: images must be numbers, got {images.dtype}")
        self.images, self.labels = images, labels.astype(np.int64)
        count = int(self.labels.max(initial=-1)) + 1
        if classes is None and count > CLASSES:
            raise DataError(
                f"ArrayDataset: the largest label is {count - 1}; number the classes from 0 on, or "
                "name them all in classes"
            )
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
        image, scale = self.images[index], pixel_scale(self.images.dtype)
        if scale != 1:
            image = image * np.float32(1 / scale)
        return image.astype(np.float32, copy=False), int(self.labels[index])

    def __repr__(self) -> str:
        shape = tuple(self.images.shape[1:])
        return f"ArrayDataset({len(self)} images {shape}, {len(self.classes)} classes)"


class TensorDataset:
    """Tensors whose first axes count the same samples: item `i` is the tuple of their rows `i`.

    Examples
    --------
    >>> import minigrad as mg
    >>> data = TensorDataset(mg.ones(3, 2), mg.tensor([0.1, 0.2, 0.3]))
    >>> len(data), data[1]
    (3, (tensor([1., 1.]), tensor(0.2000)))
    """

    def __init__(self, *tensors: Any) -> None:
        self.tensors = tuple(as_tensor(values) for values in tensors)
        shapes = [tensor.shape for tensor in self.tensors]
        if not shapes or () in shapes or len({shape[0] for shape in shapes}) > 1:
            raise DataError(
                "TensorDataset: one tensor or more, with first axes of one length, are needed; got "
                f"the shapes {shapes}"
            )

    def __len__(self) -> int:
        return len(self.tensors[0])

    def __getitem__(self, index: int, /) -> tuple[Tensor, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def __repr__(self) -> str:
        return f"TensorDataset({len(self)} samples of {[t.shape[1:] for t in self.tensors]})"


def length_of(owner: str, dataset: Any) -> int:
    """Return how many samples a data set has, or refuse what is none.

    Examples
    --------
    >>> length_of("Subset", 3)
    Traceback (most recent call last):
        ...
    minigrad.errors.DataError: Subset: a data set has a length and items by number, int has ...
    """
    try:
        if hasattr(dataset, "__getitem__") and not isinstance(dataset, str):
            return len(dataset)
    except (TypeError, ValueError):
        pass
    raise DataError(
        f"{owner}: a data set has a length and items by number, {type(dataset).__name__} has "
        "not; a list of its samples would do"
    )


class ConcatDataset:
    """The samples of several data sets, one after the other.

    Examples
    --------
    >>> import minigrad as mg
    >>> len(ConcatDataset([mg.data.digits(train=True), mg.data.digits(train=False)]))
    1797
    """

    def __init__(self, datasets: Sequence[Dataset]) -> None:
        if not isinstance(datasets, Iterable):
            raise OptionError(f"ConcatDataset: a sequence of data sets is needed, got {datasets!r}")
        self.datasets = tuple(datasets)
        if not self.datasets:
            raise OptionError("ConcatDataset: one data set or more are needed, got none")
        self.ends = np.cumsum([length_of("ConcatDataset", dataset) for dataset in self.datasets])
        self.classes: tuple[str, ...] = getattr(self.datasets[0], "classes", ())

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __getitem__(self, index: int, /) -> Any:
        count = len(self)
        if not -count <= index < count:
            raise RangeError(f"ConcatDataset: there is no sample {index} among {count}")
        place = index % count
        number = int(np.searchsorted(self.ends, place, "right"))
        dataset = self.datasets[number]
        return dataset[place - int(self.ends[number]) + len(dataset)]

    def __repr__(self) -> str:
        return f"ConcatDataset([{', '.join(map(repr, self.datasets))}])"


class Subset:
    """The samples of `dataset` at `indices`.

    Examples
    --------
    >>> import minigrad as mg
    >>> len(mg.data.Subset(mg.data.digits(), range(100)))
    100
    """

    def __init__(self, dataset: Dataset, indices: Sequence[int] | NDArray[np.integer[Any]]) -> None:
        found = np.asarray(indices)
        count = length_of("Subset", dataset)
        if found.ndim != 1 or (found.size and found.dtype.kind not in "iu"):
            raise OptionError(
                f"Subset: indices must be a list of whole numbers, got {found.dtype} of shape "
                f"{found.shape}; np.flatnonzero(mask) turns a mask into one"
            )
        if found.size and not (-count <= int(found.min()) and int(found.max()) < count):
            raise RangeError(
                f"Subset: indices reach from {found.min()} to {found.max()}, but the data set has "
                f"{count} samples"
            )
        self.dataset, self.indices = dataset, found.astype(np.int64)
        self.classes: tuple[str, ...] = getattr(dataset, "classes", ())

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int, /) -> Any:
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
    total = length_of("random_split", dataset)
    sizes = list(several("random_split", "lengths", lengths, int | float | np.number))
    seed = whole_number("random_split: seed", seed, 0)
    if abs(sum(sizes) - 1) < 1e-6 and all(0 <= size <= 1 for size in sizes):
        sizes = [int(total * size) for size in sizes]
        sizes[-1] = total - sum(sizes[:-1])
    if sum(sizes) != total or any(size < 0 or size != int(size) for size in sizes):
        raise OptionError(
            f"random_split: lengths {sizes} must be fractions that sum to 1 or counts that "
            f"sum to the {total} samples"
        )
    order = np.random.default_rng(seed).permutation(total)
    ends = np.cumsum([int(size) for size in sizes])[:-1]
    return [Subset(dataset, part) for part in np.split(order, ends)]


def stratified_split(dataset: Dataset, share: float, seed: int = 0) -> list[Subset]:
    """Hold out a share of every class at random: return what is left, and what is held out.

    Parameters
    ----------
    dataset : Dataset
        What to divide.
    share : float
        Between 0 and 1; of every class the nearest whole number is held out, but 1 at least and
        never all. A class of a single sample is not divided: it is left for training.
    seed : int, default 0
        The same seed gives the same parts, on every machine.

    Returns
    -------
    list of Subset
        Two, both in the order of `dataset`.

    Raises
    ------
    OptionError
        If the share is out of range.

    Examples
    --------
    >>> import minigrad as mg
    >>> train, test = stratified_split(mg.data.digits(train=False), 0.2)
    >>> len(train), len(test)
    (290, 70)
    """
    seed = whole_number("stratified_split: seed", seed, 0)
    if not isinstance(share, int | float | np.number) or not 0 < share < 1:
        raise OptionError(f"stratified_split: share must lie between 0 and 1, got {share!r}")
    held = np.zeros(length_of("stratified_split", dataset), bool)
    for members in _shuffled_classes(dataset, seed):
        count = min(max(1, round(share * len(members))), len(members) - 1)
        held[members[:count]] = True
    return [Subset(dataset, np.flatnonzero(~held)), Subset(dataset, np.flatnonzero(held))]


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
    seed = whole_number("stratified_subset: seed", seed, 0)
    if not isinstance(share, int | float | np.number) or not 0 < share <= 1:
        raise OptionError(f"stratified_subset: share must lie in (0, 1], got {share!r}")
    chosen = [
        members[: max(1, round(share * len(members)))]
        for members in _shuffled_classes(dataset, seed)
    ]
    return Subset(dataset, np.sort(np.concatenate(chosen)))


def stratified_folds(dataset: Dataset, folds: int, seed: int = 0) -> list[Subset]:
    """Divide `dataset` at random into parts that have as much of every class, within one sample.

    Parameters
    ----------
    dataset : Dataset
        What to divide.
    folds : int
        Parts, two or more, and no more than samples.
    seed : int, default 0
        The same seed gives the same parts, on every machine.

    Examples
    --------
    >>> import minigrad as mg
    >>> [len(fold) for fold in stratified_folds(mg.data.digits(), 5)]
    [360, 360, 359, 359, 359]
    """
    folds = whole_number("stratified_folds: folds", folds, 2)
    seed = whole_number("stratified_folds: seed", seed, 0)
    count = length_of("stratified_folds", dataset)
    if folds > count:
        raise OptionError(f"stratified_folds: {folds} folds of {count} samples")
    order = np.concatenate(list(_shuffled_classes(dataset, seed)))
    return [Subset(dataset, np.sort(order[i::folds])) for i in range(folds)]


def _shuffled_classes(dataset: Dataset, seed: int) -> Iterator[NDArray[np.intp]]:
    """Yield the places of every class, in an order that is drawn."""
    labels, rng = labels_of(dataset), np.random.default_rng(seed)
    for label in np.unique(labels):
        yield rng.permutation(np.flatnonzero(labels == label))


def labels_of(dataset: Dataset) -> NDArray[Any]:
    """Return all labels, without reading images where the data set has a list of them.

    Raises
    ------
    DataError
        If the samples are no pairs of an image and the number of its class.

    Examples
    --------
    >>> labels_of(ArrayDataset(np.zeros((3, 1, 2, 2)), np.array([0, 1, 0])))
    array([0, 1, 0])
    """
    if isinstance(dataset, Subset):
        return labels_of(dataset.dataset)[dataset.indices]
    if isinstance(dataset, ArrayDataset):
        known: NDArray[Any] = dataset.labels
        return known
    if isinstance(dataset, ConcatDataset):
        return np.concatenate([labels_of(part) for part in dataset.datasets])
    if getattr(dataset, "keeps_targets", False):  # Kept
        return labels_of(dataset.dataset)  # type: ignore[attr-defined]
    samples = getattr(dataset, "samples", None)  # ImageFolder
    pairs = samples if samples is not None else (dataset[i] for i in range(len(dataset)))
    labels = []
    for i, pair in enumerate(pairs):
        if not isinstance(pair, tuple | list) or len(pair) < 2 or np.shape(pair[1]):
            raise DataError(f"sample {i} is no pair of an image and the number of its class")
        labels.append(pair[1].item() if hasattr(pair[1], "item") else pair[1])
    return np.array(labels)


def _array(values: Any) -> NDArray[Any]:
    try:
        return values.numpy() if isinstance(values, Tensor) else np.asarray(values)
    except ValueError as error:
        raise DataError(f"ArrayDataset: this is no array of numbers ({error})") from None
