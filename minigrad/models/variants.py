"""The named ConvNeXt models.

Each function takes the options of `ConvNeXt`, such as ``num_classes``, ``in_channels`` and
``drop_path_rate``; ``depths`` and ``dims`` are set by the name. ``pretrained=`` loads weights, see
`load_pretrained`; no weights come with minigrad. Multiply-adds are for 224 × 224 pixels; top-1 is
the official accuracy on ImageNet-1k at that size, of V1 trained from scratch (unless said
otherwise) and of V2 pre-trained as a masked autoencoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from minigrad.errors import OptionError
from minigrad.models.convnext import ConvNeXt, ConvNeXtV2
from minigrad.models.features import ConvNeXtFeatures
from minigrad.models.registry import register
from minigrad.models.weights.load import takes_pretrained

__all__ = [
    "convnext_base",
    "convnext_large",
    "convnext_small",
    "convnext_tiny",
    "convnext_xlarge",
    "convnextv2_atto",
    "convnextv2_base",
    "convnextv2_femto",
    "convnextv2_huge",
    "convnextv2_large",
    "convnextv2_nano",
    "convnextv2_pico",
    "convnextv2_small",
    "convnextv2_tiny",
]


SIZES: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
    "convnext_tiny": ((3, 3, 9, 3), (96, 192, 384, 768)),
    "convnext_small": ((3, 3, 27, 3), (96, 192, 384, 768)),
    "convnext_base": ((3, 3, 27, 3), (128, 256, 512, 1024)),
    "convnext_large": ((3, 3, 27, 3), (192, 384, 768, 1536)),
    "convnext_xlarge": ((3, 3, 27, 3), (256, 512, 1024, 2048)),
    "convnextv2_atto": ((2, 2, 6, 2), (40, 80, 160, 320)),
    "convnextv2_femto": ((2, 2, 6, 2), (48, 96, 192, 384)),
    "convnextv2_pico": ((2, 2, 6, 2), (64, 128, 256, 512)),
    "convnextv2_nano": ((2, 2, 8, 2), (80, 160, 320, 640)),
    "convnextv2_tiny": ((3, 3, 9, 3), (96, 192, 384, 768)),
    "convnextv2_small": ((3, 3, 27, 3), (96, 192, 384, 768)),
    "convnextv2_base": ((3, 3, 27, 3), (128, 256, 512, 1024)),
    "convnextv2_large": ((3, 3, 27, 3), (192, 384, 768, 1536)),
    "convnextv2_huge": ((3, 3, 27, 3), (352, 704, 1408, 2816)),
}
"""depths and dims by name."""


def sized(fixed: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a named model with those that its name stands for; refuse the latter.

    Raises
    ------
    OptionError
        If an option is one that the name decides.
    """
    if fixed.keys() & options.keys():
        raise OptionError(
            f"a named model sets {' and '.join(sorted(fixed))} itself; for sizes of your own use "
            "models.ConvNeXt(depths=…, dims=…) or models.ConvNeXtV2(…)"
        )
    return {**fixed, **options}


def _sized(name: str, options: dict[str, Any]) -> dict[str, Any]:
    depths, dims = SIZES[name]
    return sized({"depths": depths, "dims": dims}, options)


@register(family="convnext", features=ConvNeXtFeatures)
@takes_pretrained
def convnext_tiny(**options: Any) -> ConvNeXt:
    """ConvNeXt-T: 28.6 M parameters, 4.5 G multiply-adds, 82.1 % top-1."""
    return ConvNeXt(**_sized("convnext_tiny", options))


@register(family="convnext", features=ConvNeXtFeatures)
@takes_pretrained
def convnext_small(**options: Any) -> ConvNeXt:
    """ConvNeXt-S: 50.2 M parameters, 8.7 G multiply-adds, 83.1 % top-1."""
    return ConvNeXt(**_sized("convnext_small", options))


