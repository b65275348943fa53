from __future__ import annotations

import numpy as np
import pytest

from minigrad.data import (
    ArrayDataset,
    DataLoader,
    Mix,
    RepeatedSampler,
    WeightedRandomSampler,
    class_weights,
)
from minigrad.data import transforms as T
from minigrad.data.jitter import adjusted
from minigrad.errors import OptionError, ShapeError

DATA = ArrayDataset(np.arange(8, dtype=np.float32).reshape(8, 1, 1), np.array([0] * 7 + [1]))


def seen(loader: DataLoader, epoch: int = 0, start: int = 0) -> list[float]:
    return [x for images, _ in loader.batches(epoch, start) for x in images.numpy().ravel()]


def test_a_rare_class_comes_as_often_as_the_others() -> None:
    weights = class_weights(DATA.labels, 2)[DATA.labels]
    loader = DataLoader(DATA, 100, sampler=WeightedRandomSampler(weights, 1000))
    rare = seen(loader).count(7.0)
    assert len(loader) == 10
    assert 440 < rare < 560


def test_repeats_are_augmented_anew_and_an_epoch_keeps_its_length() -> None:
    loader = DataLoader(
        DATA, 3, sampler=RepeatedSampler(8, 3), transform=lambda x, rng: x + rng.random() / 2
    )
    values = seen(loader)
    assert len(values) == len(DATA) == loader.count(3)
    whole = np.floor(values)
    assert (whole[:3] == whole[0]).all()
    assert (whole[3:6] == whole[3]).all()
    assert len(set(whole)) == 3
    assert len(set(values)) == 8, "every time anew"
    assert seen(loader, start=1) == values[3:], "as after an interruption"
    assert seen(loader, epoch=1) != values


def test_samplers_that_do_not_fit() -> None:
    with pytest.raises(OptionError, match="is one for 9 samples, but the data set has 8"):
        DataLoader(DATA, sampler=RepeatedSampler(9))
    with pytest.raises(OptionError, match="leave shuffle out"):
        DataLoader(DATA, shuffle=True, sampler=RepeatedSampler(8))
    for weights in ([], [-1.0], [0.0, 0.0], [np.nan]):
        with pytest.raises(OptionError, match="WeightedRandomSampler"):
            WeightedRandomSampler(weights)


def test_erasing_per_pixel_draws_every_number() -> None:
    image = np.zeros((3, 32, 32), np.float32)
    erased = T.RandomErasing(1.0, mode="pixel")(image, np.random.default_rng(0))
    values = erased[erased != 0]
    assert len(np.unique(values)) == len(values) > 100
    assert abs(values.std() - 1) < 0.1


@pytest.mark.parametrize("what", ["brightness", "contrast", "saturation"])
def test_colours_change_by_their_formulas(what: str) -> None:
    image = np.random.default_rng(0).random((3, 4, 5), np.float32)
    grey = 0.2989 * image[0] + 0.587 * image[1] + 0.114 * image[2]
    other = {"brightness": 0.0, "contrast": grey.mean(), "saturation": grey}[what]
    wanted = np.clip(1.3 * image - 0.3 * other, 0, 1)
    np.testing.assert_allclose(adjusted(image, what, 1.3), wanted, atol=1e-6)


# Bytes, and what torchvision 0.28's adjust_hue makes of them: transforms/_functional_tensor.py.
COLOURS = [[0, 0, 0], [255, 255, 255], [128, 128, 128], [255, 0, 0], [0, 255, 0], [0, 0, 255],
           [12, 200, 90], [201, 34, 180]]  # fmt: skip
GREYS = COLOURS[:3]
TURNED: dict[float, list[list[float]]] = {
    -0.2: [*GREYS, [204, 0, 255], [255, 204, 0], [0, 255, 204], [159.6, 200, 12], [34, 46.4, 201]],
    0.1: [*GREYS, [255, 153, 0], [0, 255, 153], [153, 0, 255], [12, 197.2, 200], [201, 34, 79.8]],
    0.5: [*GREYS, [0, 255, 255], [255, 0, 255], [255, 255, 0], [200, 12, 122], [34, 201, 55]],
}


@pytest.mark.parametrize("turn", TURNED)
def test_hues_are_those_of_torchvision(turn: float) -> None:
    image = np.array(COLOURS, np.float32).T[:, None] / 255
    found = 255 * adjusted(image, "hue", turn)
    np.testing.assert_allclose(found[:, 0].T, TURNED[turn], atol=0.01)
    np.testing.assert_allclose(adjusted(image, "hue", turn + 1), found / 255, atol=1e-5)
    there = adjusted(image, "hue", turn)
    np.testing.assert_allclose(adjusted(there, "hue", -turn), image, atol=1e-5)


def test_colours_of_grey_pictures_and_of_more_channels() -> None:
    rng = np.random.default_rng
    grey, four = np.full((1, 4, 4), 0.3, np.float32), np.ones((4, 4, 4), np.float32)
    hue = T.ColorJitter(0, 0, 0, hue=0.5)
    np.testing.assert_array_equal(hue(grey, rng(0)), grey)
    np.testing.assert_allclose(hue(np.repeat(grey, 3, 0), rng(0)), np.repeat(grey, 3, 0))
    with pytest.raises(ShapeError, match="hue of others are not defined"):
        hue(four, rng(0))
    assert T.ColorJitter(0.4, 0, 0)(four, rng(0)).shape == four.shape
    for wrong in (-0.1, 0.6, float("nan"), "red", (0.1, 0.2)):
        with pytest.raises(OptionError, match="ColorJitter: hue must"):
            T.ColorJitter(hue=wrong)
    picture = rng(1).random((3, 8, 8), np.float32)
    drawn = {T.ColorJitter(0.1, 0.1, 0.1, 0.1)(picture, rng(n)).tobytes() for n in range(5)}
    assert len(drawn) == 5
    before = T.ColorJitter(0.1, 0.1, 0.1)(picture, rng(0))
    np.testing.assert_array_equal(T.ColorJitter(0.1, 0.1, 0.1, 0.0)(picture, rng(0)), before)


@pytest.mark.parametrize("switch", [0.0, 1.0])
def test_a_batch_is_mixed_as_the_switch_says(switch: float) -> None:
    images = np.arange(4, dtype=np.float32).reshape(4, 1, 1, 1) * np.ones((1, 8, 8), np.float32)
    mix = Mix(4, mixup=0.8, cutmix=1.0, switch=switch)
    whole = [mix(images, np.arange(4), np.random.default_rng(seed))[0] % 1 for seed in range(9)]
    assert bool(np.any(whole)) == (switch == 0.0), "CutMix leaves every pixel what it was"
