"""Changes to one image: resizing, normalising, random crops, flips, colours, erasing.

A transform is a callable ``transform(image, rng)``: a float32 array (C, H, W) in, another one out.
All randomness comes from the `numpy.random.Generator` it is given, which the `DataLoader` seeds for
every sample separately; so augmentation is the same whichever worker carries it out. The random
shifts, flips and erasing work in one, two and three dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from minigrad.data.dataset import Image, to_float, whole_number
from minigrad.data.jitter import ColorJitter
from minigrad.errors import OptionError, ShapeError, brief, unknown
from minigrad.loading import check_numbers, number

__all__ = [
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "Normalize",
    "RandomCrop",
    "RandomErasing",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "Resize",
    "ToFloat",
    "Transform",
    "resize",
]

ERASE_MODES = ("const", "pixel")
Rng = np.random.Generator
Transform = Callable[[Image, Rng], Image]


class Compose:
    """Apply `transforms` one after the other.

    Examples
    --------
    >>> import numpy as np
    >>> augment = Compose(
    ...     [RandomCrop(padding=1), RandomHorizontalFlip(), Normalize([0.5], [0.5])]
    ... )
    >>> augment(np.zeros((1, 8, 8), np.float32), np.random.default_rng(0)).shape
    (1, 8, 8)
    """

    def __init__(self, transforms: Sequence[Transform]) -> None:
        if not isinstance(transforms, Iterable) or not all(map(callable, given := [*transforms])):
            raise OptionError(
                f"Compose: takes a list of functions (image, rng), got {brief(transforms)}"
            )
        self.transforms = tuple(given)

    def __call__(self, image: Image, rng: Rng) -> Image:
        for transform in self.transforms:
            image = transform(image, rng)
        return image

    def __repr__(self) -> str:
        return f"Compose([{', '.join(map(repr, self.transforms))}])"


class ToFloat:
    """Turn integer pixels into float32 by the rule of `pixel_scale`; leave floats as they are.

    Examples
    --------
    >>> ToFloat()(np.array([0, 255], np.uint8), np.random.default_rng(0))
    array([0., 1.], dtype=float32)
    """

    def __call__(self, image: NDArray[Any], rng: Rng) -> Image:
        return to_float(image)

    def __repr__(self) -> str:
        return "ToFloat()"


class Normalize:
    """Subtract `mean` and divide by `std`, one number per channel.

    Examples
    --------
    >>> import numpy as np
    >>> image, rng = np.ones((1, 1, 1), np.float32), np.random.default_rng()
    >>> Normalize([0.5], [0.25])(image, rng).item()
    2.0
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        numbers = _numbers(mean), _numbers(std)
        if not all(numbers) or len(mean) != len(std) or not all(s > 0 for s in std):
            raise OptionError(
                f"Normalize: mean {brief(mean)} and std {brief(std)} must have one number per "
                "channel, every std above 0"
            )
        self.mean, self.std = tuple(mean), tuple(std)

    def __call__(self, image: Image, rng: Rng) -> Image:
        if len(image) != len(self.mean):
            raise ShapeError(
                f"Normalize: {len(self.mean)} means for an image with {len(image)} channels "
                f"(shape {image.shape})"
            )
        shape = (-1,) + (1,) * (image.ndim - 1)
        mean = np.array(self.mean, np.float32).reshape(shape)
        scale = np.array([1 / s for s in self.std], np.float32).reshape(shape)
        result: Image = (image - mean) * scale
        return result

    def __repr__(self) -> str:
        return f"Normalize({list(self.mean)}, {list(self.std)})"


class RandomCrop:
    """Surround the image with `padding` zeros and cut out its size again at a random place.

    This is a random shift by up to `padding` pixels along every axis.

    Parameters
    ----------
    padding : int
        Largest shift.
    value : float, default 0
        What the border is filled with.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> RandomCrop(padding=1)(np.ones((1, 4, 4), np.float32), rng).shape
    (1, 4, 4)
    """

    def __init__(self, padding: int, value: float = 0.0) -> None:
        self.padding, self.value = whole_number("RandomCrop: padding", padding, 0), value
        check_numbers("RandomCrop", value=value)

    def __call__(self, image: Image, rng: Rng) -> Image:
        p, sizes = self.padding, image.shape[1:]
        starts = rng.integers(0, 2 * p + 1, len(sizes))
        wide = np.full((len(image), *(n + 2 * p for n in sizes)), self.value, image.dtype)
        wide[:, *(slice(p, p + n) for n in sizes)] = image
        result: Image = wide[:, *(slice(s, s + n) for s, n in zip(starts, sizes, strict=True))]
        return result

    def __repr__(self) -> str:
        return f"RandomCrop(padding={self.padding})"


