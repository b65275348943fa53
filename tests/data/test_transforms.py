from __future__ import annotations

import numpy as np
import pytest

from minigrad.data import cutmix, mixup, one_hot
from minigrad.data import transforms as T
from minigrad.errors import OptionError, ShapeError

IMAGE = np.random.default_rng(0).random((3, 12, 16), dtype=np.float32)

ALL = [
    T.ToFloat(),
    T.Normalize([0.1, 0.2, 0.3], [1, 2, 4]),
    T.RandomCrop(3),
    T.RandomHorizontalFlip(),
    T.RandomErasing(p=1),
    T.Resize(6),
    T.Resize((5, 7)),
    T.CenterCrop(8),
    T.RandomResizedCrop(10),
    T.Compose([T.RandomCrop(1), T.RandomErasing(p=1)]),
]


@pytest.mark.parametrize("transform", ALL, ids=repr)
def test_is_float32_pure_and_decided_by_the_generator(transform: T.Transform) -> None:
    before = IMAGE.copy()
    first, second = (transform(IMAGE, np.random.default_rng(5)) for _ in range(2))
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, second)
    np.testing.assert_array_equal(IMAGE, before)


def test_random_crop_is_a_shift() -> None:
    rng, seen = np.random.default_rng(0), set()
    image = np.zeros((1, 7, 7), np.float32)
    image[0, 3, 3] = 1
    for _ in range(200):
        moved = T.RandomCrop(2)(image, rng)
        assert moved.shape == image.shape
        seen.add(tuple(np.argwhere(moved[0])[0]))
    assert seen == {(y, x) for y in range(1, 6) for x in range(1, 6)}


@pytest.mark.parametrize("shape", [(1, 9), (1, 6, 9), (1, 4, 6, 9)])
def test_shifts_flips_and_erasing_in_every_dimension(shape: tuple[int, ...]) -> None:
    image, rng = np.ones(shape, np.float32), np.random.default_rng(0)
    for transform in (T.RandomCrop(1), T.RandomHorizontalFlip(1), T.RandomErasing(1)):
        assert transform(image, rng).shape == shape


def test_erasing_stays_within_its_area() -> None:
    image = np.ones((1, 40, 40), np.float32)
    shares = [
        1 - T.RandomErasing(1, area=(0.1, 0.2))(image, np.random.default_rng(i)).mean()
        for i in range(200)
    ]
    assert 0.08 < min(shares) < max(shares) < 0.22


def test_resize_agrees_with_pillow() -> None:
    pillow = pytest.importorskip("PIL.Image")
    for size in ((6, 8), (24, 40), (7, 5)):
        picture = pillow.fromarray(IMAGE[0])  # mode F, so nothing is rounded
        expected = np.asarray(picture.resize(size[::-1], pillow.Resampling.BILINEAR))
        np.testing.assert_allclose(T.resize(IMAGE[:1], size)[0], expected, atol=1e-6)


@pytest.mark.parametrize("name", ["bilinear", "bicubic", "nearest"])
def test_resize_of_bytes_agrees_with_pillow(name: str) -> None:
    pillow = pytest.importorskip("PIL.Image")
    pixels = np.random.default_rng(0).integers(0, 256, (60, 79), np.uint8)
    for size in ((31, 41), (91, 103), (60, 33)):  # no ties
        resized = pillow.fromarray(pixels).resize(
            size[::-1], getattr(pillow.Resampling, name.upper())
        )
        ours = T.resize(pixels[None] / np.float32(255), size, name, levels=255)[0] * 255
        np.testing.assert_allclose(ours, np.asarray(resized), atol=1.001)
        assert np.abs(ours - np.asarray(resized)).mean() < 0.01
    with pytest.raises(OptionError, match="unknown interpolation 'cubic'; did you mean 'bicubic'"):
        T.resize(IMAGE, (3, 3), "cubic")


def test_resize_keeps_the_aspect_of_the_shorter_side() -> None:
    assert T.Resize(6)(IMAGE, np.random.default_rng()).shape == (3, 6, 8)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: T.Normalize([0.0], [0.0]), "every std above 0"),
        (lambda: T.RandomCrop(-1), "padding must be 0 or more"),
        (lambda: T.RandomErasing(p=2), "p must lie between 0 and 1, got 2"),
    ],
)
def test_bad_options(make: object, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        make()  # type: ignore[operator]


def test_wrong_channels_and_small_images() -> None:
    with pytest.raises(ShapeError, match="1 means for an image with 3 channels"):
        T.Normalize([0.5], [0.5])(IMAGE, np.random.default_rng())
    with pytest.raises(ShapeError, match="only 12x16"):
        T.CenterCrop(13)(IMAGE, np.random.default_rng())


@pytest.mark.parametrize("method", [mixup, cutmix])
@pytest.mark.parametrize("spatial", [(10,), (8, 9), (4, 5, 6)])
def test_labels_mix_as_the_images_do(method: object, spatial: tuple[int, ...]) -> None:
    labels = one_hot(np.arange(6), 6)  # image i is constant i, so its mean tells what it holds
    images = np.broadcast_to(np.eye(6, dtype=np.float32)[(...,) + (None,) * len(spatial)],
                             (6, 6, *spatial)).copy()  # fmt: skip
    before = images.copy()
    for seed in range(20):
        x, y = method(images, labels, np.random.default_rng(seed))  # type: ignore[operator]
        np.testing.assert_allclose(x.mean(tuple(range(2, x.ndim))), y, atol=1e-5)
        assert x.dtype == y.dtype == np.float32
    np.testing.assert_array_equal(images, before)
