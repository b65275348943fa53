"""DataLoader: batches in an order, and with an augmentation, that only the seed decides.

The order of epoch `e` is a permutation seeded by ``(seed, e)``; sample `i` is augmented by a
generator seeded by ``(seed, e, i)``, a batch is mixed by one seeded by its first position. Where a
`Sampler` chooses, a sample may come several times: its place in the order stands for ``i`` then. No
state is carried from batch to batch, so any batch can be made by any worker, and an interrupted
run continues at any ``(epoch, batch)``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from copy import copy
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.data.collate import as_array, collate, is_array, rebuild, to_tensors
from minigrad.data.dataset import Dataset, length_of, whole_number
from minigrad.data.sampling import Sampler
from minigrad.data.transforms import Transform
from minigrad.data.workers import Processes, Threads
from minigrad.errors import DataError, MinigradError, OptionError
from minigrad.tensor import Tensor

__all__ = ["DataLoader"]

Mixer = Callable[[Any, Any, np.random.Generator], tuple[NDArray[Any], NDArray[Any]]]

_ORDER, _SAMPLE, _BATCH = range(3)  # what a generator is for: three independent streams


class DataLoader:
    """Go through a data set in batches of tensors.

    Parameters
    ----------
    dataset : Dataset
        Where the samples come from: anything with a length and items by number. An item is
        ``(input, target)``, or whatever else `default_collate` can put together.
    batch_size : int, default 1
        Samples per batch.
    shuffle : bool, default False
        Visit the samples in a new random order every epoch.
    transform : callable, optional
        ``transform(image, rng) -> image``, applied to every sample, or to its first field where
        it has several.
    mix : callable, optional
        ``mix(images, labels, rng) -> images, soft labels``, applied to every batch.
    num_workers : int, default 0
        Threads that prepare batches ahead. Batches come in the same order with the same content
        whatever the number.
    processes : bool, default False
        Let the workers be processes, for data sets whose own Python code takes the time: threads
        share one interpreter. Decoding and NumPy do well in threads. Each gets a copy of the data
        set by pickle at the start of an epoch; batches come back through shared memory.
    sampler : Sampler, optional
        Chooses the samples of an epoch and their order, in place of `shuffle`.
    drop_last : bool, default False
        Leave out a last batch that is smaller than the others.
    collate_fn : callable, optional
        ``collate_fn(samples) -> batch``; by default `default_collate`. Arrays in the batch become
        tensors.
    seed : int, default 0
        Decides the order and the augmentation.

    Attributes
    ----------
    epoch : int
        Which epoch the next ``for`` loop is; it counts up as each begins, so every ``iter(loader)``
        has an order of its own. ``loader.batches(epoch)`` goes through a chosen one.

    Raises
    ------
    OptionError
        If an option is of the wrong type or out of range.
    DataError
        If the data set has no length or items by number, or is empty.

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
        processes: bool = False,
        sampler: Sampler | None = None,
        drop_last: bool = False,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        seed: int = 0,
    ) -> None:
        self.batch_size = whole_number("DataLoader: batch_size", batch_size, 1)
        self.num_workers = whole_number("DataLoader: num_workers", num_workers, 0)
        self.processes = _switch("processes", processes)
        self.seed = whole_number("DataLoader: seed", seed, 0)
        self.shuffle, self.drop_last = _switch("shuffle", shuffle), _switch("drop_last", drop_last)
        for name, value in (("transform", transform), ("mix", mix), ("collate_fn", collate_fn)):
            if value is not None and not callable(value):
                raise OptionError(
                    f"DataLoader: {name} must be a function or None, got {type(value).__name__}"
                )
        count = length_of("DataLoader", dataset)
        if count == 0:
            raise DataError("DataLoader: the data set is empty; it must have one sample at least")
        if sampler is not None and self.shuffle:
            raise OptionError("DataLoader: a sampler chooses the order; leave shuffle out")
        if sampler is not None and not (callable(sampler) and hasattr(sampler, "population")):
            raise OptionError(
                f"DataLoader: sampler must be a Sampler or None, got {type(sampler).__name__}"
            )
        if sampler is not None and sampler.population != count:
            raise OptionError(
                f"DataLoader: the sampler is one for {sampler.population} samples, but the data "
                f"set has {count}"
            )
        self.dataset, self.sampler, self.epoch = dataset, sampler, 0
        self.transform, self.mix, self.collate_fn = transform, mix, collate_fn

    def __len__(self) -> int:
        """Return the number of batches per epoch."""
        whole, rest = divmod(self._length(), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def count(self, batches: int) -> int:
        """Return how many samples the first so many batches of an epoch have."""
        return min(batches * self.batch_size, self._length())

    def resized(self, batch_size: int) -> DataLoader:
        """Return a loader that differs in the size of its batches alone."""
        other = copy(self)
        other.batch_size = whole_number("DataLoader: batch_size", batch_size, 1)
        return other

    def _length(self) -> int:
        return len(self.dataset if self.sampler is None else self.sampler)

    def __iter__(self) -> Iterator[Any]:
        epoch = self.epoch
        self.epoch += 1
        return self.batches(epoch)

    def batches(
        self, epoch: int, start: int = 0, step: int = 1, part: tuple[int, int] = (0, 1)
    ) -> Iterator[Any]:
        """Yield the batches of one epoch, from batch number `start` on.

        Parameters
        ----------
        epoch : int
            Which one.
        start, step : int, default 0 and 1
            The first batch, and how far on the next is.
        part : tuple of int, default (0, 1)
            (rank, ranks): of every batch only the rank's part, of which together the ranks have
            all samples, none of them twice. What `mix` draws is another draw in each part.

        Raises
        ------
        DataError
            If a sample cannot be read or transformed; the message names its index.
        """
        epoch = whole_number("DataLoader.batches: epoch", epoch, 0)
        start = whole_number("DataLoader.batches: start", start, 0)
        step = whole_number("DataLoader.batches: step", step, 1)
        pair = part if isinstance(part, tuple | list) and len(part) == 2 else (0, 0)
        rank, ranks = (whole_number("DataLoader.batches: part", number, 0) for number in pair)
        if not rank < ranks:
            raise OptionError(
                f"DataLoader.batches: part {part} must be (rank, ranks), rank < ranks"
            )
        order = np.arange(len(self.dataset))
        if self.shuffle:
            self._rng(_ORDER, epoch).shuffle(order)
        keys = order
        if self.sampler is not None:
            order = self.sampler(self._rng(_ORDER, epoch))
            keys = np.arange(len(order))
        cuts = [
            np.array_split(np.arange(self.count(i), self.count(i + 1)), ranks)[rank]
            for i in range(len(self))
        ]
        jobs = ((epoch, order[cuts[i]], keys[cuts[i]], (i, rank) if ranks > 1 else (i,))
                for i in range(start, len(self), step))  # fmt: skip
        if self.num_workers == 0:
            for job in jobs:
                yield self._batch(*job)
            return
        kind = Processes if self.processes else Threads
        pool = kind(self._batch, self.num_workers)
        ahead: deque[Future[Any]] = deque()
        try:
            ahead.extend(pool.submit(*job) for job in islice(jobs, 2 * self.num_workers))
            while ahead:
                batch = pool.result(ahead.popleft())
                ahead.extend(pool.submit(*job) for job in islice(jobs, 1))
                yield batch
        finally:
            pool.shutdown(list(ahead))

    def _batch(
        self,
        epoch: int,
        indices: NDArray[np.int64],
        keys: NDArray[np.int64],
        place: tuple[int, ...],
    ) -> Any:
        numbers = indices.tolist()
        samples = [
            self._sample(epoch, index, key)
            for index, key in zip(numbers, keys.tolist(), strict=True)
        ]
        try:
            if self.collate_fn is None:
                batch = collate(samples, numbers)
                _check_target(batch, numbers)
            else:
                batch = self.collate_fn(samples)
            if self.mix is not None:
                batch = self._mixed(batch, self._rng(_BATCH, epoch, *place))
            return to_tensors(batch)
        except Exception as error:
            raise _told(f"batch {place[0]} of {self._name()}", error) from error

    def _sample(self, epoch: int, index: int, key: int) -> Any:
        try:
            sample = self.dataset[index]
            if self.transform is not None:
                sample = self._transformed(sample, self._rng(_SAMPLE, epoch, key))
        except Exception as error:
            raise _told(f"sample {index} of {self._name()}", error) from error
        return sample

    def _transformed(self, sample: Any, rng: np.random.Generator) -> Any:
        assert self.transform is not None
        if isinstance(sample, tuple | list) and sample:
            return rebuild(sample, [self.transform(as_array(sample[0]), rng), *sample[1:]])
        if is_array(sample):
            return self.transform(as_array(sample), rng)
        raise DataError(
            "the DataLoader's transform is for an array, or for the first field of a tuple; this "
            f"is of type {type(sample).__name__}: transform it inside the data set"
        )

    def _mixed(self, batch: Any, rng: np.random.Generator) -> Any:
        assert self.mix is not None
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise DataError("mix is for batches of two fields, images and labels")
        return self.mix(as_array(batch[0]), as_array(batch[1]), rng)

    def _name(self) -> str:
        """Return what messages call the data set; the content of a list would be too long."""
        plain = isinstance(self.dataset, list | tuple | dict | np.ndarray | Tensor)
        return f"the {type(self.dataset).__name__}" if plain else repr(self.dataset)

    def _rng(self, *key: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, *key])


def _told(what: str, error: Exception) -> DataError:
    """Return the error that says which sample or batch it was; ours have said enough besides."""
    kind = "" if isinstance(error, MinigradError) else f"{type(error).__name__}: "
    return DataError(f"{what}: {kind}{error}")


def _check_target(batch: Any, numbers: list[int]) -> None:
    """Refuse text as the second of two fields, the target: no loss could take it."""
    if isinstance(batch, tuple | list) and len(batch) == 2 and isinstance(batch[1], list):
        target = batch[1][0] if batch[1] else None
        if isinstance(target, str | bytes):
            raise DataError(
                f"sample {numbers[0]} has the target {target!r}; a target is made of numbers: let "
                "the data set hand out the class's number, classes.index(name); text that is no "
                "target goes into a third field or a dict, or to a collate_fn"
            )


def _switch(name: str, value: Any) -> bool:
    if not isinstance(value, bool | np.bool_):
        raise OptionError(f"DataLoader: {name} must be True or False, got {value!r}")
    return bool(value)