@register(family="convnext", features=ConvNeXtFeatures)
@takes_pretrained
def convnext_base(**options: Any) -> ConvNeXt:
    """ConvNeXt-B: 88.6 M parameters, 15.4 G multiply-adds, 83.8 % top-1."""
    return ConvNeXt(**_sized("convnext_base", options))


@register(family="convnext", features=ConvNeXtFeatures)
@takes_pretrained
def convnext_large(**options: Any) -> ConvNeXt:
    """ConvNeXt-L: 197.8 M parameters, 34.4 G multiply-adds, 84.3 % top-1."""
    return ConvNeXt(**_sized("convnext_large", options))


@register(family="convnext", features=ConvNeXtFeatures)
@takes_pretrained
def convnext_xlarge(**options: Any) -> ConvNeXt:
    """ConvNeXt-XL: 350.2 M parameters, 60.9 G multiply-adds, 87.0 % top-1 from ImageNet-22k."""
    return ConvNeXt(**_sized("convnext_xlarge", options))


@register(family="convnext", features=ConvNeXtFeatures)
@takes_pretrained
def convnextv2_atto(**options: Any) -> ConvNeXtV2:
    """ConvNeXt V2-A: 3.7 M parameters, 0.55 G multiply-adds, 76.7 % top-1."""
    return ConvNeXtV2(**_sized("convnextv2_atto", options))


@register(family="convnext", features=ConvNeXtFeatures)
@takes_pretrained
def convnextv2_femto(**options: Any) -> ConvNeXtV2:
    """ConvNeXt V2-F: 5.2 M parameters, 0.78 G multiply-adds, 78.5 % top-1."""
    return ConvNeXtV2(**_sized("convnextv2_femto", options))


@register(family="convnext", features=ConvNeXtFeatures)
@takes_pretrained
def convnextv2_pico(**options: Any) -> ConvNeXtV2:
    """ConvNeXt V2-P: 9.1 M parameters, 1.4 G multiply-adds, 80.3 % top-1."""
    return ConvNeXtV2(**_sized("convnextv2_pico", options))


@register(family="convnext", features=ConvNeXtFeatures)
@takes_pretrained
def convnextv2_nano(**options: Any) -> ConvNeXtV2:
    """ConvNeXt V2-N: 15.6 M parameters, 2.4 G multiply-adds, 81.9 % top-1."""
    return ConvNeXtV2(**_sized("convnextv2_nano", options))


@register(family="convnext", features=ConvNeXtFeatures)
@takes_pretrained
def convnextv2_tiny(**options: Any) -> ConvNeXtV2:
    """ConvNeXt V2-T: 28.6 M parameters, 4.5 G multiply-adds, 83.0 % top-1."""
    return ConvNeXtV2(**_sized("convnextv2_tiny", options))


@register(family="convnext", features=ConvNeXtFeatures)
@takes_pretrained
def convnextv2_small(**options: Any) -> ConvNeXtV2:
    """ConvNeXt V2-S: 50.3 M parameters, 8.7 G multiply-adds; not an official size."""
    return ConvNeXtV2(**_sized("convnextv2_small", options))


@register(family="convnext", features=ConvNeXtFeatures)
@takes_pretrained
def convnextv2_base(**options: Any) -> ConvNeXtV2:
    """ConvNeXt V2-B: 88.7 M parameters, 15.4 G multiply-adds, 84.9 % top-1."""
    return ConvNeXtV2(**_sized("convnextv2_base", options))


@register(family="convnext", features=ConvNeXtFeatures)
@takes_pretrained
def convnextv2_large(**options: Any) -> ConvNeXtV2:
    """ConvNeXt V2-L: 198.0 M parameters, 34.4 G multiply-adds, 85.8 % top-1."""
    return ConvNeXtV2(**_sized("convnextv2_large", options))


@register(family="convnext", features=ConvNeXtFeatures)
@takes_pretrained
def convnextv2_huge(**options: Any) -> ConvNeXtV2:
    """ConvNeXt V2-H: 660.3 M parameters, 114.9 G multiply-adds, 86.3 % top-1."""
    return ConvNeXtV2(**_sized("convnextv2_huge", options))
