from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from minigrad.data import (
    ArrayDataset,
    ConcatDataset,
    ImageFolder,
    Kept,
    Repeated,
    Subset,
    TensorDataset,
    digits,
    list_datasets,
    load_split,
    random_split,
    stratified_subset,
    transforms,
)
from minigrad.data.dataset import labels_of
from minigrad.errors import DataError, MinigradError, OptionError


def test_array_dataset_scales_bytes_and_keeps_floats() -> None:
    pixels = np.arange(8, dtype=np.uint8).reshape(2, 1, 2, 2)
    image, label = ArrayDataset(pixels, [3, 1], classes="abcd")[0]
    assert image.dtype == np.float32
    assert label == 3
    np.testing.assert_array_equal(image, pixels[0] * np.float32(1 / 255))
    floats = np.array([[[[-1.5]]]], np.float32)
    np.testing.assert_array_equal(ArrayDataset(floats, [0])[0][0], floats[0])


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((3, 8, 8))[0], [0], r"must have shape \(N, C, \*spatial\), got \(8, 8\)"),
        (np.zeros((3, 1, 8, 8)), [0, 1], r"3 images need labels of shape \(3,\), got \(2,\)"),
        (np.zeros((1, 1, 8, 8)), [0.5], "labels must be integers, got float64"),
        (np.zeros((2, 1, 8, 8)), [0, -1], "sample 1 has label -1"),
        (np.zeros((1, 1, 8, 8)), [2**40], "the largest label is 1099511627776"),
        ([[1.0, 2.0], [3.0]], [0, 1], "no array of numbers"),
        (np.array([[["a"]]]), [0], "images must be numbers, got <U1"),
    ],
)
def test_array_dataset_refuses(images: object, labels: object, message: str) -> None:
    with pytest.raises(DataError, match=message):
        ArrayDataset(images, labels)


def test_label_beyond_the_class_names_is_refused() -> None:
    with pytest.raises(DataError, match="sample 0 has label 2, but the 2 classes"):
        ArrayDataset(np.zeros((1, 1, 2, 2)), [2], classes=["a", "b"])


def test_digits_are_all_there_and_split_without_overlap() -> None:
    whole = digits()
    assert len(whole) == 1797
    train, test = digits(train=True), digits(train=False)
    assert isinstance(train, Subset)
    assert isinstance(test, Subset)
    assert sorted([*train.indices, *test.indices]) == list(range(1797))
    image, label = test[0]
    assert image.shape == (1, 8, 8)
    assert 0 <= image.min() < image.max() <= 1
    assert 0 <= label <= 9


def test_random_split_is_decided_by_its_seed() -> None:
    first, second, other = (random_split(digits(), [1000, 797], seed=s)[0] for s in (1, 1, 2))
    np.testing.assert_array_equal(first.indices, second.indices)
    assert not np.array_equal(first.indices, other.indices)


@pytest.mark.parametrize("lengths", [[1, 2], [0.5, 0.6], [-1, 1798]])
def test_random_split_refuses_lengths_that_do_not_add_up(lengths: list[float]) -> None:
    with pytest.raises(OptionError, match="sum to"):
        random_split(digits(), lengths)


def test_every_named_data_set_is_described() -> None:
    split = load_split("digits")
    pixels = np.stack([split.train[i][0] for i in range(len(split.train))])
    np.testing.assert_allclose(pixels.mean(), split.spec.mean[0], atol=2e-3)
    np.testing.assert_allclose(pixels.std(), split.spec.std[0], atol=2e-3)
    assert "digits" in list_datasets()


def test_misspelt_data_set_is_suggested() -> None:
    with pytest.raises(OptionError, match="did you mean 'fashion-mnist'"):
        load_split("fashion_mnist")


@pytest.mark.parametrize(
    "indices", [[0.5], [True, False], ["1"], [[1]], [5000], [-1798], [2**63], [None], 3]
)
def test_a_subset_is_of_whole_numbers_in_range(indices: object) -> None:
    with pytest.raises(MinigradError, match="Subset: indices"):
        Subset(digits(), indices)  # type: ignore[arg-type]


def test_an_empty_subset_and_the_last_sample() -> None:
    assert len(Subset(digits(), [])) == 0
    assert Subset(digits(), [-1])[0][1] == digits()[1796][1]


@pytest.mark.parametrize("seed", [-1, 1.5, "0", None])
def test_seeds_are_whole_numbers(seed: object) -> None:
    for call in (
        lambda: random_split(digits(), [0.5, 0.5], seed),  # type: ignore[arg-type]
        lambda: stratified_subset(digits(), 0.5, seed),  # type: ignore[arg-type]
    ):
        with pytest.raises(OptionError, match="seed must be"):
            call()


def test_shares_of_classes() -> None:
    data = TensorDataset(np.zeros((4, 1)), np.array([0, 1, 1, 1]))
    assert stratified_subset(data, 0.5).indices.tolist().count(0) == 1
    named = [(0, "cat"), (0, "dog"), (0, "dog"), (0, 0.5), (0, 0.75)]
    assert len(stratified_subset(named, 0.1)) == 4  # of every label one
    for share in (0, 1.5, float("nan"), "half", None):
        with pytest.raises(OptionError, match="share must lie in"):
            stratified_subset(data, share)  # type: ignore[arg-type]
    for samples in ([1], [{"x": 1}], [(1,)], [(1, [1, 0])]):
        with pytest.raises(DataError, match="sample 0 is no pair"):
            stratified_subset(samples, 0.5)


def test_random_split_refuses_what_is_no_number() -> None:
    with pytest.raises(OptionError, match="lengths must be a sequence of int"):
        random_split(digits(), ["1797"])  # type: ignore[list-item]


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", ">u2"])
def test_pixels_of_every_width_reach_one(dtype: str) -> None:
    top = np.iinfo(dtype).max
    pixels = np.array([0, top // 2, top], dtype).reshape(1, 1, 1, 3)
    image = ArrayDataset(pixels, [0])[0][0]
    assert image.dtype == np.float32
    np.testing.assert_allclose(image.ravel(), [0, 0.5, 1], atol=0.01)
    same = transforms.ToFloat()(pixels[0], np.random.default_rng(0))
    np.testing.assert_allclose(image, same, rtol=1e-6)


def test_lists_of_numbers_and_floats_are_taken_as_they_are() -> None:
    for pixels in (np.array([[[[0, 300]]]]), np.array([[[[0.0, 300.0]]]])):
        np.testing.assert_array_equal(ArrayDataset(pixels, [0])[0][0].ravel(), [0, 300])


def test_labels_of_a_folder_are_known_without_reading_a_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for label, count in (("a", 3), ("b", 2)):
        (tmp_path / label).mkdir()
        for i in range(count):
            np.save(tmp_path / label / f"{i}.npy", np.zeros((4, 4), np.uint8))
    folder, labels = ImageFolder(tmp_path, 1), [0, 0, 0, 1, 1]
    monkeypatch.setattr("minigrad.data.folder.read_image", None)  # whoever asks, fails
    for dataset, expected in (
        (Subset(folder, [4, 0]), [1, 0]),
        (Kept(Subset(folder, [4, 0]), 4), [1, 0]),
        (Repeated(Kept(folder, 4), 2), labels * 2),
        (ConcatDataset([folder, Kept(folder, 4)]), labels * 2),
    ):
        assert labels_of(dataset).tolist() == expected
