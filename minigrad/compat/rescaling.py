"""InputRescaling: a model that takes pixels of 0 to 255."""

from __future__ import annotations

from typing import Any

import numpy as np

from minigrad.data.catalog import IMAGENET_MEAN, IMAGENET_STD
from minigrad.nn.module import Module
from minigrad.tensor import Tensor

__all__ = ["InputRescaling"]


class InputRescaling(Module):
    """Bring pixels of 0 to 255, of any number type, to the numbers that a model was trained on.

    Three channels are taken as RGB: (x / 255 − mean) / std with ImageNet's mean and std; any other
    number of channels becomes x / 255. It has no parameters and nothing in the state dict.

    Parameters
    ----------
    in_channels : int
        Channels, axis 1 of the input.
    spatial_dims : int, default 2
        Number of axes after them.
    device, dtype : optional
        Where and in which element type the result is.

    Examples
    --------
    >>> import minigrad as mg
    >>> InputRescaling(1)(mg.full((1, 1, 1, 2), 51, dtype=mg.uint8))
    tensor([[[[0.2, 0.2]]]])
    """

    def __init__(
        self,
        in_channels: int,
        spatial_dims: int = 2,
        device: str | None = None,
        dtype: Any = None,
    ) -> None:
        mean, std = np.zeros(in_channels), np.ones(in_channels)
        if in_channels == 3:
            mean, std = np.array(IMAGENET_MEAN), np.array(IMAGENET_STD)
        shape = (1, in_channels, *(1,) * spatial_dims)
        for name, values in (("scale", 1 / (255 * std)), ("shift", -mean / std)):
            made = Tensor(values.astype(np.float64).reshape(shape)).to(device=device or "cpu")
            self.register_buffer(name, made.to(dtype or np.dtype(np.float32)), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        scale: Tensor = vars(self)["scale"]
        shift: Tensor = vars(self)["shift"]
        return x.to(scale.dtype) * scale + shift
