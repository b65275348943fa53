"""What a checkpoint's library does to a picture before the network sees it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minigrad.data import transforms as T
from minigrad.data.dataset import Image
from minigrad.data.imagenet import imagenet_classes

__all__ = ["Preprocessing", "class_names", "preprocessing_of"]

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pixels, from 0 to 1
LEVELS = 255  # pictures keep bytes between the steps
WARPED = 384  # from this size on, V1 and V2 are shown the whole picture, whatever its shape
LARGEST = 1 << 13
PILLOW = {0: "nearest", 2: "bilinear", 3: "bicubic"}
TORCHVISION = {(9, 96): 236, (27, 96): 230}  # tiny and small, by depth and width; others 232


@dataclass(frozen=True)
class Preprocessing:
    """Resize, crop, normalise; a transform of the `DataLoader` too.

    It is given a picture (3, H, W) from 0 to 1, as `minigrad.data.read_image` returns it.

    Attributes
    ----------
    size : (int, int)
        Height and width that the network sees: the middle of the resized picture.
    resize : int or (int, int)
        What the shorter side becomes, or both; always antialiased, and rounded to bytes.
    interpolation : {"bilinear", "bicubic", "nearest"}
        Pillow's of that name.
    mean, std : tuple of float
        Of each channel from 0 to 1; a network that takes 0 to 255 has them divided by 255.
    crop : {"round", "floor"}
        Where the middle is, if it is between two pixels: the even one, or the first.

    Examples
    --------
    >>> shown = Preprocessing((224, 224), 256, "bicubic")
    >>> shown(np.zeros((3, 300, 400), np.float32)).shape
    (3, 224, 224)
    """

    size: tuple[int, int]
    resize: int | tuple[int, int]
    interpolation: str = "bicubic"
    mean: tuple[float, ...] = MEAN
    std: tuple[float, ...] = STD
    crop: str = "round"

    def __call__(self, image: Image, rng: np.random.Generator | None = None) -> Image:
        sides = self._resized(image.shape[1], image.shape[2])
        image = T.resize(image, sides, self.interpolation, LEVELS)
        place = round if self.crop == "round" else math.floor
        top, left = (place((n - m) / 2) for n, m in zip(sides, self.size, strict=True))
        image = image[:, top : top + self.size[0], left : left + self.size[1]]
        return T.Normalize(self.mean, self.std)(image, rng or np.random.default_rng(0))

    def _resized(self, height: int, width: int) -> tuple[int, int]:
        if not isinstance(self.resize, int):
            return self.resize
        shorter = min(height, width)
        return (self.resize * height // shorter, self.resize * width // shorter)


def preprocessing_of(
    naming: str, options: Mapping[str, Any], about: Mapping[str, Any]
) -> Preprocessing | None:
    """Return what is done to pictures for these weights.

    Parameters
    ----------
    naming : str
        Whose names the weights have: where no configuration says more, what that library does.
    options : mapping
        Of the model that they are of.
    about : mapping
        What stood beside them: the hub's ``config`` and ``preprocessor_config``.

    Returns
    -------
    Preprocessing or None
        None if they are of no image model, or the configuration asks for something else.
    """
    if options.get("spatial_dims") != 2 or options.get("in_channels") != len(MEAN):
        return None
    own = about.get("preprocessor_config")
    config = about.get("config")
    timm = config.get("pretrained_cfg") if isinstance(config, Mapping) else None
    try:
        if isinstance(own, Mapping) and "size" in own:
            found = _huggingface(own)
        elif isinstance(timm, Mapping):
            found = _timm(timm)
        else:
            found = _customary(naming, options)
        return found if found is not None and _sound(found) else None
    except (ArithmeticError, LookupError, TypeError, ValueError):
        return None


def _customary(naming: str, options: Mapping[str, Any]) -> Preprocessing | None:
    size = (224, 224)
    if naming == "torchvision":
        which = (options["depths"][-2], options["dims"][0])
        return Preprocessing(size, TORCHVISION.get(which, 232), "bilinear")
    if naming.startswith("keras"):  # as its guide loads pictures: load_img(path, target_size=…)
        return Preprocessing(size, size, "nearest")
    if naming.startswith(("dinov3", "eupe")):
        return Preprocessing((256, 256), (256, 256), "bilinear")
    if naming == "open_clip" or "n_channels" in options:  # a size of their own each; MedNeXt
        return None
    if options.get("norm_layer") == "simplenorm":  # timm's zepto
        return Preprocessing(size, 256, "bicubic", (0.5,) * 3, (0.5,) * 3)
    return Preprocessing(size, 256)


def _timm(config: Mapping[str, Any]) -> Preprocessing | None:
    """Follow `timm.data.create_transform`."""
    _, *size = config.get("input_size") or (3, 224, 224)
    height, width = size
    share = config.get("crop_pct") or 0.875
    scaled = (math.floor(height / share), math.floor(width / share))
    mode = config.get("crop_mode") or "center"
    if mode not in ("center", "squash") or (mode == "center" and height != width):
        return None
    return Preprocessing(
        (height, width),
        scaled if mode == "squash" else scaled[0],
        config.get("interpolation") or "bicubic",
        tuple(config.get("mean") or MEAN),
        tuple(config.get("std") or STD),
    )


def _huggingface(config: Mapping[str, Any]) -> Preprocessing | None:
    """Follow the image processors of transformers: that of ConvNeXT, and those that are usual."""
    if not config.get("do_resize", True) or config.get("do_pad"):
        return None
    size = config["size"]
    size = {"shortest_edge": size} if isinstance(size, int) else size
    kind = config.get("image_processor_type") or config.get("feature_extractor_type") or ""
    resize: int | tuple[int, int]
    if "height" in size:
        resize = target = (size["height"], size["width"])
    else:
        edge = size["shortest_edge"]
        resize, target = edge, (edge, edge)
        if "ConvNext" in kind:
            share = config.get("crop_pct") or 224 / 256
            resize = int(edge / share) if edge < WARPED else target
    if config.get("do_center_crop") and config.get("crop_size"):
        crop = config["crop_size"]
        crop = {"height": crop, "width": crop} if isinstance(crop, int) else crop
        target = (crop["height"], crop["width"])
    elif "ConvNext" not in kind and isinstance(resize, int):
        return None  # pictures of every shape: no batch could be made of them
    mean, std = (
        config.get(key) or usual for key, usual in (("image_mean", MEAN), ("image_std", STD))
    )
    if not config.get("do_normalize", True):
        mean, std = (0.0,) * 3, (1.0,) * 3
    factor = config.get("rescale_factor", 1 / LEVELS) if config.get("do_rescale", True) else 1.0
    scale = factor * LEVELS  # what the network gets for 1, before it is normalised
    return Preprocessing(
        target,
        resize,
        PILLOW[config.get("resample", 3)],
        tuple(m / scale for m in mean),
        tuple(s / scale for s in std),
        crop="floor",
    )


def _sound(found: Preprocessing) -> bool:
    """Say whether a configuration's numbers are such that work can be done with them."""
    resize = found.resize if isinstance(found.resize, tuple) else (found.resize,) * 2
    sides = (*found.size, *resize)
    numbers = (*found.mean, *found.std)
    return (
        len(sides) == 4
        and all(type(n) is int and 0 < n <= LARGEST for n in sides)
        and all(n <= m for n, m in zip(found.size, resize, strict=True))
        and found.interpolation in PILLOW.values()
        and len(found.mean) == len(found.std) == len(MEAN)
        and all(isinstance(n, (int, float)) and math.isfinite(n) for n in numbers)
        and min(found.std) > 0
    )


def class_names(options: Mapping[str, Any], about: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return the names of the classes: the configuration's, or of 1,000 those of ImageNet."""
    count, config = options.get("num_classes"), about.get("config")
    config = config if isinstance(config, Mapping) else {}
    named = config.get("id2label")
    if isinstance(named, Mapping):
        names: Any = [named.get(str(i)) for i in range(len(named))]
    else:
        timm = config.get("pretrained_cfg")
        names = config.get("label_names")
        names = names or (timm.get("label_names") if isinstance(timm, Mapping) else None)
    if isinstance(names, list) and len(names) == count and all(isinstance(n, str) for n in names):
        return tuple(names)
    return imagenet_classes() if count == len(imagenet_classes()) else None
