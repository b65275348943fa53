"""Flatten, Unflatten, Upsample, PixelShuffle and PixelUnshuffle."""

from __future__ import annotations

from collections.abc import Sequence

from minigrad.errors import OptionError
from minigrad.nn import functional as F
from minigrad.nn.module import Module
from minigrad.tensor import Tensor

__all__ = ["Flatten", "PixelShuffle", "PixelUnshuffle", "Unflatten", "Upsample"]


class Flatten(Module):
    """Merge the axes `start_dim` to `end_dim` into one.

    Parameters
    ----------
    start_dim : int, default 1
        First axis that is merged.
    end_dim : int, default -1
        Last axis that is merged.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.Flatten()(mg.zeros(2, 3, 4, 5)).shape
    (2, 60)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Split one axis into several, the inverse of `Flatten`.

    Parameters
    ----------
    dim : int
        The axis.
    unflattened_size : sequence of int
        Lengths of the new axes; one may be -1.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.Unflatten(1, (2, 3))(mg.ones(4, 6)).shape
    (4, 2, 3)
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class Upsample(Module):
    """Resize the spatial axes of (N, C, *spatial).

    Parameters
    ----------
    size : int or tuple of int, optional
        New lengths; give either this or `scale_factor`.
    scale_factor : float or tuple of float, optional
        Factors of the lengths.
    mode : str, default "nearest"
        nearest, linear, bilinear or trilinear.
    align_corners : bool, optional
        Whether the corner pixels' centres (True) or the outer edges (False) coincide.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.Upsample(scale_factor=2)(mg.zeros(1, 3, 4, 4)).shape
    (1, 3, 8, 8)
    """

    def __init__(
        self,
        size: int | tuple[int, ...] | None = None,
        scale_factor: float | tuple[float, ...] | None = None,
        mode: str = "nearest",
        align_corners: bool | None = None,
    ) -> None:
        if (size is None) == (scale_factor is None):
            raise OptionError("Upsample: give exactly one of size and scale_factor")
        self.size, self.scale_factor = size, scale_factor
        self.mode, self.align_corners = mode, align_corners

    def forward(self, x: Tensor) -> Tensor:
        return F.interpolate(x, self.size, self.scale_factor, self.mode, self.align_corners)

    def extra_repr(self) -> str:
        if self.size is not None:
            return f"size={self.size}, mode={self.mode!r}"
        return f"scale_factor={self.scale_factor}, mode={self.mode!r}"


class PixelShuffle(Module):
    """Make pixels of channels: (..., C·r², H, W) becomes (..., C, H·r, W·r) (Shi et al., 2016).

    Parameters
    ----------
    upscale_factor : int
        r.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.PixelShuffle(2)(mg.ones(1, 12, 4, 4)).shape
    (1, 3, 8, 8)
    """

    def __init__(self, upscale_factor: int) -> None:
        self.upscale_factor = upscale_factor

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_shuffle(x, self.upscale_factor)

    def extra_repr(self) -> str:
        return f"upscale_factor={self.upscale_factor}"


class PixelUnshuffle(Module):
    """Make channels of pixels, the inverse of `PixelShuffle`.

    Parameters
    ----------
    downscale_factor : int
        r.

    Examples
    --------
    >>> import minigrad as mg
    >>> mg.nn.PixelUnshuffle(2)(mg.ones(1, 3, 8, 8)).shape
    (1, 12, 4, 4)
    """

    def __init__(self, downscale_factor: int) -> None:
        self.downscale_factor = downscale_factor

    def forward(self, x: Tensor) -> Tensor:
        return F.pixel_unshuffle(x, self.downscale_factor)

    def extra_repr(self) -> str:
        return f"downscale_factor={self.downscale_factor}"
