"""Features as DINOv3's authors take them from their ConvNeXts."""

from __future__ import annotations

from typing import NamedTuple

from minigrad.errors import OptionError
from minigrad.models.convnext import ConvNeXt
from minigrad.ops.arguments import check_tensor
from minigrad.ops.shape import cat
from minigrad.tensor import Tensor

__all__ = ["Dinov3Features", "dinov3_features"]


class Dinov3Features(NamedTuple):
    """What `dinov3_features` returns."""

    cls: Tensor  # (N, C): of the whole image
    patches: Tensor  # (N, positions, C): of every position of the last map, in reading order


def dinov3_features(model: ConvNeXt, x: Tensor) -> Dinov3Features:
    """Return class and patch features: the last norm over the mean, and over every position.

    Parameters
    ----------
    model : ConvNeXt
        With weights of DINOv3 or any other; its head is not used.
    x : Tensor, (N, C, *spatial)
        Images, normalised by ImageNet's mean and deviation for the released weights.

    Returns
    -------
    Dinov3Features
        ``cls`` (N, C) and ``patches`` (N, positions, C).

    Raises
    ------
    OptionError
        If the model is no ConvNeXt.

    Notes
    -----
    The patches are normed after the last stage, one by one; they are not what was pooled.
    Source: facebookresearch/dinov3, models/convnext.py.

    Examples
    --------
    >>> import minigrad as mg
    >>> import minigrad.models as models
    >>> model = models.ConvNeXt(num_classes=0, depths=(1, 1), dims=(8, 16))
    >>> features = dinov3_features(model, mg.randn(2, 3, 16, 24))
    >>> features.cls.shape, features.patches.shape
    ((2, 16), (2, 6, 16))
    """
    if not isinstance(model, ConvNeXt):
        raise OptionError(f"dinov3_features: model is a ConvNeXt, not {type(model).__name__}")
    x = check_tensor("dinov3_features", x)
    positions = model.forward_features(x).flatten(2).movedim(1, -1)
    normed = model.norm(cat([positions.mean(1, keepdim=True), positions], dim=1))
    return Dinov3Features(normed[:, 0], normed[:, 1:])
