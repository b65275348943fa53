"""ConvNeXt in the manner of Edifice: `build` with Elixir's options as keyword arguments.

``import minigrad.compat.edifice as ConvNeXt`` lets ``ConvNeXt.build(...)`` stay as it is there.
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from minigrad import models
from minigrad.errors import ShapeError, unknown
from minigrad.models.arguments import accepts

__all__ = ["build", "output_size"]

ARCHITECTURES = ("convnext",)


@accepts()
def build(
    architecture: str = "convnext",
    *,
    image_size: int = 224,
    patch_size: int = 4,
    in_channels: int = 3,
    depths: Sequence[int] = (3, 3, 9, 3),
    dims: Sequence[int] = (96, 192, 384, 768),
    dropout: float = 0.0,
    layer_scale_init: float | None = 1e-6,
    num_classes: int | None = None,
) -> models.ConvNeXt:
    """Build a ConvNeXt for images (batch, channels, height, width).

    Parameters
    ----------
    architecture : {"convnext"}
        Edifice's name of the model, the first argument of its ``Edifice.build``.
    image_size : int, default 224
        Side of the square images; it is only checked, as ConvNeXt takes any size.
    patch_size : int, default 4
        Kernel and stride of the stem.
    in_channels : int, default 3
        Channels of the images.
    depths, dims : sequence of int
        Blocks and channels of each stage; any number of stages.
    dropout : float, default 0
        Before the classifier.
    layer_scale_init : float or None, default 1e-6
        First value of the layer scale.
    num_classes : int, optional
        Outputs; without, the pooled, normed vector (batch, dims[-1]) comes out.

    Examples
    --------
    >>> import minigrad as mg
    >>> model = build(image_size=32, depths=[1, 1], dims=[4, 8])
    >>> model(mg.randn(2, 3, 32, 32)).shape
    (2, 8)
    """
    if architecture not in ARCHITECTURES:
        raise unknown("architecture", architecture, ARCHITECTURES)
    reduction = patch_size * 2 ** (len(dims) - 1)
    if image_size < reduction:
        raise ShapeError(
            f"image_size={image_size} vanishes: the model reduces each side {reduction} times; "
            "enlarge it, or lower patch_size"
        )
    return models.ConvNeXt(
        in_channels,
        num_classes,
        depths,
        dims,
        layer_scale_init_value=layer_scale_init,
        patch_size=patch_size,
        head_dropout=dropout,
    )


OPTIONS = inspect.signature(build).parameters


def output_size(**options: Any) -> int:
    """Return how many numbers per image a model of these options gives.

    Examples
    --------
    >>> output_size(dims=[4, 8]), output_size(dims=[4, 8], num_classes=5), output_size()
    (8, 5, 768)
    """
    for key in options:
        if key not in OPTIONS:
            raise unknown("option", key, OPTIONS)
    dims = options.get("dims", OPTIONS["dims"].default)
    return options.get("num_classes") or dims[-1]  # type: ignore[no-any-return]
