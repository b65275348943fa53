"""DataLoader: batches in an order, and with an augmentation, that only the seed decides.

The order of epoch `e` is a permutation seeded by ``(seed, e)``; sample `i` is augmented by a
generator seeded by ``(seed, e, i)``, a batch is mixed by one seeded by its first position. No
state is carried from batch to batch, so any batch can be made by any worker, and an interrupted
run continues at any ``(epoch, batch)``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.data.dataset import Dataset, Image
from minigrad.data.transforms import Transform
from minigrad.errors import DataError, OptionError
from minigrad.tensor import Tensor

__all__ = ["DataLoader", "default_collate"]

Batch = tuple[Tensor, Tensor]
Collate = Callable[[Sequence[Image], Sequence[int]], tuple[NDArray[Any], NDArray[Any]]]
Mixer = Callable[[Any, Any, np.random.Generator], tuple[NDArray[Any], NDArray[Any]]]

_ORDER, _SAMPLE, _BATCH = range(3)  # what a generator is for: three independent streams


def default_collate(
    images: Sequence[Image], labels: Sequence[int]
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Stack images to (N, C, *spatial) and labels to int64 (N,).

    Raises
    ------
    DataError
        If the images differ in shape.
    """
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        raise DataError(
            f"the images of a batch must have one shape, found {sorted(shapes)}; "
            "add transforms.Resize or RandomResizedCrop to the DataLoader's transform"
        )
    return np.stack(images), np.asarray(labels, dtype=np.int64)


class DataLoader:
    """Go through a data set in batches of tensors.

    Parameters
    ----------
    dataset : Dataset
        Where the samples come from.
    batch_size : int, default 1
        Samples per batch.
    shuffle : bool, default False
        Visit the samples in a new random order every epoch.
    transform : callable, optional
        ``transform(image, rng) -> image``, applied to every sample.
    mix : callable, optional
        ``mix(images, labels, rng) -> images, soft labels``, applied to every batch.
    num_workers : int, default 0
        Threads that prepare batches ahead. Batches come in the same order with the same content
        whatever the number.
    drop_last : bool, default False
        Leave out a last batch that is smaller than the others.
    collate : callable, optional
        ``collate(images, labels) -> two arrays``.
    seed : int, default 0
        Decides the order and the augmentation.

    Attributes
    ----------
    epoch : int
        Which epoch the next ``for`` loop is; it counts up at the end of each.

    Examples
    --------
    >>> import minigrad as mg
    >>> loader = mg.data.DataLoader(mg.data.digits(), batch_size=100, shuffle=True)
    >>> images, labels = next(iter(loader))
    >>> images.shape, labels.shape, len(loader)
    ((100, 1, 8, 8), (100,), 18)
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int = 1,
        shuffle: bool = False,
        *,
        transform: Transform | None = None,
        mix: Mixer | None = None,
        num_workers: int = 0,
        drop_last: bool = False,
        collate: Collate = default_collate,
        seed: int = 0,
    ) -> None:
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("num_workers", num_workers, 0),
            ("seed", seed, 0),
        ):
            if value < least:
                raise OptionError(f"DataLoader: {name} must be {least} or more, got {value}")
        if len(dataset) == 0:
            raise DataError("DataLoader: the data set is empty")
        self.dataset, self.batch_size, self.shuffle = dataset, batch_size, shuffle
        self.transform, self.mix, self.collate = transform, mix, collate
        self.num_workers, self.drop_last, self.seed = num_workers, drop_last, seed
        self.epoch = 0

    def __len__(self) -> int:
        """Return the number of batches per epoch."""
        whole, rest = divmod(len(self.dataset), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Batch]:
        yield from self.batches(self.epoch)
        self.epoch += 1

    def batches(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the batches of one epoch, from batch number `start` on.

        Raises
        ------
        DataError
            If a sample cannot be read or transformed; the message names its index.
        """
        order = np.arange(len(self.dataset))
        if self.shuffle:
            self._rng(_ORDER, epoch).shuffle(order)
        jobs = ((epoch, order[i * self.batch_size :][: self.batch_size], i)
                for i in range(start, len(self)))  # fmt: skip
        if self.num_workers == 0:
            for job in jobs:
                yield self._batch(*job)
            return
        pool = ThreadPoolExecutor(self.num_workers, thread_name_prefix="DataLoader")
        try:
            ahead: deque[Future[Batch]] = deque(
                pool.submit(self._batch, *job) for job in islice(jobs, 2 * self.num_workers)
            )
            while ahead:
                batch = ahead.popleft().result()
                ahead.extend(pool.submit(self._batch, *job) for job in islice(jobs, 1))
                yield batch
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def _batch(self, epoch: int, indices: NDArray[np.int64], number: int) -> Batch:
        samples = [self._sample(epoch, int(index)) for index in indices]
        images, labels = self.collate(*zip(*samples, strict=True))
        if self.mix is not None:
            images, labels = self.mix(images, labels, self._rng(_BATCH, epoch, number))
        return Tensor(images), Tensor(labels)

    def _sample(self, epoch: int, index: int) -> tuple[Image, int]:
        try:
            image, label = self.dataset[index]
            if self.transform is not None:
                image = self.transform(image, self._rng(_SAMPLE, epoch, index))
        except Exception as error:
            kind = "" if isinstance(error, DataError) else f"{type(error).__name__}: "
            raise DataError(f"sample {index} of {self.dataset!r}: {kind}{error}") from error
        return image, label

    def _rng(self, *key: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, *key])
