"""RandAugment: a few of fifteen operations at random, in Pillow, as timm does them.

Cubuk et al., "RandAugment: Practical automated data augmentation with a reduced search space",
2019, in the variant that the ConvNeXt recipes name ``rand-m9-mstd0.5-inc1``: strengths that are
drawn around a magnitude, and operations that all change more where it is larger.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from minigrad.data.dataset import Image
from minigrad.data.picture import require_pillow
from minigrad.errors import OptionError, ShapeError, brief, unknown
from minigrad.loading import number

__all__ = ["OPERATIONS", "RandAugment"]

LEVELS = 10.0  # the largest magnitude
IMAGENET_FILL = (124, 116, 104)  # 255 times the mean of ImageNet's pixels

OPERATIONS = (
    "AutoContrast", "Equalize", "Invert", "Rotate", "Posterize", "Solarize", "SolarizeAdd", "Color",
    "Contrast", "Brightness", "Sharpness", "ShearX", "ShearY", "TranslateX", "TranslateY",
)  # fmt: skip
ENHANCED = ("Color", "Contrast", "Brightness", "Sharpness")
# What goes either way, and how far at the largest magnitude: degrees, shares of a side, factors.
SPANS = {
    "Rotate": 30.0, "ShearX": 0.3, "ShearY": 0.3, "TranslateX": 0.45, "TranslateY": 0.45,
    **dict.fromkeys(ENHANCED, 0.9),
}  # fmt: skip


class RandAugment:
    """Apply operations drawn at random from fifteen: contrast, colours, rotation, shifts ….

    Parameters
    ----------
    policy : str, default "rand-m9-mstd0.5-inc1"
        timm's notation, parts in any order: ``m`` the magnitude of 0 to 10 (default 10), ``mstd``
        the standard deviation of the strengths around it (0), ``n`` the number of operations (2),
        ``p`` the probability of each (0.5); ``inc1``: all change more where the magnitude is
        larger, which is the one set of operations here.
    fill : sequence of int, optional
        Colour of what comes into the picture from outside, 0 to 255 per channel; by default
        ImageNet's mean, or grey.

    Notes
    -----
    Takes images in [0, 1] of 1 or 3 channels, works on 8 bits, and needs Pillow (extra
    ``images``). Geometric operations are bicubic. Given the same draws, the pictures are timm's
    bit for bit; where timm asks Pillow to keep no bit of a posterized picture, one is kept.

    Examples
    --------
    >>> augment = RandAugment("rand-m9-mstd0.5-inc1")
    >>> chosen = augment.draw(np.random.default_rng(1))
    >>> [(name, round(argument, 2)) for name, argument in chosen]
    [('Color', 1.75)]
    """

    def __init__(
        self, policy: str = "rand-m9-mstd0.5-inc1", fill: Sequence[int] | None = None
    ) -> None:
        if not isinstance(policy, str):
            raise OptionError(f"RandAugment: a policy is a string, got {brief(policy)}")
        colour = fill if isinstance(fill, Sequence) and not isinstance(fill, str) else ["none"]
        if fill is not None and None in map(number, colour):
            raise OptionError(f"RandAugment: fill is a number for each channel, got {brief(fill)}")
        numbers = _parsed(policy)
        self.policy, self.fill = policy, fill
        self.magnitude, self.std = numbers["m"], numbers["mstd"]
        self.count, self.p = int(numbers["n"]), numbers["p"]
        require_pillow()

    def draw(self, rng: np.random.Generator) -> list[tuple[str, float]]:
        """Return the operations to apply, each with its argument."""
        chosen = []
        for place in rng.choice(len(OPERATIONS), self.count):
            name = OPERATIONS[place]
            if self.p < 1.0 and rng.random() > self.p:
                continue
            level = rng.normal(self.magnitude, self.std) if self.std else self.magnitude
            level = max(0.0, min(level, LEVELS))
            sign = -1.0 if name in SPANS and rng.random() > 0.5 else 1.0
            chosen.append((name, argument_of(name, level, sign)))
        return chosen

    def __call__(self, image: Image, rng: np.random.Generator) -> Image:
        if len(image) not in (1, 3) or image.ndim != 3:
            raise ShapeError(
                f"RandAugment: a picture (C, H, W) has 1 or 3 channels, got shape {image.shape}; "
                "leave auto_augment out for other data"
            )
        chosen = self.draw(rng)
        if not chosen:
            return image
        pixels = np.clip(np.floor(image * np.float32(255) + np.float32(0.5)), 0, 255)
        bytes_ = np.moveaxis(pixels.astype(np.uint8), 0, -1)
        picture = require_pillow().fromarray(bytes_ if len(image) == 3 else bytes_[..., 0])
        default = IMAGENET_FILL if len(image) == 3 else (128,)
        fill = tuple(self.fill or default)
        for name, argument in chosen:
            picture = changed(picture, name, argument, fill)
        result = np.asarray(picture, np.float32).reshape(bytes_.shape) / np.float32(255)
        return np.ascontiguousarray(np.moveaxis(result, -1, 0))

    def __repr__(self) -> str:
        return f"RandAugment({self.policy!r})"


def argument_of(name: str, level: float, sign: float = 1.0) -> float:
    """Return the argument of an operation at a level of 0 to 10.

    Examples
    --------
    >>> argument_of("Rotate", 9.0, -1.0), argument_of("Posterize", 10.0)
    (-27.0, 1)
    """
    part = level / LEVELS
    if name in SPANS:
        value = sign * (part * SPANS[name])
        return max(0.1, 1.0 + value) if name in ENHANCED else value
    if name == "Posterize":  # bits that are kept: timm asks for none at last, which Pillow refuses
        return max(1, 4 - int(part * 4))
    if name == "Solarize":  # from this brightness on
        return 256 - min(256, int(part * 256))
    return min(128, int(part * 110)) if name == "SolarizeAdd" else 0


def changed(picture: Any, name: str, argument: float, fill: tuple[int, ...]) -> Any:
    """Return a picture of Pillow's after one operation."""
    from PIL import Image, ImageEnhance, ImageOps

    width, height = picture.size
    colour = {"resample": Image.Resampling.BICUBIC, "fillcolor": fill if fill[1:] else fill[0]}
    matrices = {  # from places in the result to those in the picture
        "ShearX": (1, argument, 0, 0, 1, 0),
        "ShearY": (1, 0, 0, argument, 1, 0),
        "TranslateX": (1, 0, argument * width, 0, 1, 0),
        "TranslateY": (1, 0, 0, 0, 1, argument * height),
    }
    if name in matrices:
        return picture.transform(picture.size, Image.Transform.AFFINE, matrices[name], **colour)
    if name == "Rotate":
        return picture.rotate(argument, **colour)
    if name in ENHANCED:
        return getattr(ImageEnhance, name)(picture).enhance(argument)
    if name == "SolarizeAdd":  # to the darker half
        table = [min(255, i + int(argument)) if i < 128 else i for i in range(256)]
        return picture.point(table * len(picture.getbands()))
    operation = getattr(ImageOps, name.lower())
    return operation(picture, argument) if name in ("Posterize", "Solarize") else operation(picture)


def _parsed(policy: str) -> dict[str, float]:
    """Return the numbers of a policy."""
    numbers = {"m": LEVELS, "mstd": 0.0, "n": 2.0, "p": 0.5, "inc": 1.0}
    first, *parts = policy.split("-")
    if first != "rand":
        raise OptionError(
            f"RandAugment: a policy begins with 'rand', as in 'rand-m9-mstd0.5-inc1'; got "
            f"{policy!r}"
        )
    for part in parts:
        found = re.fullmatch(r"([a-z]+)(\d+(?:\.\d+)?)", part)
        if not found or found[1] not in numbers:
            raise unknown(f"part of the policy {policy!r}", part, [f"{key}N" for key in numbers])
        numbers[found[1]] = float(found[2])
    if numbers["inc"] != 1.0:
        raise OptionError(
            f"RandAugment: {policy!r} asks for operations that change less where the magnitude is "
            "larger; only inc1 is here"
        )
    if not (numbers["m"] <= LEVELS and numbers["p"] <= 1.0 and numbers["n"].is_integer()):
        raise OptionError(
            f"RandAugment: {policy!r}: m must lie in [0, 10], p in [0, 1], n be a whole number"
        )
    return numbers