class RandomHorizontalFlip:
    """Mirror the last axis with probability `p`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> RandomHorizontalFlip(1.0)(np.ones((1, 4, 4), np.float32), rng).shape
    (1, 4, 4)
    """

    def __init__(self, p: float = 0.5) -> None:
        self.p = _probability("RandomHorizontalFlip", p)

    def __call__(self, image: Image, rng: Rng) -> Image:
        return image[..., ::-1] if rng.random() < self.p else image

    def __repr__(self) -> str:
        return f"RandomHorizontalFlip(p={self.p})"


class RandomErasing:
    """Overwrite a random box with `value`, with probability `p`.

    Parameters
    ----------
    p : float, default 0.25
        How often.
    area : (float, float), default (0.02, 0.33)
        Smallest and largest share of the image.
    value : float, default 0
        What is written; 0 is the mean of a normalised image.
    mode : {"const", "pixel"}
        With "pixel" every number is drawn from the normal distribution around `value` instead.

    Notes
    -----
    Zhong et al., "Random Erasing Data Augmentation", 2017. The sides of the box are drawn so that
    its expected aspect ratio is 1 within (0.3, 3.3).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> RandomErasing(1.0)(np.ones((1, 4, 4), np.float32), rng).shape
    (1, 4, 4)
    """

    def __init__(
        self,
        p: float = 0.25,
        area: tuple[float, float] = (0.02, 0.33),
        value: float = 0.0,
        mode: str = "const",
    ) -> None:
        if not isinstance(mode, str) or mode not in ERASE_MODES:
            raise unknown("RandomErasing mode", str(mode), ERASE_MODES)
        check_numbers("RandomErasing", value=value)
        self.p, self.area = _probability("RandomErasing", p), _area("RandomErasing", area)
        self.value, self.mode = value, mode

    def __call__(self, image: Image, rng: Rng) -> Image:
        if rng.random() >= self.p:
            return image
        sizes = image.shape[1:]
        share = rng.uniform(*self.area) ** (1 / len(sizes))  # of one side, before the aspect
        log_aspects = rng.uniform(-0.6, 0.6, len(sizes))  # exp(2 · 0.6) = 3.3
        sides = share * np.exp(log_aspects - log_aspects.mean())
        box = []
        for n, side in zip(sizes, sides, strict=True):
            length = min(n, max(1, round(n * side)))
            start = int(rng.integers(0, n - length + 1))
            box.append(slice(start, start + length))
        image = image.copy()
        image[:, *box] = self.value
        if self.mode == "pixel":
            erased = image[:, *box]
            erased += rng.standard_normal(erased.shape, np.float32)
        return image

    def __repr__(self) -> str:
        return f"RandomErasing(p={self.p}, area={self.area}, mode={self.mode!r})"


class Resize:
    """Scale the shorter side to `size` (int), or both sides to `size` (height, width).

    `interpolation` is that of `resize`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> Resize(8)(np.ones((1, 4, 4), np.float32), rng).shape
    (1, 8, 8)
    """

    def __init__(self, size: int | tuple[int, int], interpolation: str = "bilinear") -> None:
        sides = size if isinstance(size, Sequence) and len(size) == 2 else (size,)
        for side in sides:
            whole_number("Resize: size", side, 1)
        self.size, self.interpolation = size, _interpolation(interpolation)

    def __call__(self, image: Image, rng: Rng) -> Image:
        size = self.size
        if isinstance(size, int):
            height, width = image.shape[1:]
            scale = size / min(height, width)
            size = round(height * scale), round(width * scale)
        return resize(image, size, self.interpolation)

    def __repr__(self) -> str:
        return f"Resize({self.size}, interpolation={self.interpolation!r})"


class CenterCrop:
    """Cut the middle `size` × `size` out of the image.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> CenterCrop(2)(np.ones((1, 4, 4), np.float32), rng).shape
    (1, 2, 2)
    """

    def __init__(self, size: int) -> None:
        self.size = whole_number("CenterCrop: size", size, 1)

    def __call__(self, image: Image, rng: Rng) -> Image:
        height, width = image.shape[1:]
        if min(height, width) < self.size:
            raise ShapeError(
                f"CenterCrop({self.size}): the image is only {height}x{width}; resize it first"
            )
        top, left = (height - self.size) // 2, (width - self.size) // 2
        return image[:, top : top + self.size, left : left + self.size]

    def __repr__(self) -> str:
        return f"CenterCrop({self.size})"


