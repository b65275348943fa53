from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest

import minigrad as mg
from minigrad.data import DataLoader, Mix, TensorDataset, digits, random_split
from minigrad.data import transforms as T
from minigrad.errors import DataError, OptionError
from tests.clock import HANG


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
    ("option", "value"),
    [
        *[("batch_size", value) for value in (0, -1, 2.5, "4", None, True, np.float32(4), [4])],
        *[("num_workers", value) for value in (-1, 1.0, "2", None, True)],
        *[("seed", value) for value in (-1, 0.5, "1", None, False)],
        *[(name, value) for name in ("shuffle", "drop_last") for value in (1, "no", None, 0.0)],
        *[(name, 3) for name in ("transform", "mix", "collate_fn")],
    ],
)
def test_bad_options(option: str, value: Any) -> None:
    with pytest.raises(OptionError, match=f"DataLoader: {option} must be .*got"):
        DataLoader(digits(), **{option: value})


def test_numpy_numbers_are_numbers() -> None:
    loader = DataLoader(digits(), np.int64(100), np.bool_(True), seed=np.uint8(3))
    assert_same(contents(loader), contents(DataLoader(digits(), 100, True, seed=3)))


@pytest.mark.parametrize("data", [(i for i in range(3)), {1, 2}, 7, None, iter([1]), np.array(1)])
def test_a_data_set_needs_a_length_and_items(data: Any) -> None:
    with pytest.raises(DataError, match=r"length and items by number.*list of its samples"):
        DataLoader(data)
    with pytest.raises(DataError, match="empty"):
        DataLoader([])


# --- orders ------------------------------------------------------------------------------------


def labels(batches: Any) -> list[int]:
    return [int(label) for _, y in batches for label in y.numpy()]


def test_every_loop_has_its_own_order_and_the_seed_decides_all_of_them() -> None:
    def orders() -> list[list[int]]:
        loader = DataLoader(digits(), 50, shuffle=True, seed=5)
        first = [next(iter(loader))[1].tolist() for _ in range(4)]
        for _ in loader:  # left early: the next loop is another epoch all the same
            break
        return [*first, labels(loader), labels(loader)]

    once, again = orders(), orders()
    assert once == again
    assert len({tuple(order[:50]) for order in once}) == 6


@pytest.mark.parametrize("options", [{"epoch": e} for e in (-1, 1.5, "a", True)] + [{"start": -1}])
def test_batches_of_what_is_no_epoch(options: dict[str, Any]) -> None:
    with pytest.raises(OptionError, match=r"DataLoader\.batches: (epoch|start) must be"):
        list(DataLoader(digits(), 100, True).batches(**({"epoch": 0} | options)))


def test_two_loops_at_once_do_not_disturb_each_other() -> None:
    for workers in (0, 2):
        loader = augmented(workers)
        a, b = iter(loader), iter(loader)
        both = [(next(a), next(b)) for _ in range(len(loader))]
        for epoch, batches in enumerate(zip(*both, strict=True)):
            found = [(x.numpy(), y.numpy()) for x, y in batches]
            assert_same(found, contents(augmented(), epoch))
        assert list(a) == list(b) == []


def test_an_iterator_is_one() -> None:
    loader = DataLoader(digits(), 500)
    iterator = iter(loader)
    assert iter(iterator) is iterator
    assert len(list(iterator)) == 4
    with pytest.raises(StopIteration):
        next(iterator)


# --- workers -----------------------------------------------------------------------------------


def threads() -> set[str]:
    return {t.name for t in threading.enumerate() if t.name.startswith("DataLoader")}


def wait_for_no_threads() -> None:
    for thread in threading.enumerate():
        if thread.name.startswith("DataLoader"):
            thread.join(HANG)
    assert not threads()


def test_workers_end_with_their_loop() -> None:
    class Broken(list):  # type: ignore[type-arg]
        def __getitem__(self, index: Any) -> Any:
            if index == 7:
                raise KeyError("seven")
            return index

    wait_for_no_threads()
    for _ in DataLoader(digits(), 10, num_workers=3):  # left early
        assert threads()
        break
    wait_for_no_threads()
    iterator = iter(DataLoader(digits(), 10, num_workers=3))
    next(iterator)
    del iterator  # dropped
    wait_for_no_threads()
    assert len(list(DataLoader(digits(), 10, num_workers=3))) == 180  # gone through
    wait_for_no_threads()
    with pytest.raises(DataError, match="sample 7 of the Broken: KeyError: 'seven'") as caught:
        list(DataLoader(Broken(range(99)), 2, num_workers=3))
    assert isinstance(caught.value.__cause__, KeyError)
    wait_for_no_threads()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_length_that_is_no_length_is_found_out(num_workers: int) -> None:
    class Longer:
        def __len__(self) -> int:
            return 5

        def __getitem__(self, index: int) -> Any:
            return [1, 2, 3][index]

    with pytest.raises(DataError, match=r"sample 3 of .*IndexError: list index out of range"):
        list(DataLoader(Longer(), 2, num_workers=num_workers))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_failing_collate_fn_names_the_batch(num_workers: int) -> None:
    def own(samples: list[Any]) -> Any:
        return 1 // (3 - samples[0])

    loader = DataLoader(list(range(8)), 3, collate_fn=own, num_workers=num_workers)
    with pytest.raises(DataError, match=r"batch 1 of the list: ZeroDivisionError"):
        list(loader)


# --- what transforms and mixers get ------------------------------------------------------------


def test_a_transform_gets_the_first_field() -> None:
    def double(x: Any, rng: Any) -> Any:
        assert isinstance(x, np.ndarray)
        return x * 2

    x = np.ones((2, 1, 2, 2), np.float32)
    for data in (x, mg.tensor(x), TensorDataset(x)):
        batch = next(iter(DataLoader(data, 2, transform=double)))
        np.testing.assert_array_equal(batch[0] if isinstance(batch, tuple) else batch, 2 * x)
    a, b, c = next(iter(DataLoader([(x[0], 1, "n")], 1, transform=double)))
    assert (a.sum().item(), b.tolist(), c) == (8.0, [1], ["n"])
    with pytest.raises(DataError, match=r"transform is for an array.*type dict"):
        next(iter(DataLoader([{"x": x}], 1, transform=double)))
    with pytest.raises(DataError, match="mix is for batches of two fields"):
        next(iter(DataLoader(x, 1, mix=Mix(2))))


def test_mixing_refuses_labels_that_are_no_classes() -> None:
    x = np.ones((1, 2, 2), np.float32)
    for label, words in ((-1, "from -1 to"), (3, "to 3, but the 3 classes"), (0.5, "float64")):
        with pytest.raises(DataError, match=f"batch 0 .*one_hot: .*{words}"):
            next(iter(DataLoader([(x, label)], 1, mix=Mix(3, mixup=0.5))))


def test_tensor_dataset_is_pytorchs() -> None:
    x, y = np.arange(6, dtype=np.float32).reshape(3, 2), np.array([0.5, 1.5, 2.5])
    data = TensorDataset(x, y)
    assert [t.tolist() for t in data[1]] == [[2.0, 3.0], 1.5]
    inputs, targets = next(iter(DataLoader(data, 3)))
    np.testing.assert_array_equal(inputs.numpy(), x)
    np.testing.assert_array_equal(targets.numpy(), y)
    for wrong in ((), (x, y[:2]), (x, np.array(1.0))):
        with pytest.raises(DataError, match="first axes of one length"):
            TensorDataset(*wrong)
