from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from minigrad.data import DataLoader, Mix, digits, random_split
from minigrad.data import transforms as T
from minigrad.errors import DataError, OptionError


def contents(loader: DataLoader, epoch: int = 0, start: int = 0) -> list[tuple[Any, Any]]:
    return [(x.numpy(), y.numpy()) for x, y in loader.batches(epoch, start)]


def assert_same(first: list[tuple[Any, Any]], second: list[tuple[Any, Any]]) -> None:
    assert len(first) == len(second)
    for (x, y), (u, v) in zip(first, second, strict=True):
        np.testing.assert_array_equal(x, u)
        np.testing.assert_array_equal(y, v)


def augmented(num_workers: int = 0, seed: int = 0) -> DataLoader:
    data = random_split(digits(), [300, 1497])[0]
    return DataLoader(
        data,
        batch_size=32,
        shuffle=True,
        transform=T.Compose([T.RandomCrop(1), T.RandomHorizontalFlip(), T.RandomErasing()]),
        mix=Mix(10, mixup=0.5, cutmix=0.5),
        num_workers=num_workers,
        seed=seed,
    )


def test_shapes_dtypes_and_lengths() -> None:
    loader = DataLoader(digits(), batch_size=500)
    batches = contents(loader)
    assert [len(x) for x, _ in batches] == [500, 500, 500, 297]
    assert len(loader) == 4
    assert batches[0][0].dtype == np.float32
    assert batches[0][1].dtype == np.int64
    assert len(contents(DataLoader(digits(), batch_size=500, drop_last=True))) == 3


def test_without_shuffle_the_order_is_the_data_sets() -> None:
    (_, labels), *_ = contents(DataLoader(digits(), batch_size=50))
    np.testing.assert_array_equal(labels, [digits()[i][1] for i in range(50)])


def test_every_epoch_has_its_own_order_of_all_samples() -> None:
    loader = DataLoader(digits(), batch_size=100, shuffle=True)
    first, second = (np.concatenate([y for _, y in contents(loader, e)]) for e in (0, 1))
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(np.bincount(first), np.bincount(second))
    assert loader.epoch == 0
    assert len(list(loader)) == 18
    assert loader.epoch == 1


@pytest.mark.parametrize("num_workers", [1, 2, 5])
def test_workers_change_nothing(num_workers: int) -> None:
    assert_same(contents(augmented()), contents(augmented(num_workers)))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_epoch_resumes_at_any_batch(num_workers: int) -> None:
    whole = contents(augmented(), epoch=3)
    assert_same(contents(augmented(num_workers), epoch=3, start=4), whole[4:])


def test_seed_and_epoch_change_the_augmentation() -> None:
    base, other, later = (
        contents(augmented()),
        contents(augmented(seed=1)),
        contents(augmented(), 1),
    )
    assert not np.array_equal(base[0][0], other[0][0])
    assert not np.array_equal(base[0][0], later[0][0])


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_error_names_the_sample(num_workers: int) -> None:
    def fail_on_third(image: Any, rng: Any) -> Any:
        if np.array_equal(image, digits()[3][0]):
            raise ZeroDivisionError("division by zero")
        return image

    loader = DataLoader(digits(), 2, transform=fail_on_third, num_workers=num_workers)
    with pytest.raises(DataError, match=r"sample 3 of ArrayDataset.*ZeroDivisionError"):
        list(loader)


def test_leaving_a_loop_early_stops_the_workers() -> None:
    loader = DataLoader(digits(), 10, num_workers=2)
    for _ in loader:
        break
    assert len(list(loader)) == 180


def test_pictures_of_different_sizes_are_refused() -> None:
    class Ragged:
        def __len__(self) -> int:
            return 2

        def __getitem__(self, index: int) -> tuple[Any, int]:
            return np.zeros((1, 4 + index, 4), np.float32), 0

    with pytest.raises(DataError, match=r"must have one shape.*RandomResizedCrop"):
        list(DataLoader(Ragged(), 2))


@pytest.mark.parametrize(
    ("option", "value"), [("batch_size", 0), ("num_workers", -1), ("seed", -1)]
)
def test_bad_options(option: str, value: int) -> None:
    with pytest.raises(OptionError, match=f"{option} must be"):
        DataLoader(digits(), **{option: value})