class RandomResizedCrop:
    """Cut out a random box and scale it to `size` × `size`: the ImageNet training crop.

    Parameters
    ----------
    size : int
        Side of the result.
    area : (float, float), default (0.08, 1)
        Smallest and largest share of the image; the aspect ratio lies in (3/4, 4/3).
    interpolation : {"bilinear", "bicubic", "nearest"}
        As in `resize`.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> RandomResizedCrop(2)(np.ones((1, 4, 4), np.float32), rng).shape
    (1, 2, 2)
    """

    def __init__(
        self,
        size: int,
        area: tuple[float, float] = (0.08, 1.0),
        interpolation: str = "bilinear",
    ) -> None:
        self.size = whole_number("RandomResizedCrop: size", size, 1)
        self.area = _area("RandomResizedCrop", area)
        self.interpolation = _interpolation(interpolation)

    def __call__(self, image: Image, rng: Rng) -> Image:
        height, width = image.shape[1:]
        area = height * width * rng.uniform(*self.area)
        aspect = math.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3)))
        h = min(height, max(1, round(math.sqrt(area / aspect))))
        w = min(width, max(1, round(math.sqrt(area * aspect))))
        top = int(rng.integers(0, height - h + 1))
        left = int(rng.integers(0, width - w + 1))
        cut = image[:, top : top + h, left : left + w]
        return resize(cut, (self.size, self.size), self.interpolation)

    def __repr__(self) -> str:
        how = f"area={self.area}, interpolation={self.interpolation!r}"
        return f"RandomResizedCrop({self.size}, {how})"


def resize(
    image: Image,
    size: Sequence[int],
    interpolation: str = "bilinear",
    levels: int | None = None,
) -> Image:
    """Scale an image (C, H, W) to `size`, antialiased when it shrinks, as Pillow does.

    Signals (C, L) and volumes (C, D, H, W) are scaled by the same rule.

    Parameters
    ----------
    image : numpy.ndarray
        The image.
    size : sequence of int
        Sides of the result: height and width.
    interpolation : {"bilinear", "bicubic", "nearest"}
        Every output pixel is a weighted mean of input pixels under a triangle, or a cubic, as wide
        as the larger of the two pixel grids, with half-pixel centres; or the nearest one.
    levels : int, optional
        Round to that many steps between 0 and 1 after the width, and again after the height, and
        stay there: with 255, what Pillow does to bytes.

    Examples
    --------
    >>> resize(np.ones((1, 4, 4), np.float32), (8, 6)).shape
    (1, 8, 6)
    """
    interpolation = _interpolation(interpolation)
    if len(size) != image.ndim - 1 or not all(n >= 1 for n in size):
        raise ShapeError(
            f"resize: an image of shape {image.shape} has {image.ndim - 1} sides of 1 or more, got "
            f"{tuple(size)}"
        )
    for axis in range(1, image.ndim) if levels is None else range(image.ndim - 1, 0, -1):
        weights = _weights(image.shape[axis], size[axis - 1], interpolation)
        image = np.moveaxis(np.tensordot(weights, image, (1, axis)), 0, axis)
        if levels is not None:
            image = _to_levels(image, levels)
    return np.ascontiguousarray(image)


def _to_levels(image: Image, levels: int) -> Image:
    scale = np.float32(levels)
    rounded: Image = np.clip(np.floor(image * scale + np.float32(0.5)), 0, scale) / scale
    return rounded


def _triangle(x: NDArray[Any]) -> NDArray[Any]:
    shares: NDArray[Any] = np.maximum(1 - x, 0)
    return shares


def _cubic(x: NDArray[Any]) -> NDArray[Any]:
    """Return Keys's cubic with a = -1/2."""
    near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0))


INTERPOLATIONS = {"bilinear": _triangle, "bicubic": _cubic, "nearest": None}


@cache
def _weights(old: int, new: int, interpolation: str) -> NDArray[np.float32]:
    """Return the (new, old) matrix that resizes one axis."""
    scale = old / new
    centres = (np.arange(new) + 0.5) * scale
    kernel = INTERPOLATIONS[interpolation]
    if kernel is None:
        shares: NDArray[Any] = np.floor(centres)[:, None] == np.arange(old)
    else:
        shares = kernel(np.abs(np.arange(old) + 0.5 - centres[:, None]) / max(scale, 1.0))
    weights: NDArray[np.float32] = (shares / shares.sum(1, keepdims=True)).astype(np.float32)
    return weights


def _interpolation(name: str) -> str:
    if not isinstance(name, str) or name not in INTERPOLATIONS:
        raise unknown("interpolation", str(name), INTERPOLATIONS)
    return name


def _numbers(values: Any) -> bool:
    """Return whether these are numbers, one after the other."""
    several = isinstance(values, Sequence | np.ndarray) and not isinstance(values, str)
    return several and None not in map(number, values)


def _area(name: str, area: tuple[float, float]) -> tuple[float, float]:
    if not _numbers(area) or len(area) != 2 or not 0 <= area[0] <= area[1] <= 1:
        raise OptionError(
            f"{name}: area is the smallest and the largest share of the image, in [0, 1], got "
            f"{brief(area)}"
        )
    return area


def _probability(name: str, p: float) -> float:
    check_numbers(name, p=p)
    if not 0 <= p <= 1:
        raise OptionError(f"{name}: p must lie between 0 and 1, got {p}")
    return p
